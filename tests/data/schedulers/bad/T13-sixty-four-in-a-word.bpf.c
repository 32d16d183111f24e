// SPDX-License-Identifier: GPL-2.0
/*
 * T13: which CPUs have work is kept in one word of 64 bits; the 65th shares a bit with the first,
 * and the bit is cleared when the first has taken its own.
 * Stopped at Bytecode or Dynamic: on machines with more than 64 CPUs.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define WORD_BASE 0x6e00

static u64 have_work;

s32 SEC("struct_ops.s/init") BPF_PROG(word_init)
{
	s32 cpu, err;

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(WORD_BASE + cpu, -1);
		if (err)
			return err;
	}
	return 0;
}

void SEC("struct_ops/enqueue") BPF_PROG(word_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	scx_bpf_dsq_insert(p, WORD_BASE + cpu, 8000000, enq_flags);
	__sync_fetch_and_or(&have_work, 1ULL << (cpu & 63));
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(word_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 bit = 1ULL << (cpu & 63);

	if (!(have_work & bit))
		return;
	if (scx_bpf_dsq_nr_queued(WORD_BASE + cpu) <= 1)
		__sync_fetch_and_and(&have_work, ~bit);
	scx_bpf_dsq_move_to_local(WORD_BASE + cpu);
}

SEC(".struct_ops.link")
struct sched_ext_ops word_ops = {
	.enqueue = (void *)word_enqueue,
	.dispatch = (void *)word_dispatch,
	.init = (void *)word_init,
	.name = "one_word",
};
