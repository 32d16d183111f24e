// SPDX-License-Identifier: GPL-2.0
/*
 * T05: the kernel's bound threads of all CPUs go to a queue that only CPUs 0 and 1 read. Stopped
 * at Bytecode or Dynamic.
 */
/*
 * quiet: keep the noise of the kernel on the first two CPUs, leave the others to user tasks as long
 * as the first two keep up.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QT_CPUS	     256
#define QT_HOUSE     2
#define QT_KERNEL    0x80ULL
#define QT_USER	     0x81ULL
#define QT_FIXED     0x1000ULL
#define QT_SLICE     (5ULL * 1000 * 1000)
#define QT_KTHREAD   0x00200000
#define QT_WQ_WORKER 0x00000020

struct qt_cpu {
	u64 turn;
	u64 kernel_turns;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct qt_cpu);
} qt_cpus SEC(".maps");

static u32 qt_nr_cpus;

static __always_inline bool qt_bound_worker(const struct task_struct *p)
{
	return (p->flags & QT_WQ_WORKER) && p->nr_cpus_allowed == 1;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(qt_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu;
	u32 i;

	if (p->flags & QT_KTHREAD) {
		for (i = 0; i < QT_HOUSE; i++) {
			if (!bpf_cpumask_test_cpu(i, p->cpus_ptr))
				continue;
			if (scx_bpf_test_and_clear_cpu_idle(i)) {
				scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, QT_SLICE, 0);
				return i;
			}
		}
	}

	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, QT_SLICE, 0);
	return cpu >= 0 ? cpu : prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(qt_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if (qt_bound_worker(p)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, QT_SLICE, enq_flags);
		return;
	}

	if (p->flags & QT_KTHREAD) {
		scx_bpf_dsq_insert(p, QT_KERNEL, QT_SLICE, enq_flags);
		scx_bpf_kick_cpu(0, SCX_KICK_IDLE);
		if (qt_nr_cpus > 1)
			scx_bpf_kick_cpu(1, SCX_KICK_IDLE);
		return;
	}

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, QT_FIXED + (u32)scx_bpf_task_cpu(p), QT_SLICE, enq_flags);
		return;
	}

	scx_bpf_dsq_insert(p, QT_USER, QT_SLICE, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(qt_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	struct qt_cpu *q = bpf_map_lookup_elem(&qt_cpus, &zero);
	u64 fixed = QT_FIXED + (u32)cpu;
	u64 turn;

	if (!q)
		return;
	turn = q->turn++;

	if (cpu < QT_HOUSE && !(turn & 1) && scx_bpf_dsq_move_to_local(QT_KERNEL)) {
		q->kernel_turns++;
		return;
	}
	if ((turn & 2) && scx_bpf_dsq_move_to_local(fixed))
		return;
	if (scx_bpf_dsq_move_to_local(QT_USER))
		return;
	if (scx_bpf_dsq_move_to_local(fixed))
		return;
	if (cpu < QT_HOUSE)
		scx_bpf_dsq_move_to_local(QT_KERNEL);
}

s32 SEC("struct_ops.s/init") BPF_PROG(qt_init)
{
	s32 ret;
	u32 i;

	qt_nr_cpus = scx_bpf_nr_cpu_ids();
	if (qt_nr_cpus > QT_CPUS)
		return -7;

	ret = scx_bpf_create_dsq(QT_KERNEL, -1);
	if (!ret)
		ret = scx_bpf_create_dsq(QT_USER, -1);
	for (i = 0; i < QT_CPUS && !ret; i++) {
		if (i >= qt_nr_cpus)
			break;
		ret = scx_bpf_create_dsq(QT_FIXED + i, -1);
	}
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops quiet_ops = {
	.select_cpu = (void *)qt_select_cpu,
	.enqueue = (void *)qt_enqueue,
	.dispatch = (void *)qt_dispatch,
	.init = (void *)qt_init,
	.name = "quiet",
};
