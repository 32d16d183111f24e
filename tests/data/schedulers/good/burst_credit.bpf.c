// SPDX-License-Identifier: GPL-2.0
/*
 * vtime scheduler that credits tasks which give up the CPU by themselves; slices shrink with the
 * queue length; preempted CPUs return their local tasks.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD    0x00200000
#define NSEC_PER_MSEC 1000000ULL
#define CPU_LIMIT     1024

#define COMMON_DSQ	0x7000ULL
#define pinned_dsq(cpu) ((u64)((u32)(cpu) & (CPU_LIMIT - 1)))

const volatile u64 slice_max = 10 * NSEC_PER_MSEC;
const volatile u64 slice_min = 1 * NSEC_PER_MSEC;
const volatile u64 slice_lag = 20 * NSEC_PER_MSEC; /* credit of the most interactive task */
const volatile u64 debt_max = 80 * NSEC_PER_MSEC;
const volatile u64 rate_window = 100 * NSEC_PER_MSEC;
const volatile u64 rate_max = 64; /* switches per window that count */

static u64 vtime_now, pace_at;
static u32 nr_cpus = 1;

struct burst_task {
	u64 run_start;
	u64 window_start;
	u64 switches; /* p->nvcsw at window_start */
	u64 rate;     /* voluntary switches per window, averaged */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct burst_task);
} burst_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} turns SEC(".maps");

static __always_inline bool is_before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

static __always_inline u64 scaled_slice(void)
{
	s32 queued = scx_bpf_dsq_nr_queued(COMMON_DSQ);
	u64 slice = slice_max / ((queued > 0 ? (u32)queued : 0) / nr_cpus + 1);

	return slice < slice_min ? slice_min : slice;
}

static __always_inline u64 task_key(struct task_struct *p, struct burst_task *bt)
{
	u64 credit = slice_min + slice_lag * bt->rate / rate_max;
	u64 v = p->scx.dsq_vtime, t = bpf_ktime_get_ns(), d = t - pace_at;

	/* virtual time keeps up with an eighth of the clock at least */
	if ((s64)d > 0) {
		pace_at = t;
		vtime_now += (d < debt_max ? d : debt_max) / 8;
	}
	if (is_before(v, vtime_now - credit))
		return vtime_now - credit;
	if (is_before(vtime_now + debt_max, v))
		return vtime_now + debt_max;
	return v;
}

static __always_inline void kick_one_idle(struct task_struct *p)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(burst_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, scaled_slice(), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(burst_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct burst_task *bt = bpf_task_storage_get(&burst_tasks, p, 0, 0);
	u64 dsq = COMMON_DSQ;

	if (p->nr_cpus_allowed == 1) {
		if (!bt || (p->flags & PF_KTHREAD)) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_max, enq_flags);
			return;
		}
		dsq = pinned_dsq(scx_bpf_task_cpu(p));
	}
	scx_bpf_dsq_insert_vtime(p, dsq, scaled_slice(), bt ? task_key(p, bt) : vtime_now,
				 enq_flags);
	kick_one_idle(p);
}

void SEC("struct_ops/dispatch") BPF_PROG(burst_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	u64 *turn = bpf_map_lookup_elem(&turns, &zero);

	if (turn && ((*turn)++ & 1) && scx_bpf_dsq_move_to_local(pinned_dsq(cpu)))
		return;
	if (scx_bpf_dsq_move_to_local(COMMON_DSQ) || scx_bpf_dsq_move_to_local(pinned_dsq(cpu)))
		return;

	/* nothing else to do here: let the current task go on with a fresh slice */
	if (prev && (prev->scx.flags & SCX_TASK_QUEUED))
		prev->scx.slice = slice_max;
}

void SEC("struct_ops/running") BPF_PROG(burst_running, struct task_struct *p)
{
	struct burst_task *bt = bpf_task_storage_get(&burst_tasks, p, 0, 0);

	if (bt)
		bt->run_start = p->se.sum_exec_runtime;
	if (is_before(vtime_now, p->scx.dsq_vtime))
		vtime_now = p->scx.dsq_vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(burst_stopping, struct task_struct *p, bool runnable)
{
	struct burst_task *bt = bpf_task_storage_get(&burst_tasks, p, 0, 0);
	u64 now = bpf_ktime_get_ns(), v, delta;

	if (!bt)
		return;

	v = p->scx.dsq_vtime + (p->se.sum_exec_runtime - bt->run_start) * 100 / p->scx.weight;
	if (is_before(vtime_now + debt_max, v))
		v = vtime_now + debt_max;
	p->scx.dsq_vtime = v;

	delta = now - bt->window_start;
	if (delta < rate_window)
		return;
	v = (p->nvcsw - bt->switches) * rate_window / delta;
	bt->rate = (bt->rate + (v > rate_max ? rate_max : v)) / 2;
	bt->switches = p->nvcsw;
	bt->window_start = now;
}

void SEC("struct_ops/cpu_release")
	BPF_PROG(burst_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}

void SEC("struct_ops/enable") BPF_PROG(burst_enable, struct task_struct *p)
{
	p->scx.dsq_vtime = vtime_now + slice_max;
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(burst_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct burst_task *bt;

	bt = bpf_task_storage_get(&burst_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!bt)
		return -12; /* -ENOMEM */
	bt->window_start = bpf_ktime_get_ns();
	bt->switches = p->nvcsw;
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(burst_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 ret = scx_bpf_create_dsq(COMMON_DSQ, -1);

	nr_cpus = nr ?: 1;
	for (i = 0; i < CPU_LIMIT && i < nr && !ret; i++)
		ret = scx_bpf_create_dsq(pinned_dsq(i), -1);
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops burst_ops = {
	.select_cpu = (void *)burst_select_cpu,
	.enqueue = (void *)burst_enqueue,
	.dispatch = (void *)burst_dispatch,
	.running = (void *)burst_running,
	.stopping = (void *)burst_stopping,
	.cpu_release = (void *)burst_cpu_release,
	.enable = (void *)burst_enable,
	.init_task = (void *)burst_init_task,
	.init = (void *)burst_init,
	.name = "burst_credit",
};
