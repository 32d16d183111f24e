// SPDX-License-Identifier: GPL-2.0
/*
 * Q08: quiescent() flips the preferred side of the machine (lower or upper half of the CPUs)
 * each time a task goes to sleep, and select_cpu() looks for an idle CPU there first: every
 * wakeup moves the task to the other half, across caches. Nothing exits. Stopped at Bytecode or
 * Dynamic.
 */
/*
 * Two sides with a queue each; wakeups go to the task's side if it has an idle
 * CPU, CPUs without work help the other side.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define SIDE_DSQ   0x20ULL

struct sd_task {
	u32 side;
	u32 sleeps;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sd_task);
} sd_tasks SEC(".maps");

struct sd_find {
	u32 first;
	s32 found;
};

static u32 nr_cpus = 2;

static __always_inline u32 half(void)
{
	return (nr_cpus + 1) / 2;
}

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = 8000000ULL * p->scx.weight / 100;

	return s < 1000000 ? 1000000 : s > 30000000 ? 30000000 : s;
}

static int find_idle(u32 i, void *arg)
{
	struct sd_find *f = arg;
	u32 cpu = f->first + i;

	if (cpu >= nr_cpus || !scx_bpf_test_and_clear_cpu_idle(cpu))
		return 0;
	f->found = cpu;
	return 1;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(sd_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct sd_task *t = bpf_task_storage_get(&sd_tasks, p, 0, 0);
	struct sd_find f = {.found = -1};
	bool is_idle = false;
	s32 cpu;

	/* only tasks which may run everywhere have a side */
	if (t && (u32)p->nr_cpus_allowed >= nr_cpus) {
		f.first = (t->side & 1) ? half() : 0;
		bpf_loop(half(), find_idle, &f, 0);
		if (f.found >= 0) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
			return f.found;
		}
	}
	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(sd_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, SIDE_DSQ + ((u32)cpu >= half()), slice_of(p), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(sd_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 side = (u32)cpu >= half();

	if (scx_bpf_dsq_move_to_local(SIDE_DSQ + side))
		return;
	scx_bpf_dsq_move_to_local(SIDE_DSQ + (side ^ 1));
}

void SEC("struct_ops/quiescent") BPF_PROG(sd_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct sd_task *t;

	if (!(deq_flags & SCX_DEQ_SLEEP))
		return;
	t = bpf_task_storage_get(&sd_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t)
		return;
	/* keep both sides evenly filled */
	t->sleeps++;
	t->side = (u32)scx_bpf_task_cpu(p) < half();
}

s32 SEC("struct_ops.s/init") BPF_PROG(sd_init)
{
	s32 err;

	nr_cpus = scx_bpf_nr_cpu_ids();
	err = scx_bpf_create_dsq(SIDE_DSQ, -1);
	if (err)
		return err;
	return scx_bpf_create_dsq(SIDE_DSQ + 1, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops sd_ops = {
	.select_cpu = (void *)sd_select_cpu,
	.enqueue = (void *)sd_enqueue,
	.dispatch = (void *)sd_dispatch,
	.quiescent = (void *)sd_quiescent,
	.init = (void *)sd_init,
	.name = "sides",
};
