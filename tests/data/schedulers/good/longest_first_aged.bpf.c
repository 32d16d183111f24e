// SPDX-License-Identifier: GPL-2.0
/*
 * The task that has used most CPU time runs first, as in batches that end with their longest job.
 * Ten times a second each CPU looks through the end of the queue, and whoever has waited for
 * `patience_ns` goes to a second queue, in order of arrival, which comes before the first.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BY_LENGTH 0x1001
#define WAITED	  0x1002

const volatile u64 slice_ns = 8000000;
const volatile u64 patience_ns = 400000000;

#define SCAN_NS	   100000000ULL
#define SCAN_TASKS 64
#define ORDER_BASE (1ULL << 62)

struct look {
	u64 next_at;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct look);
} looks SEC(".maps");

struct since {
	u64 waiting_at;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct since);
} sinces SEC(".maps");

static void wave_through(u64 now)
{
	struct task_struct *p;
	u32 seen = 0;

	bpf_for_each (scx_dsq, p, BY_LENGTH, SCX_DSQ_ITER_REV) {
		struct since *since = bpf_task_storage_get(&sinces, p, 0, 0);

		if (!since || now - since->waiting_at > patience_ns)
			scx_bpf_dsq_move(&___it, p, WAITED, 0);
		if (++seen >= SCAN_TASKS)
			break;
	}
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(longest_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(longest_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct since *since = bpf_task_storage_get(&sinces, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	u64 used = p->se.sum_exec_runtime;
	s32 idle;

	if (since)
		since->waiting_at = bpf_ktime_get_ns();
	scx_bpf_dsq_insert_vtime(p, BY_LENGTH, slice_ns, ORDER_BASE - (used >> 10), enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(longest_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 now = bpf_ktime_get_ns();
	u32 zero = 0;
	struct look *look = bpf_map_lookup_elem(&looks, &zero);

	if (look && now >= look->next_at) {
		look->next_at = now + SCAN_NS;
		wave_through(now);
	}
	if (!scx_bpf_dsq_move_to_local(WAITED))
		scx_bpf_dsq_move_to_local(BY_LENGTH);
}

s32 SEC("struct_ops.s/init") BPF_PROG(longest_init)
{
	s32 err = scx_bpf_create_dsq(BY_LENGTH, -1);

	return err ?: scx_bpf_create_dsq(WAITED, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops longest_ops = {
	.select_cpu = (void *)longest_select_cpu,
	.enqueue = (void *)longest_enqueue,
	.dispatch = (void *)longest_dispatch,
	.init = (void *)longest_init,
	.name = "longest_first_aged",
};
