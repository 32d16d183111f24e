// SPDX-License-Identifier: GPL-2.0
/*
 * K05: a timer of five microseconds has every CPU leave its task.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { CLOCK = 1, PULSE_Q = 0x46, PULSE_NS = 5000 };

struct pulse {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct pulse);
} pulses SEC(".maps");

static int pulse_once(void *map, int *key, struct pulse *pulse)
{
	s32 cpu;

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		scx_bpf_kick_cpu(cpu, SCX_KICK_PREEMPT);
	}
	bpf_timer_start(&pulse->timer, PULSE_NS, 0);
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(pulsed_init)
{
	int zero = 0;
	struct pulse *pulse = bpf_map_lookup_elem(&pulses, &zero);
	s32 err = scx_bpf_create_dsq(PULSE_Q, -1);

	if (err || !pulse)
		return err;
	bpf_timer_init(&pulse->timer, &pulses, CLOCK);
	bpf_timer_set_callback(&pulse->timer, pulse_once);
	return bpf_timer_start(&pulse->timer, PULSE_NS, 0);
}

void SEC("struct_ops/enqueue") BPF_PROG(pulsed_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, PULSE_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(pulsed_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(PULSE_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops pulsed_ops = {
	.enqueue = (void *)pulsed_enqueue,
	.dispatch = (void *)pulsed_dispatch,
	.init = (void *)pulsed_init,
	.name = "pulsing",
};
