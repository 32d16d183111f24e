// SPDX-License-Identifier: GPL-2.0
/*
 * Q15: runnable() keeps an entry for every pair (waker pid, wakee pid) ever seen in a hash map
 * of a million entries; exit_task() removes only the pair of the task with itself. Grows with
 * forks and wakeups until it is full (nothing fails then), about 60 MB. Stopped at Bytecode.
 */
/*
 * Wake affinity learnt from who wakes whom: steady partners are kept on the
 * waker's CPU pair.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define FIFO_DSQ   0xac

struct aq_pair {
	u32 waker;
	u32 wakee;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 20);
	__type(key, struct aq_pair);
	__type(value, u32);
} pairs SEC(".maps");

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = 8000000ULL * p->scx.weight / 100;

	return s < 1000000 ? 1000000 : s > 30000000 ? 30000000 : s;
}

static __always_inline bool steady_partner(struct task_struct *p)
{
	struct task_struct *waker = bpf_get_current_task_btf();
	struct aq_pair k = {.waker = waker->pid, .wakee = p->pid};
	u32 *n = bpf_map_lookup_elem(&pairs, &k);

	return n && *n > 16;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(aq_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	u32 buddy = bpf_get_smp_processor_id() ^ 1;
	bool is_idle = false;
	s32 cpu;

	if (steady_partner(p) && buddy < scx_bpf_nr_cpu_ids() &&
	    bpf_cpumask_test_cpu(buddy, p->cpus_ptr) && scx_bpf_test_and_clear_cpu_idle(buddy)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
		return buddy;
	}
	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(aq_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, FIFO_DSQ, slice_of(p), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(aq_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(FIFO_DSQ);
}

void SEC("struct_ops/runnable") BPF_PROG(aq_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_struct *waker;
	struct aq_pair k = {};
	u32 one = 1, *n;

	if (!(enq_flags & SCX_ENQ_WAKEUP))
		return;
	waker = bpf_get_current_task_btf();
	k.waker = waker->pid;
	k.wakee = p->pid;
	n = bpf_map_lookup_elem(&pairs, &k);
	if (n)
		__sync_fetch_and_add(n, 1);
	else
		bpf_map_update_elem(&pairs, &k, &one, BPF_ANY);
}

void SEC("struct_ops/exit_task")
	BPF_PROG(aq_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	struct aq_pair k = {.waker = p->pid, .wakee = p->pid};

	bpf_map_delete_elem(&pairs, &k);
}

s32 SEC("struct_ops.s/init") BPF_PROG(aq_init)
{
	return scx_bpf_create_dsq(FIFO_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops aq_ops = {
	.select_cpu = (void *)aq_select_cpu,
	.enqueue = (void *)aq_enqueue,
	.dispatch = (void *)aq_dispatch,
	.runnable = (void *)aq_runnable,
	.exit_task = (void *)aq_exit_task,
	.init = (void *)aq_init,
	.name = "acquaintance",
};
