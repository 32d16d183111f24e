// SPDX-License-Identifier: GPL-2.0
/*
 * Two classes. Tasks whose last burst was short go first. The others earn a token every
 * `token_ns`, `tokens_most` at most, and as long as there is one, they go first.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SHORT_BURSTS 0x2a
#define LONG_BURSTS  0x2b

const volatile u64 token_ns = 8000000;
const volatile s64 tokens_most = 16;
const volatile u64 short_ns = 2000000;

enum { NO_MEMORY = 12 };

struct burst_ctx {
	u64 burst_ns;
	u64 last_burst_ns;
	u64 running_at;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct burst_ctx);
} bursts SEC(".maps");

static u64 tokens_at;
static s64 tokens;

/* Races lose or double a token, which does no harm. */
static bool token_taken(void)
{
	u64 now = bpf_ktime_get_ns(), earned = (now - tokens_at) / (token_ns ?: 1);

	if (now > tokens_at && earned) {
		tokens_at = now;
		if (earned > tokens_most)
			earned = tokens_most;
		tokens = tokens + (s64)earned > tokens_most ? tokens_most : tokens + earned;
	}
	if (tokens <= 0)
		return false;
	tokens -= 1;
	return true;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(token_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(token_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct burst_ctx *burst = bpf_task_storage_get(&bursts, p, 0, 0);
	bool brief = burst && burst->burst_ns <= short_ns && burst->last_burst_ns <= short_ns;
	s32 idle;

	scx_bpf_dsq_insert(p, brief ? SHORT_BURSTS : LONG_BURSTS, 4000000, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(token_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_nr_queued(LONG_BURSTS) > 0 && token_taken() &&
	    scx_bpf_dsq_move_to_local(LONG_BURSTS))
		return;
	if (!scx_bpf_dsq_move_to_local(SHORT_BURSTS))
		scx_bpf_dsq_move_to_local(LONG_BURSTS);
}

void SEC("struct_ops/running") BPF_PROG(token_running, struct task_struct *p)
{
	struct burst_ctx *burst = bpf_task_storage_get(&bursts, p, 0, 0);

	if (burst)
		burst->running_at = bpf_ktime_get_ns();
}

void SEC("struct_ops/stopping") BPF_PROG(token_stopping, struct task_struct *p, bool runnable)
{
	struct burst_ctx *burst = bpf_task_storage_get(&bursts, p, 0, 0);
	u64 now = bpf_ktime_get_ns();

	if (burst && burst->running_at && now > burst->running_at)
		burst->burst_ns += now - burst->running_at;
}

void SEC("struct_ops/quiescent") BPF_PROG(token_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct burst_ctx *burst = bpf_task_storage_get(&bursts, p, 0, 0);

	if (!burst || !(deq_flags & SCX_DEQ_SLEEP))
		return;
	burst->last_burst_ns = burst->burst_ns;
	burst->burst_ns = 0;
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(token_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&bursts, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -NO_MEMORY;
}

s32 SEC("struct_ops.s/init") BPF_PROG(token_init)
{
	s32 err = scx_bpf_create_dsq(SHORT_BURSTS, -1);

	return err ?: scx_bpf_create_dsq(LONG_BURSTS, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops token_ops = {
	.select_cpu = (void *)token_select_cpu,
	.enqueue = (void *)token_enqueue,
	.dispatch = (void *)token_dispatch,
	.running = (void *)token_running,
	.stopping = (void *)token_stopping,
	.quiescent = (void *)token_quiescent,
	.init_task = (void *)token_init_task,
	.init = (void *)token_init,
	.name = "classes_by_tokens",
};
