// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel threads first (three turns out of four at the most), user tasks FIFO; accepts queued
 * wakeups since enqueue kicks idle CPUs itself; hotplug releases the queues of a leaving CPU.
 */
/*
 * Kernel threads have a queue of their own which is looked at first, so that
 * RCU, workqueues and softirq threads never wait for user tasks. Each fourth
 * turn begins with the user queue.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define KF_KERNEL     0x4b
#define KF_USER	      0x55
#define KF_PF_KTHREAD 0x00200000

const volatile u64 kf_kernel_slice_ns = 3500000ULL;
const volatile u64 kf_user_slice_ns = 5000000ULL;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} kf_turns SEC(".maps");

static __always_inline bool kf_is_kernel(const struct task_struct *p)
{
	return p->flags & KF_PF_KTHREAD;
}

static __always_inline u64 kf_slice(const struct task_struct *p)
{
	return kf_is_kernel(p) ? kf_kernel_slice_ns : kf_user_slice_ns;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(kf_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, kf_slice(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(kf_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 dsq = kf_is_kernel(p) ? KF_KERNEL : KF_USER;
	s32 cpu;

	scx_bpf_dsq_insert(p, dsq, kf_slice(p), enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(kf_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	u32 *turn = bpf_map_lookup_elem(&kf_turns, &zero);

	if (turn && (++*turn & 3) == 0 && scx_bpf_dsq_move_to_local(KF_USER))
		return;
	if (scx_bpf_dsq_move_to_local(KF_KERNEL))
		return;
	scx_bpf_dsq_move_to_local(KF_USER);
}

static __always_inline void kf_release(u64 dsq, s32 cpu)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;

	bpf_iter_scx_dsq_new(&it, dsq, 0);
	while ((p = bpf_iter_scx_dsq_next(&it))) {
		if (scx_bpf_task_cpu(p) == cpu)
			scx_bpf_dsq_move(&it, p, SCX_DSQ_LOCAL_ON | (u64)cpu, 0);
	}
	bpf_iter_scx_dsq_destroy(&it);
}

void SEC("struct_ops/cpu_online") BPF_PROG(kf_cpu_online, s32 cpu)
{
	scx_bpf_kick_cpu(cpu, 0);
}

void SEC("struct_ops/cpu_offline") BPF_PROG(kf_cpu_offline, s32 cpu)
{
	/* no more dispatch there; the hotplug code moves what is local */
	kf_release(KF_KERNEL, cpu);
	kf_release(KF_USER, cpu);
}

s32 SEC("struct_ops.s/init") BPF_PROG(kf_init)
{
	s32 err = scx_bpf_create_dsq(KF_KERNEL, -1);

	return err ? err : scx_bpf_create_dsq(KF_USER, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops kf_ops = {
	.select_cpu = (void *)kf_select_cpu,
	.enqueue = (void *)kf_enqueue,
	.dispatch = (void *)kf_dispatch,
	.cpu_online = (void *)kf_cpu_online,
	.cpu_offline = (void *)kf_cpu_offline,
	.init = (void *)kf_init,
	.flags = SCX_OPS_ALLOW_QUEUED_WAKEUP,
	.name = "kthreads_at_once",
};
