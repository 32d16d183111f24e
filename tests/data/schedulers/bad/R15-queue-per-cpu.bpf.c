// SPDX-License-Identifier: GPL-2.0
/*
 * R15: cpu_offline destroys a queue that still holds tasks. Stopped at Bytecode or Dynamic.
 */
/*
 * percpu: a queue per CPU, created and removed as CPUs come and go; a CPU without work steals from
 * the others.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QC_CPUS	   64
#define QC_BASE	   0x7000ULL
#define QC_REST	   0x6fffULL
#define QC_SLICE   (5ULL * 1000 * 1000)
#define QC_KTHREAD 0x00200000

struct qc_cpu {
	u32 up;
	u32 stolen;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, QC_CPUS);
	__type(key, u32);
	__type(value, struct qc_cpu);
} qc_cpus SEC(".maps");

static u32 qc_nr_cpus;

static __always_inline bool qc_up(u32 cpu)
{
	struct qc_cpu *c = bpf_map_lookup_elem(&qc_cpus, &cpu);

	return c && c->up;
}

void SEC("struct_ops/enqueue") BPF_PROG(qc_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 own = scx_bpf_task_cpu(p);
	s32 cpu;

	if ((p->flags & QC_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, QC_SLICE, enq_flags);
		return;
	}

	scx_bpf_dsq_insert(p, qc_up(own) ? QC_BASE + own : QC_REST, QC_SLICE, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(qc_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 own = cpu, i, at;
	struct qc_cpu *c;

	/* nothing is added to the rest but at the moment a CPU goes */
	if (scx_bpf_dsq_move_to_local(QC_REST))
		return;

	for (i = 0; i < QC_CPUS; i++) {
		if (i >= qc_nr_cpus)
			break;
		at = own + i;
		if (at >= qc_nr_cpus)
			at -= qc_nr_cpus;
		if (!qc_up(at) || scx_bpf_dsq_nr_queued(QC_BASE + at) <= 0)
			continue;
		if (!scx_bpf_dsq_move_to_local(QC_BASE + at))
			continue;
		if (i) {
			c = bpf_map_lookup_elem(&qc_cpus, &own);
			if (c)
				c->stolen++;
		}
		return;
	}
}

void SEC("struct_ops.s/cpu_online") BPF_PROG(qc_cpu_online, s32 cpu)
{
	u32 key = cpu;
	struct qc_cpu *c = bpf_map_lookup_elem(&qc_cpus, &key);

	if (!c || c->up)
		return;
	if (!scx_bpf_create_dsq(QC_BASE + key, -1))
		c->up = 1;
}

void SEC("struct_ops/cpu_offline") BPF_PROG(qc_cpu_offline, s32 cpu)
{
	u32 key = cpu;
	struct qc_cpu *c = bpf_map_lookup_elem(&qc_cpus, &key);

	if (!c || !c->up)
		return;
	/* no further task may get in */
	c->up = 0;
	scx_bpf_destroy_dsq(QC_BASE + key);
}

s32 SEC("struct_ops.s/init") BPF_PROG(qc_init)
{
	const struct cpumask *online;
	struct qc_cpu *c;
	u32 i, key;
	s32 ret;

	qc_nr_cpus = scx_bpf_nr_cpu_ids();
	if (qc_nr_cpus > QC_CPUS)
		return -7;
	ret = scx_bpf_create_dsq(QC_REST, -1);

	for (i = 0; i < QC_CPUS && !ret; i++) {
		bool up;

		if (i >= qc_nr_cpus)
			break;
		online = scx_bpf_get_online_cpumask();
		up = bpf_cpumask_test_cpu(i, online);
		scx_bpf_put_cpumask(online);
		if (!up)
			continue;
		key = i;
		c = bpf_map_lookup_elem(&qc_cpus, &key);
		if (!c)
			return -2;
		ret = scx_bpf_create_dsq(QC_BASE + key, -1);
		c->up = !ret;
	}
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops percpu_ops = {
	.enqueue = (void *)qc_enqueue,
	.dispatch = (void *)qc_dispatch,
	.cpu_online = (void *)qc_cpu_online,
	.cpu_offline = (void *)qc_cpu_offline,
	.init = (void *)qc_init,
	.name = "percpu",
};
