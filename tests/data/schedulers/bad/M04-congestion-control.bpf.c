// SPDX-License-Identifier: GPL-2.0
/*
 * M04: a second table, for TCP, in the same object.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x2e

s32 SEC("struct_ops.s/init") BPF_PROG(network_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(network_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(network_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

u32 SEC("struct_ops/ssthresh") BPF_PROG(network_ssthresh, struct sock *sk)
{
	return 2;
}

void SEC("struct_ops/cong_avoid") BPF_PROG(network_cong_avoid, struct sock *sk, u32 ack, u32 acked)
{
}

u32 SEC("struct_ops/undo_cwnd") BPF_PROG(network_undo_cwnd, struct sock *sk)
{
	return 2;
}

SEC(".struct_ops.link")
struct tcp_congestion_ops network_tcp = {
	.ssthresh = (void *)network_ssthresh,
	.cong_avoid = (void *)network_cong_avoid,
	.undo_cwnd = (void *)network_undo_cwnd,
	.name = "slow_lane",
};

SEC(".struct_ops.link")
struct sched_ext_ops network_ops = {
	.enqueue = (void *)network_enqueue,
	.dispatch = (void *)network_dispatch,
	.init = (void *)network_init,
	.name = "with_a_network",
};
