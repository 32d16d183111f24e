// SPDX-License-Identifier: GPL-2.0
/*
 * Light tasks may use a part of each window before heavier ones are served first again; the window
 * and what was used of it change together, under a lock. Outside of it both take turns.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { HEAVIER_Q = 0xd04, LIGHTER_Q };

const volatile u64 window_ns = 50000000;
const volatile u32 turns_in_window = 8;

struct window {
	struct bpf_spin_lock lock;
	u64 began_at;
	u32 used;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct window);
} windows SEC(".maps");

static bool turn_taken(void)
{
	u32 zero = 0;
	struct window *window = bpf_map_lookup_elem(&windows, &zero);
	u64 now = bpf_ktime_get_ns();
	bool taken = false;

	if (!window)
		return false;
	bpf_spin_lock(&window->lock);
	if (now - window->began_at > window_ns) {
		window->began_at = now;
		window->used = 0;
	}
	if (window->used < turns_in_window) {
		window->used += 1;
		taken = true;
	}
	bpf_spin_unlock(&window->lock);
	return taken;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(window_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 4000000, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(window_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle;

	scx_bpf_dsq_insert(p, p->scx.weight < 100 ? LIGHTER_Q : HEAVIER_Q, 4000000, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(window_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_nr_queued(LIGHTER_Q) > 0 && turn_taken() &&
	    scx_bpf_dsq_move_to_local(LIGHTER_Q))
		return;
	if (!scx_bpf_dsq_move_to_local(HEAVIER_Q))
		scx_bpf_dsq_move_to_local(LIGHTER_Q);
}

s32 SEC("struct_ops.s/init") BPF_PROG(window_init)
{
	s32 err = scx_bpf_create_dsq(HEAVIER_Q, -1);

	return err ?: scx_bpf_create_dsq(LIGHTER_Q, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops window_ops = {
	.select_cpu = (void *)window_select_cpu,
	.enqueue = (void *)window_enqueue,
	.dispatch = (void *)window_dispatch,
	.init = (void *)window_init,
	.name = "window_under_a_lock",
};
