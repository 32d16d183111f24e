// SPDX-License-Identifier: GPL-2.0
/*
 * T12: a slice underflows after 86016 wakeups and is practically infinite then. Stopped at
 * Bytecode or Dynamic.
 */
/*
 * warmup: a FIFO kept in a BPF list; long slices while services start, shorter ones once the system
 * has become interactive.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define WU_QUEUE    0x3ULL
#define WU_MS	    (1000ULL * 1000)
#define WU_LONG	    (20 * WU_MS)
#define WU_SHORT    (2 * WU_MS)
#define WU_STEP	    (1 * WU_MS)
#define WU_PER_STEP 4096

#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))

struct wu_node {
	struct bpf_list_node link;
	s32 pid;
	u32 pad;
};

struct wu_fifo {
	struct bpf_spin_lock lock;
	struct bpf_list_head head __contains(wu_node, link);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct wu_fifo);
} wu_fifos SEC(".maps");

struct wu_count {
	u64 wakeups;
	u64 expired;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct wu_count);
} wu_counts SEC(".maps");

static __always_inline struct wu_count *wu_count(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&wu_counts, &zero);
}

static __always_inline u64 wu_slice(struct wu_count *c)
{
	u64 steps = c->wakeups / WU_PER_STEP;
	u64 slice = WU_LONG - steps * WU_STEP;

	if (slice < WU_SHORT)
		slice = WU_SHORT;
	return slice;
}

/* false when there is no memory for a node */
static __always_inline bool wu_append(s32 pid)
{
	u32 zero = 0;
	struct wu_fifo *f = bpf_map_lookup_elem(&wu_fifos, &zero);
	struct wu_node *n;

	if (!f)
		return false;
	n = bpf_obj_new_impl(bpf_core_type_id_local(struct wu_node), 0);
	if (!n)
		return false;
	n->pid = pid;

	bpf_spin_lock(&f->lock);
	bpf_list_push_back_impl(&f->head, &n->link, 0, 0);
	bpf_spin_unlock(&f->lock);
	return true;
}

/* the pid at the front, 0 when nobody waits */
static __always_inline s32 wu_front(struct wu_fifo *f)
{
	struct bpf_list_node *link;
	struct wu_node *n;
	s32 pid;

	bpf_spin_lock(&f->lock);
	link = bpf_list_pop_front(&f->head);
	bpf_spin_unlock(&f->lock);
	if (!link)
		return 0;

	n = container_of(link, struct wu_node, link);
	pid = n->pid;
	bpf_obj_drop_impl(n, 0);
	return pid;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(wu_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct wu_count *c = wu_count();
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (c)
		__sync_fetch_and_add(&c->wakeups, 1);
	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, c ? wu_slice(c) : WU_SHORT, 0);
	return cpu >= 0 ? cpu : prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(wu_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct wu_count *c = wu_count();
	u64 slice = c ? wu_slice(c) : WU_SHORT;
	s32 cpu;

	if (c && !(enq_flags & SCX_ENQ_WAKEUP))
		__sync_fetch_and_add(&c->expired, 1);

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice, enq_flags);
		return;
	}

	if (!wu_append(p->pid))
		scx_bpf_dsq_insert(p, WU_QUEUE, slice, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(wu_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, i;
	struct wu_fifo *f = bpf_map_lookup_elem(&wu_fifos, &zero);
	struct wu_count *c = wu_count();
	struct task_struct *p;
	s32 pid;

	if (scx_bpf_dsq_move_to_local(WU_QUEUE) || !f || !c)
		return;

	/* the front may be bound to other CPUs, then it stays in the queue for them */
	for (i = 0; i < 8; i++) {
		pid = wu_front(f);
		if (!pid)
			return;
		p = bpf_task_from_pid(pid);
		if (!p)
			continue;
		scx_bpf_dsq_insert(p, WU_QUEUE, wu_slice(c), 0);
		bpf_task_release(p);
		if (scx_bpf_dsq_move_to_local(WU_QUEUE))
			return;
	}
}

s32 SEC("struct_ops.s/init") BPF_PROG(wu_init)
{
	return scx_bpf_create_dsq(WU_QUEUE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops warmup_ops = {
	.select_cpu = (void *)wu_select_cpu,
	.enqueue = (void *)wu_enqueue,
	.dispatch = (void *)wu_dispatch,
	.init = (void *)wu_init,
	.name = "warmup",
};
