// SPDX-License-Identifier: GPL-2.0
/*
 * FIFO in a BPF queue map of pids; when the map is full the task goes straight to the DSQ that
 * every CPU reads, and each dispatch first passes up to 24 pids on to that DSQ.
 */
/*
 * Arrival order is kept in a BPF_MAP_TYPE_QUEUE. Popped tasks pass through
 * PQ_READY, which takes care of affinity. A pid that is not found belongs to
 * a task that left; the kernel runs exiting tasks by itself.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PQ_READY  0x900d
#define PQ_BATCH  24
#define PQ_ROUNDS 4

const volatile u64 pq_slice_ns = 4 * 1000 * 1000ULL;

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 8192);
	__type(value, s32);
} pq_pids SEC(".maps");

u64 pq_nr_full;

static __always_inline void pq_kick(struct task_struct *p)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(pq_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, pq_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(pq_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	if (bpf_map_push_elem(&pq_pids, &pid, 0)) {
		__sync_fetch_and_add(&pq_nr_full, 1);
		scx_bpf_dsq_insert(p, PQ_READY, pq_slice_ns, enq_flags);
	}
	pq_kick(p);
}

/*
 * Both queues are FIFO, so the order is kept however many are passed on. The
 * number stays below the dispatch batch of the kernel. Returns how many pids
 * were taken.
 */
static __always_inline u32 pq_pass_on(void)
{
	struct task_struct *p;
	s32 pid;
	u32 i;

	for (i = 0; i < PQ_BATCH; i++) {
		if (bpf_map_pop_elem(&pq_pids, &pid))
			break;
		p = bpf_task_from_pid(pid);
		if (!p)
			continue;
		scx_bpf_dsq_insert(p, PQ_READY, pq_slice_ns, 0);
		bpf_task_release(p);
	}
	return i;
}

void SEC("struct_ops/dispatch") BPF_PROG(pq_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 round, taken;

	for (round = 0; round < PQ_ROUNDS; round++) {
		taken = pq_pass_on();
		if (scx_bpf_dsq_move_to_local(PQ_READY))
			return;
		if (taken < PQ_BATCH)
			return;
	}

	/* not one of these could run here, but there may be more */
	scx_bpf_kick_cpu(cpu, 0);
}

s32 SEC("struct_ops.s/init") BPF_PROG(pq_init)
{
	return scx_bpf_create_dsq(PQ_READY, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops pq_ops = {
	.select_cpu = (void *)pq_select_cpu,
	.enqueue = (void *)pq_enqueue,
	.dispatch = (void *)pq_dispatch,
	.init = (void *)pq_init,
	.name = "pid_queue",
};
