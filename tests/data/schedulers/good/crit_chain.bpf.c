// SPDX-License-Identifier: GPL-2.0
/*
 * estimates how latency critical a task is from how often it wakes others, how often it waits
 * and how long it runs; the estimate sets a virtual deadline within a hard bound.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD   0x00200000
#define MSEC	     1000000ULL
#define SEC_NS	     1000000000ULL
#define MAX_CPUS     1024
#define MAIN_Q	     0x9000ULL
#define FIXED_Q(cpu) ((u64)((u32)(cpu) & (MAX_CPUS - 1)))

/* targeted_ns: time for a turn of everybody; window_ns: the furthest a deadline is put into the
 * future */
const volatile u64 targeted_ns = 15 * MSEC;
const volatile u64 slice_lo = 1 * MSEC;
const volatile u64 slice_hi = 5 * MSEC;
const volatile u64 window_ns = 120 * MSEC;

struct crit_task {
	u64 run_from; /* sum_exec_runtime when it started to run */
	u64 last_woken;
	u64 last_waking;
	u64 wait_freq; /* per second */
	u64 wake_freq; /* per second */
	u64 avg_run;   /* ns per activation */
	u64 acc_run;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct crit_task);
} crit_tasks SEC(".maps");

static u32 nr_cpus = 1;
static u64 nr_runnable;
static u8 parity[MAX_CPUS];

static __always_inline u64 ewma(u64 old, u64 sample)
{
	return old - old / 8 + sample / 8;
}

static __always_inline u64 freq_sample(u64 old, u64 interval)
{
	return ewma(old, SEC_NS / (interval > 100000 ? interval : 100000));
}

static __always_inline u32 ilog(u64 v)
{
	u32 r = 0;

	if (v >> 32) {
		v >>= 32;
		r += 32;
	}
	if (v >> 16) {
		v >>= 16;
		r += 16;
	}
	if (v >> 8) {
		v >>= 8;
		r += 8;
	}
	if (v >> 4) {
		v >>= 4;
		r += 4;
	}
	if (v >> 2) {
		v >>= 2;
		r += 2;
	}
	return r + (v >> 1);
}

static __always_inline u64 crit_slice(void)
{
	s64 runnable = nr_runnable;
	u64 n = (runnable > 0 ? (u64)runnable : 0) / nr_cpus;
	u64 s = targeted_ns / (n ?: 1);

	return s < slice_lo ? slice_lo : s > slice_hi ? slice_hi : s;
}

/* The more critical, the earlier. The result is a delay between zero and window_ns. */
static __always_inline u64 crit_delay(struct task_struct *p, struct crit_task *ct)
{
	u64 score = ilog(ct->wake_freq + 1) + ilog(ct->wait_freq + 1) + 1;
	u64 run = ct->avg_run > slice_hi ? slice_hi : ct->avg_run;
	u64 delay = (run + slice_lo) * 4 / score * 100 / p->scx.weight;

	return delay > window_ns ? window_ns : delay;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(crit_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, crit_slice(), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(crit_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct crit_task *ct = bpf_task_storage_get(&crit_tasks, p, 0, 0);
	u64 q = MAIN_Q;
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		if (p->flags & PF_KTHREAD) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_hi, enq_flags);
			return;
		}
		q = FIXED_Q(scx_bpf_task_cpu(p));
	}
	scx_bpf_dsq_insert_vtime(p, q, crit_slice(),
				 bpf_ktime_get_ns() + (ct ? crit_delay(p, ct) : window_ns / 2),
				 enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(crit_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 i = (u32)cpu & (MAX_CPUS - 1);
	u64 a = MAIN_Q, b = FIXED_Q(i);

	parity[i]++;
	if (parity[i] & 1) {
		a = FIXED_Q(i);
		b = MAIN_Q;
	}
	if (!scx_bpf_dsq_move_to_local(a))
		scx_bpf_dsq_move_to_local(b);
}

void SEC("struct_ops/runnable") BPF_PROG(crit_runnable, struct task_struct *p, u64 enq_flags)
{
	struct crit_task *ct = bpf_task_storage_get(&crit_tasks, p, 0, 0);
	struct task_struct *waker;
	u64 now = bpf_ktime_get_ns();

	__sync_fetch_and_add(&nr_runnable, 1);
	if (!ct || !(enq_flags & SCX_ENQ_WAKEUP))
		return;
	ct->wait_freq = freq_sample(ct->wait_freq, now - ct->last_woken);
	ct->last_woken = now;
	ct->avg_run = ewma(ct->avg_run, ct->acc_run);
	ct->acc_run = 0;

	waker = bpf_get_current_task_btf();
	if (waker->flags & PF_KTHREAD)
		return;
	ct = bpf_task_storage_get(&crit_tasks, waker, 0, 0);
	if (!ct)
		return;
	ct->wake_freq = freq_sample(ct->wake_freq, now - ct->last_waking);
	ct->last_waking = now;
}

void SEC("struct_ops/quiescent") BPF_PROG(crit_quiescent, struct task_struct *p, u64 deq_flags)
{
	__sync_fetch_and_add(&nr_runnable, -1ULL);
}

void SEC("struct_ops/running") BPF_PROG(crit_running, struct task_struct *p)
{
	struct crit_task *ct = bpf_task_storage_get(&crit_tasks, p, 0, 0);

	if (ct)
		ct->run_from = p->se.sum_exec_runtime;
}

void SEC("struct_ops/stopping") BPF_PROG(crit_stopping, struct task_struct *p, bool runnable)
{
	struct crit_task *ct = bpf_task_storage_get(&crit_tasks, p, 0, 0);

	if (!ct)
		return;
	ct->acc_run += p->se.sum_exec_runtime - ct->run_from;
	/* a task that never sleeps would otherwise never be sampled */
	if (ct->acc_run > ct->avg_run)
		ct->avg_run = ewma(ct->avg_run, ct->acc_run);
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(crit_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct crit_task *ct;

	ct = bpf_task_storage_get(&crit_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!ct)
		return -12; /* -ENOMEM */
	ct->last_woken = ct->last_waking = bpf_ktime_get_ns();
	ct->avg_run = slice_lo;
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(crit_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 ret = scx_bpf_create_dsq(MAIN_Q, -1);

	nr_cpus = nr ?: 1;
	for (i = 0; i < MAX_CPUS && i < nr && !ret; i++)
		ret = scx_bpf_create_dsq(FIXED_Q(i), -1);
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops crit_ops = {
	.select_cpu = (void *)crit_select_cpu,
	.enqueue = (void *)crit_enqueue,
	.dispatch = (void *)crit_dispatch,
	.runnable = (void *)crit_runnable,
	.quiescent = (void *)crit_quiescent,
	.running = (void *)crit_running,
	.stopping = (void *)crit_stopping,
	.init_task = (void *)crit_init_task,
	.init = (void *)crit_init,
	.name = "crit_chain",
};
