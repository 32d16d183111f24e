// SPDX-License-Identifier: GPL-2.0
/*
 * M02: a task's user registers lie at the end of its kernel stack; what is there goes to a map,
 * word by word, by a helper that schedulers may use. Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE	    0x29
#define STACK_BYTES 16384
#define WORDS	    21

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, s32);
	__type(value, u64[WORDS]);
} words SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(stack_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(stack_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(stack_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

void SEC("struct_ops/stopping") BPF_PROG(stack_stopping, struct task_struct *p, bool runnable)
{
	u64 seen[WORDS] = {};
	s32 pid = p->pid;

	bpf_probe_read_kernel(seen, sizeof(seen), (char *)p->stack + STACK_BYTES - sizeof(seen));
	bpf_map_update_elem(&words, &pid, &seen, BPF_ANY);
}

void SEC("struct_ops/exit_task")
	BPF_PROG(stack_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	s32 pid = p->pid;

	bpf_map_delete_elem(&words, &pid);
}

SEC(".struct_ops.link")
struct sched_ext_ops stack_ops = {
	.enqueue = (void *)stack_enqueue,
	.dispatch = (void *)stack_dispatch,
	.stopping = (void *)stack_stopping,
	.exit_task = (void *)stack_exit_task,
	.init = (void *)stack_init,
	.name = "end_of_the_stack",
};
