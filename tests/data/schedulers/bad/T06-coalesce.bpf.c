// SPDX-License-Identifier: GPL-2.0
/*
 * T06: wake-up IPIs are sent only for every fourth insert; the remaining one to three tasks wait
 * until some CPU happens to dispatch, while other CPUs sleep. Shows with few wakeups beside
 * long-running tasks (waits of up to a whole slice with idle CPUs). Stopped at Bytecode or
 * Dynamic.
 */
/*
 * Global FIFO; IPIs to idle CPUs are coalesced to keep the wake-up path cheap.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define FIFO	   0x77
#define IPI_BATCH  4

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} unsent SEC(".maps");

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = SCX_SLICE_DFL * p->scx.weight / 100;

	if (s < 2000000)
		s = 2000000;
	if (s > 2 * SCX_SLICE_DFL)
		s = 2 * SCX_SLICE_DFL;
	return s;
}

static int send_one(u32 i, void *arg)
{
	const struct cpumask *online = scx_bpf_get_online_cpumask();
	s32 cpu = scx_bpf_pick_idle_cpu(online, 0);

	scx_bpf_put_cpumask(online);
	if (cpu < 0)
		return 1;
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	return 0;
}

static __always_inline void flush_ipis(u64 least)
{
	u32 zero = 0, n;
	u64 *cnt = bpf_map_lookup_elem(&unsent, &zero);

	if (!cnt || *cnt < least)
		return;
	n = *cnt;
	*cnt = 0;
	bpf_loop(n, send_one, 0, 0);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(co_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	if (bpf_cpumask_test_cpu(prev_cpu, p->cpus_ptr) &&
	    scx_bpf_test_and_clear_cpu_idle(prev_cpu))
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(co_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 zero = 0;
	u64 *cnt;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}

	scx_bpf_dsq_insert(p, FIFO, slice_of(p), enq_flags);
	cnt = bpf_map_lookup_elem(&unsent, &zero);
	if (cnt)
		__sync_fetch_and_add(cnt, 1);
	flush_ipis(IPI_BATCH);
}

void SEC("struct_ops/dispatch") BPF_PROG(co_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(FIFO);
	if (scx_bpf_dsq_nr_queued(FIFO) > 0)
		flush_ipis(1);
}

s32 SEC("struct_ops.s/init") BPF_PROG(co_init)
{
	return scx_bpf_create_dsq(FIFO, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops co_ops = {
	.select_cpu = (void *)co_select_cpu,
	.enqueue = (void *)co_enqueue,
	.dispatch = (void *)co_dispatch,
	.init = (void *)co_init,
	.name = "coalesce",
};
