// SPDX-License-Identifier: GPL-2.0
/*
 * K04: a flag that says that a task was queued again is lost in 32 bits, so that it bounces until
 * the kernel's limit. Stopped at Bytecode or Dynamic.
 */
/*
 * atonce: woken tasks either get on a CPU at once or line up with all others.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define AO_LINE	 0x3aULL
#define AO_SLICE (5ULL * 1000 * 1000)
#define AO_QUICK (1ULL * 1000 * 1000)

struct ao_task {
	u32 woken; /* and not run since */
	u32 bounced;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ao_task);
} ao_tasks SEC(".maps");

static __always_inline bool ao_came_back(u32 enq_flags)
{
	return enq_flags & SCX_ENQ_REENQ;
}

void SEC("struct_ops/runnable") BPF_PROG(ao_runnable, struct task_struct *p, u64 enq_flags)
{
	struct ao_task *t = bpf_task_storage_get(&ao_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (t)
		t->woken = !!(enq_flags & SCX_ENQ_WAKEUP);
}

void SEC("struct_ops/enqueue") BPF_PROG(ao_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct ao_task *t = bpf_task_storage_get(&ao_tasks, p, 0, 0);
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, AO_SLICE, enq_flags);
		return;
	}

	if (t && t->woken) {
		if (!ao_came_back(enq_flags)) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, AO_QUICK, enq_flags | SCX_ENQ_IMMED);
			return;
		}
		t->woken = 0;
		t->bounced++;
	}

	scx_bpf_dsq_insert(p, AO_LINE, AO_SLICE, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(ao_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(AO_LINE);
}

void SEC("struct_ops/running") BPF_PROG(ao_running, struct task_struct *p)
{
	struct ao_task *t = bpf_task_storage_get(&ao_tasks, p, 0, 0);

	if (t)
		t->woken = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(ao_init)
{
	return scx_bpf_create_dsq(AO_LINE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops atonce_ops = {
	.runnable = (void *)ao_runnable,
	.enqueue = (void *)ao_enqueue,
	.dispatch = (void *)ao_dispatch,
	.running = (void *)ao_running,
	.init = (void *)ao_init,
	.name = "atonce",
};
