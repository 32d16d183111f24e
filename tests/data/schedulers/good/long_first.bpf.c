// SPDX-License-Identifier: GPL-2.0
/*
 * longest expected burst first within a bounded window of arrival times (ages by construction);
 * per-CPU statistics and a record of the exit reason.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define MAX_CPUS   1024
#define POOL_Q	   0x4000ULL
#define PIN_Q(cpu) ((u64)((u32)(cpu) & (MAX_CPUS - 1)))

/*
 * Starting the longest jobs first shortens the makespan of a batch. The order
 * is by arrival, with the arrival antedated by up to advance_ns for tasks with
 * long bursts and for heavy ones. A task that waits longer than advance_ns is
 * ahead of everything that arrives from then on, so short tasks can't starve.
 */
const volatile u64 slice_ns = 8000000ULL;
const volatile u64 advance_ns = 60000000ULL;

enum lf_stat {
	LONG_DIRECT,
	LONG_QUEUED,
	LONG_PINNED,
	LONG_KTHREAD,
	LONG_KICKED,
	LONG_PICKED,
	LONG_DRY,
	LONG_NR_STATS,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LONG_NR_STATS);
	__type(key, u32);
	__type(value, u64);
} lf_stats SEC(".maps");

struct lf_task {
	u64 run_start;
	u64 burst;
	u64 expected;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct lf_task);
} lf_tasks SEC(".maps");

/* for whoever unloads the scheduler */
struct lf_exit_record {
	s32 kind;
	s64 code;
	char reason[128];
	char msg[256];
} exit_record;

static __always_inline void count(u32 what)
{
	u64 *n = bpf_map_lookup_elem(&lf_stats, &what);

	if (n)
		(*n)++;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(lf_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu;

	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle) {
		count(LONG_DIRECT);
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	}
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(lf_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct lf_task *lt = bpf_task_storage_get(&lf_tasks, p, 0, 0);
	u64 ahead = lt ? lt->expected : 0, q = POOL_Q;
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		if (p->flags & PF_KTHREAD) {
			count(LONG_KTHREAD);
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
			return;
		}
		count(LONG_PINNED);
		q = PIN_Q(scx_bpf_task_cpu(p));
	} else {
		count(LONG_QUEUED);
	}

	ahead = ahead * p->scx.weight / 100;
	if (ahead > advance_ns)
		ahead = advance_ns;
	scx_bpf_dsq_insert_vtime(p, q, slice_ns, bpf_ktime_get_ns() - ahead, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0) {
		count(LONG_KICKED);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	}
}

void SEC("struct_ops/dispatch") BPF_PROG(lf_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 picked = LONG_PICKED;
	u64 *n = bpf_map_lookup_elem(&lf_stats, &picked);

	/* pinned tasks first on every other pick of this CPU */
	if (n && (*n & 1) && scx_bpf_dsq_move_to_local(PIN_Q(cpu))) {
		(*n)++;
		return;
	}
	if (scx_bpf_dsq_move_to_local(POOL_Q) || scx_bpf_dsq_move_to_local(PIN_Q(cpu))) {
		if (n)
			(*n)++;
		return;
	}
	count(LONG_DRY);
}

void SEC("struct_ops/running") BPF_PROG(lf_running, struct task_struct *p)
{
	struct lf_task *lt = bpf_task_storage_get(&lf_tasks, p, 0, 0);

	if (lt)
		lt->run_start = p->se.sum_exec_runtime;
}

void SEC("struct_ops/stopping") BPF_PROG(lf_stopping, struct task_struct *p, bool runnable)
{
	struct lf_task *lt = bpf_task_storage_get(&lf_tasks, p, 0, 0);

	if (!lt)
		return;
	lt->burst += p->se.sum_exec_runtime - lt->run_start;
	/* the estimate ends at a third of the window, the rest is left to the weight */
	if (lt->burst > advance_ns / 3)
		lt->burst = advance_ns / 3;
	if (!runnable) {
		lt->expected = lt->expected / 4 * 3 + lt->burst / 4;
		lt->burst = 0;
	} else if (lt->expected < lt->burst) {
		lt->expected = lt->burst;
	}
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(lf_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	if (bpf_task_storage_get(&lf_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE))
		return 0;
	return -12; /* -ENOMEM */
}

s32 SEC("struct_ops.s/init") BPF_PROG(lf_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 ret = scx_bpf_create_dsq(POOL_Q, -1);

	for (i = 0; i < MAX_CPUS && i < nr && !ret; i++)
		ret = scx_bpf_create_dsq(PIN_Q(i), -1);
	return ret;
}

void SEC("struct_ops/exit") BPF_PROG(lf_exit, struct scx_exit_info *ei)
{
	exit_record.kind = ei->kind;
	exit_record.code = ei->exit_code;
	bpf_probe_read_kernel_str(exit_record.reason, sizeof(exit_record.reason), ei->reason);
	bpf_probe_read_kernel_str(exit_record.msg, sizeof(exit_record.msg), ei->msg);
}

SEC(".struct_ops.link")
struct sched_ext_ops long_ops = {
	.select_cpu = (void *)lf_select_cpu,
	.enqueue = (void *)lf_enqueue,
	.dispatch = (void *)lf_dispatch,
	.running = (void *)lf_running,
	.stopping = (void *)lf_stopping,
	.init_task = (void *)lf_init_task,
	.init = (void *)lf_init,
	.exit = (void *)lf_exit,
	.timeout_ms = 15000,
	.name = "long_first",
};
