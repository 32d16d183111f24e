// SPDX-License-Identifier: GPL-2.0
/*
 * Order of arrival with slices by what a task has done so far. That a task is not known is
 * impossible, and the one thing that ends this scheduler; the queue is given the task even then.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define KNOWN_Q 0xd09

enum { NO_MEMORY = 12 };

struct known {
	u64 runs;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct known);
} known_tasks SEC(".maps");

static char unknown[] = "task %d is not known";

static struct known *known_of(struct task_struct *p)
{
	struct known *known = bpf_task_storage_get(&known_tasks, p, 0, 0);

	if (!known)
		scx_bpf_error_bstr(unknown, (unsigned long long[]){p->pid}, sizeof(u64));
	return known;
}

void SEC("struct_ops/enqueue") BPF_PROG(known_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct known *known = known_of(p);
	s32 idle;

	scx_bpf_dsq_insert(p, KNOWN_Q, known && known->runs < 8 ? 2000000 : 8000000, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(known_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(KNOWN_Q);
}

void SEC("struct_ops/running") BPF_PROG(known_running, struct task_struct *p)
{
	struct known *known = known_of(p);

	if (known)
		known->runs += 1;
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(known_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&known_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE)
		       ? 0
		       : -NO_MEMORY;
}

s32 SEC("struct_ops.s/init") BPF_PROG(known_init)
{
	return scx_bpf_create_dsq(KNOWN_Q, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops known_ops = {
	.enqueue = (void *)known_enqueue,
	.dispatch = (void *)known_dispatch,
	.running = (void *)known_running,
	.init_task = (void *)known_init_task,
	.init = (void *)known_init,
	.name = "errors_for_the_impossible",
};
