// SPDX-License-Identifier: GPL-2.0
/*
 * Shortest predicted burst first, by arrival time plus ten times the prediction but never more
 * than 300 ms, which is the ageing.
 */
/*
 * The next burst is predicted from the previous ones (exponential average).
 * A long job is placed later than short ones, yet only as far as sf_limit_ns.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

const volatile u64 sf_slice_ns = 4 * 1000 * 1000;
const volatile u64 sf_limit_ns = 300 * 1000 * 1000;
const volatile u64 sf_factor = 10;

#define SF_QUEUE 0x5f5f

struct sf_job {
	u64 mark;
	u64 burst;
	u64 guess;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sf_job);
} sf_jobs SEC(".maps");

static struct sf_job *sf_job_of(struct task_struct *p)
{
	return bpf_task_storage_get(&sf_jobs, p, 0, 0);
}

static u64 sf_delay(struct sf_job *job, u64 weight)
{
	u64 guess = sf_slice_ns;
	u64 delay;

	if (job)
		guess = job->guess > job->burst ? job->guess : job->burst;
	if (guess > sf_limit_ns)
		guess = sf_limit_ns;
	if (!weight)
		weight = 1;

	delay = guess * sf_factor * 100 / weight;
	return delay < sf_limit_ns ? delay : sf_limit_ns;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(sf_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, sf_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(sf_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 when = scx_bpf_now() + sf_delay(sf_job_of(p), p->scx.weight);
	u64 held = p->scx.dsq_vtime;
	s32 cpu;

	/* queued already and not served: the earlier place counts */
	if (held && (s64)(held - when) < 0)
		when = held;

	scx_bpf_dsq_insert_vtime(p, SF_QUEUE, sf_slice_ns, when, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(sf_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(SF_QUEUE);
}

void SEC("struct_ops/running") BPF_PROG(sf_running, struct task_struct *p)
{
	struct sf_job *job = sf_job_of(p);

	p->scx.dsq_vtime = 0;
	if (job)
		job->mark = p->se.sum_exec_runtime;
}

void SEC("struct_ops/stopping") BPF_PROG(sf_stopping, struct task_struct *p, bool runnable)
{
	struct sf_job *job = sf_job_of(p);

	if (!job)
		return;
	job->burst += p->se.sum_exec_runtime - job->mark;
	job->mark = p->se.sum_exec_runtime;
	if (!runnable) {
		job->guess = (job->guess + job->burst) / 2;
		job->burst = 0;
	}
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(sf_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct sf_job *job;

	job = bpf_task_storage_get(&sf_jobs, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (job) {
		job->mark = p->se.sum_exec_runtime;
		job->guess = sf_slice_ns;
	}
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(sf_init)
{
	return scx_bpf_create_dsq(SF_QUEUE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops sf_ops = {
	.select_cpu = (void *)sf_select_cpu,
	.enqueue = (void *)sf_enqueue,
	.dispatch = (void *)sf_dispatch,
	.running = (void *)sf_running,
	.stopping = (void *)sf_stopping,
	.init_task = (void *)sf_init_task,
	.init = (void *)sf_init,
	.name = "short_first",
};
