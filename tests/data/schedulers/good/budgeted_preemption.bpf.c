// SPDX-License-Identifier: GPL-2.0
/*
 * A task that wakes after a short burst takes the CPU it last ran on from whoever runs there, for
 * `burst_ns`, as long as such tasks used less than `budget_percent` of that CPU in this window.
 * Everybody else waits in order of arrival, and so does it when the budget is spent. Replayed as a
 * service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define ARRIVALS 0x8a

const volatile u64 burst_ns = 2000000;
const volatile u64 slice_ns = 8000000;
const volatile u64 window_ns = 100000000;
const volatile u32 budget_percent = 40;

enum { NO_MEMORY = 12 };

struct urgency {
	u64 burst_ns;
	u64 running_at;
	bool brief;  /* its last burst was */
	bool urgent; /* it runs on the budget */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct urgency);
} urgencies SEC(".maps");

struct budget {
	u64 window_at;
	u64 used_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct budget);
} budgets SEC(".maps");

static struct budget *budget_of(s32 cpu)
{
	u32 zero = 0;
	u64 now = bpf_ktime_get_ns();
	struct budget *budget = bpf_map_lookup_percpu_elem(&budgets, &zero, cpu);

	if (budget && now - budget->window_at > window_ns) {
		budget->window_at = now;
		budget->used_ns = 0;
	}
	return budget;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(urgent_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(urgent_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct urgency *urgency = bpf_task_storage_get(&urgencies, p, 0, 0);
	struct budget *budget = budget_of(scx_bpf_task_cpu(p));
	s32 idle;

	if (urgency && budget && (enq_flags & SCX_ENQ_WAKEUP) && urgency->brief &&
	    budget->used_ns * 100 < window_ns * budget_percent) {
		urgency->urgent = true;
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, burst_ns, enq_flags | SCX_ENQ_PREEMPT);
		return;
	}
	scx_bpf_dsq_insert(p, ARRIVALS, slice_ns, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(urgent_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(ARRIVALS);
}

void SEC("struct_ops/running") BPF_PROG(urgent_running, struct task_struct *p)
{
	struct urgency *urgency = bpf_task_storage_get(&urgencies, p, 0, 0);

	if (urgency)
		urgency->running_at = bpf_ktime_get_ns();
}

void SEC("struct_ops/stopping") BPF_PROG(urgent_stopping, struct task_struct *p, bool runnable)
{
	struct urgency *urgency = bpf_task_storage_get(&urgencies, p, 0, 0);
	struct budget *budget = budget_of(scx_bpf_task_cpu(p));
	u64 used;

	if (!urgency || !budget)
		return;
	used = bpf_ktime_get_ns() - urgency->running_at;
	urgency->burst_ns += used;
	if (urgency->urgent)
		budget->used_ns += used;
	urgency->urgent = false;
}

void SEC("struct_ops/quiescent") BPF_PROG(urgent_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct urgency *urgency = bpf_task_storage_get(&urgencies, p, 0, 0);

	if (!urgency || !(deq_flags & SCX_DEQ_SLEEP))
		return;
	urgency->brief = urgency->burst_ns <= burst_ns;
	urgency->burst_ns = 0;
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(urgent_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	if (!bpf_task_storage_get(&urgencies, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE))
		return -NO_MEMORY;
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(urgent_init)
{
	return scx_bpf_create_dsq(ARRIVALS, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops urgent_ops = {
	.select_cpu = (void *)urgent_select_cpu,
	.enqueue = (void *)urgent_enqueue,
	.dispatch = (void *)urgent_dispatch,
	.running = (void *)urgent_running,
	.stopping = (void *)urgent_stopping,
	.quiescent = (void *)urgent_quiescent,
	.init_task = (void *)urgent_init_task,
	.init = (void *)urgent_init,
	.name = "budgeted_preemption",
};
