// SPDX-License-Identifier: GPL-2.0
/*
 * T03: a ring of 16 numbers of tasks for each bin of processes wraps over threads that wait.
 * Stopped at Bytecode or Dynamic.
 */
/*
 * crews: processes take turns, not threads. A token in the queue stands for "one thread of this
 * crew may go".
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define CW_CREWS 509
#define CW_RING	 16
#define CW_GATE	 0x33ULL
#define CW_SLICE (10ULL * 1000 * 1000)

struct cw_crew {
	struct bpf_spin_lock lock;
	u32 rd;
	u32 wr;
	s32 pid[CW_RING];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CW_CREWS);
	__type(key, u32);
	__type(value, struct cw_crew);
} cw_crews SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 16384);
	__type(value, u32);
} cw_tokens SEC(".maps");

void SEC("struct_ops/enqueue") BPF_PROG(cw_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 bin = (u32)p->tgid % CW_CREWS;
	struct cw_crew *c;
	s32 pid = p->pid, cpu;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, CW_SLICE, enq_flags);
		return;
	}

	c = bpf_map_lookup_elem(&cw_crews, &bin);
	if (c && !bpf_map_push_elem(&cw_tokens, &bin, 0)) {
		bpf_spin_lock(&c->lock);
		c->pid[c->wr & (CW_RING - 1)] = pid;
		c->wr++;
		bpf_spin_unlock(&c->lock);
	} else {
		scx_bpf_dsq_insert(p, CW_GATE, CW_SLICE, enq_flags);
	}

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

/* redeem one token; false when there is none left */
static __always_inline bool cw_redeem(void)
{
	struct task_struct *p;
	struct cw_crew *c;
	s32 pid = 0;
	u32 bin;

	if (bpf_map_pop_elem(&cw_tokens, &bin))
		return false;
	c = bpf_map_lookup_elem(&cw_crews, &bin);
	if (!c)
		return true;

	bpf_spin_lock(&c->lock);
	if (c->rd != c->wr) {
		pid = c->pid[c->rd & (CW_RING - 1)];
		c->rd++;
	}
	bpf_spin_unlock(&c->lock);

	if (!pid) {
		/* the token overtook its thread, give it another round */
		bpf_map_push_elem(&cw_tokens, &bin, 0);
		return true;
	}

	p = bpf_task_from_pid(pid);
	if (p) {
		scx_bpf_dsq_insert(p, CW_GATE, CW_SLICE, 0);
		bpf_task_release(p);
	}
	return true;
}

void SEC("struct_ops/dispatch") BPF_PROG(cw_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 i;

	if (scx_bpf_dsq_move_to_local(CW_GATE))
		return;

	for (i = 0; i < 12; i++) {
		if (!cw_redeem())
			return;
		if (scx_bpf_dsq_move_to_local(CW_GATE))
			return;
	}
}

s32 SEC("struct_ops.s/init") BPF_PROG(cw_init)
{
	return scx_bpf_create_dsq(CW_GATE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops crews_ops = {
	.enqueue = (void *)cw_enqueue,
	.dispatch = (void *)cw_dispatch,
	.init = (void *)cw_init,
	.name = "crews",
};
