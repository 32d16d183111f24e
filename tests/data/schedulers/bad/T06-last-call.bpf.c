// SPDX-License-Identifier: GPL-2.0
/*
 * T06: the last task goes on although a queue of tasks that run elsewhere is all that is waiting,
 * and then the CPU idles beside a task that waits. Stopped at Bytecode or Dynamic.
 */
/*
 * lastcall: one shared vtime queue; a CPU that is left with one task keeps it without a detour.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LC_QUEUE 0xaULL
#define LC_SLICE (10ULL * 1000 * 1000)
#define LC_LAG	 (2 * LC_SLICE)

struct lc_span {
	u64 since;
	u64 vtime;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct lc_span);
} lc_spans SEC(".maps");

static u64 lc_now;

static __always_inline void lc_kick_idle(struct task_struct *p)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(lc_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct lc_span *s = bpf_task_storage_get(&lc_spans, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!s)
		return -12;
	s->vtime = lc_now;
	return 0;
}

void SEC("struct_ops/enqueue") BPF_PROG(lc_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct lc_span *s = bpf_task_storage_get(&lc_spans, p, 0, 0);
	bool last = enq_flags & SCX_ENQ_LAST;

	if (!s || p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, LC_SLICE, enq_flags);
		return;
	}

	/* nothing else to do: no detour */
	if (last && !scx_bpf_dsq_nr_queued(LC_QUEUE)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, LC_SLICE, enq_flags);
		return;
	}

	if ((s64)(s->vtime - (lc_now - LC_LAG)) < 0)
		s->vtime = lc_now - LC_LAG;
	if ((s64)(s->vtime - (lc_now + 50 * LC_LAG)) > 0)
		s->vtime = lc_now + 50 * LC_LAG;

	scx_bpf_dsq_insert_vtime(p, LC_QUEUE, LC_SLICE, s->vtime, enq_flags);

	/* the last task of a CPU has a CPU, wake another one for all others */
	if (!last)
		lc_kick_idle(p);
}

void SEC("struct_ops/dispatch") BPF_PROG(lc_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(LC_QUEUE);
}

void SEC("struct_ops/running") BPF_PROG(lc_running, struct task_struct *p)
{
	struct lc_span *s = bpf_task_storage_get(&lc_spans, p, 0, 0);

	if (!s)
		return;
	s->since = bpf_ktime_get_ns();
	if (p->nr_cpus_allowed > 1 && (s64)(s->vtime - lc_now) > 0)
		lc_now = s->vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(lc_stopping, struct task_struct *p, bool runnable)
{
	struct lc_span *s = bpf_task_storage_get(&lc_spans, p, 0, 0);
	u64 w = p->scx.weight ? p->scx.weight : 1;

	if (s && s->since)
		s->vtime += (bpf_ktime_get_ns() - s->since) * 100 / w;
}

s32 SEC("struct_ops.s/init") BPF_PROG(lc_init)
{
	return scx_bpf_create_dsq(LC_QUEUE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops lastcall_ops = {
	.init_task = (void *)lc_init_task,
	.enqueue = (void *)lc_enqueue,
	.dispatch = (void *)lc_dispatch,
	.running = (void *)lc_running,
	.stopping = (void *)lc_stopping,
	.init = (void *)lc_init,
	.flags = SCX_OPS_ENQ_LAST,
	.name = "lastcall",
};
