// SPDX-License-Identifier: GPL-2.0
/*
 * T11: user space is to renew the allowance of heavy tasks through a map; there is enough for the
 * first while, and then it depends on somebody who may be dead.
 * Stopped at Bytecode or Dynamic: after ten thousand slices.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { BASIC_Q = 0x4b1, METERED_Q };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} used SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} allowed SEC(".maps");

static u32 turn;

s32 SEC("struct_ops.s/init") BPF_PROG(metered_init)
{
	s32 err = scx_bpf_create_dsq(BASIC_Q, -1);

	return err ?: scx_bpf_create_dsq(METERED_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(metered_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, p->scx.weight > 100 ? METERED_Q : BASIC_Q, 5000000, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(metered_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	u64 *spent = bpf_map_lookup_elem(&used, &zero);
	u64 *most = bpf_map_lookup_elem(&allowed, &zero);

	if ((++turn & 1) && scx_bpf_dsq_move_to_local(BASIC_Q))
		return;
	if (spent && most && *spent < *most + 10000 && scx_bpf_dsq_move_to_local(METERED_Q)) {
		__sync_fetch_and_add(spent, 1);
		return;
	}
	scx_bpf_dsq_move_to_local(BASIC_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops metered_ops = {
	.enqueue = (void *)metered_enqueue,
	.dispatch = (void *)metered_dispatch,
	.init = (void *)metered_init,
	.name = "metered_slices",
};
