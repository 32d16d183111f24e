// SPDX-License-Identifier: GPL-2.0
/*
 * L02: a loop with a bound that is far too large to be walked through instruction by instruction.
 * Stopped at Build: the kernel's verifier gives up after more than a million instructions.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define AREA 0x7a

static u64 cells[256];

s32 SEC("struct_ops.s/init") BPF_PROG(cells_init)
{
	return scx_bpf_create_dsq(AREA, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(cells_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 sum = 0;
	u32 i;

	for (i = 0; i < 400000; i++) {
		sum += cells[(sum ^ i) & 255];
		cells[i & 255] = sum;
	}
	scx_bpf_dsq_insert(p, AREA, 1000000 + sum % 4000000, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(cells_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(AREA);
}

SEC(".struct_ops.link")
struct sched_ext_ops cells_ops = {
	.enqueue = (void *)cells_enqueue,
	.dispatch = (void *)cells_dispatch,
	.init = (void *)cells_init,
	.name = "cell_sums",
};
