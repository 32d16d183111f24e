// SPDX-License-Identifier: GPL-2.0
/*
 * Earliest deadline first; the relative deadline is the fair turn time for the present load
 * divided by weight, capped at 500 ms; survives hotplug, releasing tasks of a CPU that leaves.
 */
/*
 * With n tasks waiting and c CPUs a task of ordinary weight would be served
 * again after about n * turn / c. This time, scaled by the inverse of the
 * weight, is the deadline. It is real time and it is capped, so that a light
 * task is overtaken for half a second at the most.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define EDF_DSQ 0xedf

const volatile u64 edf_turn_ns = 4000000ULL;
const volatile u64 edf_nearest_ns = 1000000ULL;
const volatile u64 edf_horizon_ns = 500000000ULL;
const volatile u64 edf_slice_ns = 3500000ULL;

u64 edf_cpus = 1;

static __always_inline u64 edf_relative(const struct task_struct *p)
{
	s32 waiting = scx_bpf_dsq_nr_queued(EDF_DSQ);
	u64 weight = p->scx.weight;
	u64 cpus = edf_cpus;
	u64 rel;

	if (waiting < 0)
		waiting = 0;
	if (!weight)
		weight = 1;
	if (!cpus)
		cpus = 1;

	rel = ((u64)waiting + 1) * edf_turn_ns * 100 / (weight * cpus);
	if (rel < edf_nearest_ns)
		rel = edf_nearest_ns;
	if (rel > edf_horizon_ns)
		rel = edf_horizon_ns;
	return rel;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(edf_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, edf_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(edf_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 deadline = scx_bpf_now() + edf_relative(p);
	u64 earlier = p->scx.dsq_vtime;
	s32 cpu;

	/* requeued before it ran (renice, new affinity): nothing is lost */
	if (earlier && (s64)(earlier - deadline) < 0)
		deadline = earlier;

	scx_bpf_dsq_insert_vtime(p, EDF_DSQ, edf_slice_ns, deadline, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(edf_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(EDF_DSQ);
}

void SEC("struct_ops/running") BPF_PROG(edf_running, struct task_struct *p)
{
	/* served: the next wait gets a new deadline */
	p->scx.dsq_vtime = 0;
}

void SEC("struct_ops/cpu_online") BPF_PROG(edf_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&edf_cpus, 1);
}

/*
 * The CPU will not dispatch any more. Tasks which wait on its run queue go to
 * its local queue, from where the hotplug code pushes them to other CPUs.
 */
void SEC("struct_ops/cpu_offline") BPF_PROG(edf_cpu_offline, s32 cpu)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;

	if (edf_cpus > 1)
		__sync_fetch_and_add(&edf_cpus, -1);

	bpf_iter_scx_dsq_new(&it, EDF_DSQ, 0);
	while ((p = bpf_iter_scx_dsq_next(&it))) {
		if (scx_bpf_task_cpu(p) == cpu)
			scx_bpf_dsq_move(&it, p, SCX_DSQ_LOCAL_ON | (u64)cpu, 0);
	}
	bpf_iter_scx_dsq_destroy(&it);
}

s32 SEC("struct_ops.s/init") BPF_PROG(edf_init)
{
	const struct cpumask *online;
	u32 nr;

	online = scx_bpf_get_online_cpumask();
	nr = bpf_cpumask_weight(online);
	scx_bpf_put_cpumask(online);
	edf_cpus = nr ? nr : 1;

	return scx_bpf_create_dsq(EDF_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops edf_ops = {
	.select_cpu = (void *)edf_select_cpu,
	.enqueue = (void *)edf_enqueue,
	.dispatch = (void *)edf_dispatch,
	.running = (void *)edf_running,
	.cpu_online = (void *)edf_cpu_online,
	.cpu_offline = (void *)edf_cpu_offline,
	.init = (void *)edf_init,
	.name = "load_edf",
};
