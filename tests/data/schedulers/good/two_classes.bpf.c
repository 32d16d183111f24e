// SPDX-License-Identifier: GPL-2.0
/*
 * interactive and batch classes; interactive first, but a batch queue that was not served for a
 * while gets the next pick (ageing bound per CPU).
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define ENOMEM	   12
#define MAX_CPUS   1024
#define MS	   1000000ULL

enum two_queues {
	TWO_Q_PINNED_BASE = 0,	     /* + cpu */
	TWO_Q_INTERACTIVE = 0x10000, /* by arrival, weight gives a head start */
	TWO_Q_BATCH = 0x10001,	     /* by arrival, weight gives a head start */
};

/*
 * A task is interactive while it runs for less than burst_limit between two
 * sleeps, averaged; batch tasks run longer slices. The class order alone would
 * let a crowd of interactive tasks starve the batch tasks. Each CPU therefore
 * remembers when it last took a batch task; if that was more than
 * batch_patience ago, batch may go first once in four picks.
 */
const volatile u64 burst_limit = 3 * MS;
const volatile u64 interactive_slice = 3 * MS;
const volatile u64 batch_slice = 12 * MS;
const volatile u64 batch_patience = 25 * MS;
const volatile u64 pinned_patience = 15 * MS;
const volatile u64 headstart_max = 100 * MS;

struct two_task {
	u64 run_start;
	u64 burst; /* since the last sleep */
	u64 burst_avg;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct two_task);
} two_tasks SEC(".maps");

struct two_cpu {
	u64 batch_at;  /* when this CPU last took a batch task */
	u64 pinned_at; /* when it last took a pinned one */
	u64 picks;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct two_cpu);
} two_cpus SEC(".maps");

static __always_inline bool is_batch(struct two_task *tt)
{
	return tt && tt->burst_avg > burst_limit;
}

static __always_inline u64 pinned_queue(s32 cpu)
{
	return TWO_Q_PINNED_BASE + ((u32)cpu & (MAX_CPUS - 1));
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(two_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct two_task *tt = bpf_task_storage_get(&two_tasks, p, 0, 0);
	bool is_idle = false;
	s32 cpu;

	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, is_batch(tt) ? batch_slice : interactive_slice,
				   0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(two_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct two_task *tt = bpf_task_storage_get(&two_tasks, p, 0, 0);
	bool batch = is_batch(tt);
	u64 slice = batch ? batch_slice : interactive_slice;
	u64 delay, q;
	s32 cpu;

	if (p->nr_cpus_allowed == 1 && (p->flags & PF_KTHREAD)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, interactive_slice, enq_flags);
		return;
	}

	/* both classes are ordered by "now plus something bounded" */
	delay = slice * 100 / p->scx.weight;
	if (delay > headstart_max)
		delay = headstart_max;

	if (p->nr_cpus_allowed == 1)
		q = pinned_queue(scx_bpf_task_cpu(p));
	else
		q = batch ? TWO_Q_BATCH : TWO_Q_INTERACTIVE;
	scx_bpf_dsq_insert_vtime(p, q, slice, bpf_ktime_get_ns() + delay, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(two_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 now = bpf_ktime_get_ns();
	struct two_cpu *tc;
	u32 zero = 0, n;

	tc = bpf_map_lookup_elem(&two_cpus, &zero);
	if (!tc)
		return;

	/* of four picks one may be for an overdue pinned task and one for an overdue batch task */
	n = tc->picks++ & 3;
	if (n == 0 && now - tc->pinned_at > pinned_patience) {
		tc->pinned_at = now;
		if (scx_bpf_dsq_move_to_local(pinned_queue(cpu)))
			return;
	}
	if (n == 2 && now - tc->batch_at > batch_patience) {
		tc->batch_at = now;
		if (scx_bpf_dsq_move_to_local(TWO_Q_BATCH))
			return;
	}

	if (scx_bpf_dsq_move_to_local(TWO_Q_INTERACTIVE))
		return;
	if (scx_bpf_dsq_move_to_local(pinned_queue(cpu))) {
		tc->pinned_at = now;
		return;
	}
	if (scx_bpf_dsq_move_to_local(TWO_Q_BATCH))
		tc->batch_at = now;
}

void SEC("struct_ops/running") BPF_PROG(two_running, struct task_struct *p)
{
	struct two_task *tt = bpf_task_storage_get(&two_tasks, p, 0, 0);

	if (tt)
		tt->run_start = p->se.sum_exec_runtime;
}

void SEC("struct_ops/stopping") BPF_PROG(two_stopping, struct task_struct *p, bool runnable)
{
	struct two_task *tt = bpf_task_storage_get(&two_tasks, p, 0, 0);

	if (!tt)
		return;

	tt->burst += p->se.sum_exec_runtime - tt->run_start;
	if (!runnable) {
		tt->burst_avg = (tt->burst_avg + tt->burst) / 2;
		tt->burst = 0;
	} else if (tt->burst > tt->burst_avg) {
		/* still going on: it is at least that long */
		tt->burst_avg = tt->burst;
		if (tt->burst_avg > 4 * batch_slice)
			tt->burst_avg = 4 * batch_slice;
	}
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(two_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct two_task *tt;

	tt = bpf_task_storage_get(&two_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!tt)
		return -ENOMEM;
	/* unknown yet: right at the limit, so the first burst decides */
	tt->burst_avg = burst_limit;
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(two_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 ret;

	ret = scx_bpf_create_dsq(TWO_Q_INTERACTIVE, -1);
	if (ret)
		return ret;
	ret = scx_bpf_create_dsq(TWO_Q_BATCH, -1);
	for (i = 0; i < MAX_CPUS && i < nr && !ret; i++)
		ret = scx_bpf_create_dsq(pinned_queue(i), -1);
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops two_ops = {
	.select_cpu = (void *)two_select_cpu,
	.enqueue = (void *)two_enqueue,
	.dispatch = (void *)two_dispatch,
	.running = (void *)two_running,
	.stopping = (void *)two_stopping,
	.init_task = (void *)two_init_task,
	.init = (void *)two_init,
	.name = "two_classes",
};
