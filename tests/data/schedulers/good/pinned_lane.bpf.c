// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks bound to one CPU wait in a lane of that CPU (ids beyond the table share lanes, affinity is
 * still checked by the kernel), all others in a shared queue; both are served alternately; bound
 * kthreads go straight to the local queue.
 */
/*
 * Bound tasks would only be in the way of the other CPUs in a shared queue.
 * They are not put on the local queue either: as long as that has tasks, a CPU
 * does not ask for more, and bound hogs would lock out everybody else.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PL_SHARED     0x100
#define PL_LANES      128
#define PL_LANE(cpu)  (0x200 + (u64)((u32)(cpu) % PL_LANES))
#define PL_PF_KTHREAD 0x00200000

const volatile u64 pl_slice_ns = 3500000ULL;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} pl_flip SEC(".maps");

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(pl_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, pl_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(pl_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	if (p->nr_cpus_allowed == 1) {
		if (p->flags & PL_PF_KTHREAD) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, pl_slice_ns, enq_flags);
			return;
		}
		scx_bpf_dsq_insert(p, PL_LANE(cpu), pl_slice_ns, enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}

	scx_bpf_dsq_insert(p, PL_SHARED, pl_slice_ns, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(pl_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 first = PL_SHARED, second = PL_LANE(cpu);
	u32 zero = 0;
	u32 *flip = bpf_map_lookup_elem(&pl_flip, &zero);

	if (flip) {
		*flip ^= 1;
		if (*flip) {
			first = PL_LANE(cpu);
			second = PL_SHARED;
		}
	}

	if (!scx_bpf_dsq_move_to_local(first))
		scx_bpf_dsq_move_to_local(second);
}

s32 SEC("struct_ops.s/init") BPF_PROG(pl_init)
{
	s32 err;
	u32 i;

	err = scx_bpf_create_dsq(PL_SHARED, -1);
	if (err)
		return err;
	for (i = 0; i < PL_LANES; i++) {
		err = scx_bpf_create_dsq(PL_LANE(i), -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops pl_ops = {
	.select_cpu = (void *)pl_select_cpu,
	.enqueue = (void *)pl_enqueue,
	.dispatch = (void *)pl_dispatch,
	.init = (void *)pl_init,
	.name = "pinned_lane",
};
