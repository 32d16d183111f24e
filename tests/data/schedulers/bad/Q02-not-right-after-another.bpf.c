// SPDX-License-Identifier: GPL-2.0
/*
 * Q02: a CPU that has just been given a task waits for two milliseconds before it takes another,
 * and runs nothing, when the one it had has gone to sleep.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SPARED 0x53

enum { CLOCK = 1, PAUSE_NS = 2000000 };

struct wake_up {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct wake_up);
} wake_ups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} given_at SEC(".maps");

static int wake_all(void *map, int *key, struct wake_up *up)
{
	s32 cpu;

	if (scx_bpf_dsq_nr_queued(SPARED) > 0) {
		bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
			scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		}
	}
	bpf_timer_start(&up->timer, PAUSE_NS, 0);
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(spare_init)
{
	int zero = 0;
	struct wake_up *up = bpf_map_lookup_elem(&wake_ups, &zero);
	s32 err = scx_bpf_create_dsq(SPARED, -1);

	if (err || !up)
		return err;
	bpf_timer_init(&up->timer, &wake_ups, CLOCK);
	bpf_timer_set_callback(&up->timer, wake_all);
	return bpf_timer_start(&up->timer, PAUSE_NS, 0);
}

void SEC("struct_ops/enqueue") BPF_PROG(spare_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SPARED, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(spare_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 now = bpf_ktime_get_ns();
	u32 zero = 0;
	u64 *at = bpf_map_lookup_elem(&given_at, &zero);

	if (at && now - *at < PAUSE_NS)
		return;
	if (scx_bpf_dsq_move_to_local(SPARED) && at)
		*at = now;
}

SEC(".struct_ops.link")
struct sched_ext_ops spare_ops = {
	.enqueue = (void *)spare_enqueue,
	.dispatch = (void *)spare_dispatch,
	.init = (void *)spare_init,
	.name = "sparing",
};
