// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks on their way out are asked for and run at once where they are: nobody gains by keeping
 * their memory. Kernel threads of one CPU wait for nobody but each other. The rest is in order of
 * arrival, with a queue for each CPU for those who may run nowhere else.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define COMMON	     1
#define PINNED_BASE  0x100000
#define KTHREAD_BASE 0x200000

enum { EXITING = 0x4, KTHREAD = 0x200000 };

static bool is_bound(const struct task_struct *p)
{
	return p->nr_cpus_allowed == 1;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(leaving_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(leaving_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	if (p->flags & EXITING) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	if (is_bound(p) && (p->flags & KTHREAD)) {
		scx_bpf_dsq_insert(p, KTHREAD_BASE + cpu, SCX_SLICE_DFL, enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_PREEMPT);
		return;
	}
	if (is_bound(p)) {
		scx_bpf_dsq_insert(p, PINNED_BASE + cpu, SCX_SLICE_DFL, enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}
	scx_bpf_dsq_insert(p, COMMON, SCX_SLICE_DFL, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, bool);
} bound_next SEC(".maps");

void SEC("struct_ops/dispatch") BPF_PROG(leaving_dispatch, s32 cpu, struct task_struct *prev)
{
	/* Whoever is bound here and whoever is not take turns at being first. */
	u32 zero = 0;
	bool *next = bpf_map_lookup_elem(&bound_next, &zero), bound_first = next && *next;

	if (next)
		*next = !bound_first;
	if (scx_bpf_dsq_move_to_local(KTHREAD_BASE + cpu))
		return;
	if (bound_first && scx_bpf_dsq_move_to_local(PINNED_BASE + cpu))
		return;
	if (!scx_bpf_dsq_move_to_local(COMMON))
		scx_bpf_dsq_move_to_local(PINNED_BASE + cpu);
}

s32 SEC("struct_ops.s/init") BPF_PROG(leaving_init)
{
	s32 cpu, err = scx_bpf_create_dsq(COMMON, -1);

	if (err)
		return err;
	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(PINNED_BASE + cpu, -1);
		if (err)
			return err;
		err = scx_bpf_create_dsq(KTHREAD_BASE + cpu, -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops leaving_ops = {
	.select_cpu = (void *)leaving_select_cpu,
	.enqueue = (void *)leaving_enqueue,
	.dispatch = (void *)leaving_dispatch,
	.init = (void *)leaving_init,
	.flags = SCX_OPS_ENQ_EXITING,
	.name = "exiting_and_kthreads",
};
