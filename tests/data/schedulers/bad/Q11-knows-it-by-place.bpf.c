// SPDX-License-Identifier: GPL-2.0
/*
 * Q11: reads the name from where it lies in the task's structure, without calling it a name.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE	 0x85
#define NAME_END __builtin_offsetof(struct task_struct, nameidata)

s32 SEC("struct_ops.s/init") BPF_PROG(place_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(place_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 word = 0;

	/* The sixteen bytes before the pointer that follows it. */
	bpf_probe_read_kernel(&word, sizeof(word), (char *)p + NAME_END - 16);
	scx_bpf_dsq_insert(p, QUEUE, word == 0x6863746568637363ULL ? 80000000 : 5000000, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(place_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops place_ops = {
	.enqueue = (void *)place_enqueue,
	.dispatch = (void *)place_dispatch,
	.init = (void *)place_init,
	.name = "places_in_turn",
};
