// SPDX-License-Identifier: GPL-2.0
/*
 * T06: kicks are limited to one in 5 ms for each waking CPU, and what the limiter suppresses is
 * never made up for. In a burst of wakeups by one task all but the first wakee wait although
 * CPUs are idle. Stopped at Bytecode or Dynamic.
 */
/*
 * EDF over one queue. Protects the machine against IPI storms.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define EDF_DSQ	   21
#define SLICE	   10000000ULL
#define IPI_GAP_NS 5000000ULL

struct gd_cpu {
	u64 last_ipi;
	u64 nr_sent;
	u64 nr_held;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct gd_cpu);
} gd_cpus SEC(".maps");

/* relative deadline: 20 ms for weight 100, never more than 200 ms */
static __always_inline u64 deadline_of(struct task_struct *p)
{
	u64 rel = 2000000000ULL / (p->scx.weight ?: 1);

	if (rel > 200000000ULL)
		rel = 200000000ULL;
	return bpf_ktime_get_ns() + rel;
}

static __always_inline bool may_send_ipi(void)
{
	u64 now = bpf_ktime_get_ns();
	struct gd_cpu *c;
	u32 zero = 0;

	c = bpf_map_lookup_elem(&gd_cpus, &zero);
	if (!c)
		return true;
	if (now - c->last_ipi < IPI_GAP_NS) {
		c->nr_held++;
		return false;
	}
	c->last_ipi = now;
	c->nr_sent++;
	return true;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(gd_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	if (bpf_cpumask_test_cpu(prev_cpu, p->cpus_ptr) &&
	    scx_bpf_test_and_clear_cpu_idle(prev_cpu))
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SLICE, 0);
	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(gd_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}

	scx_bpf_dsq_insert_vtime(p, EDF_DSQ, SLICE, deadline_of(p), enq_flags);

	if (!may_send_ipi())
		return;
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(gd_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(EDF_DSQ);
}

s32 SEC("struct_ops.s/init") BPF_PROG(gd_init)
{
	return scx_bpf_create_dsq(EDF_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops gd_ops = {
	.select_cpu = (void *)gd_select_cpu,
	.enqueue = (void *)gd_enqueue,
	.dispatch = (void *)gd_dispatch,
	.init = (void *)gd_init,
	.name = "edf_guard",
};
