// SPDX-License-Identifier: GPL-2.0
/*
 * Q03: the other half of the machine helps only above four waiting tasks for each CPU. Stopped at
 * Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* One queue for each half of the machine, so that tasks stay near their memory; a long queue may be
 * helped out by the other half. */
#define PF_KTHREAD   0x00200000
#define MAX_CPUS     128
#define HALFQ(h)     (0x10ULL + (h))
#define PINQ(cpu)    (0x1000ULL + (u32)(cpu))
#define HELP_PER_CPU 4
#define BASE_SLICE   10000000ULL

struct ft_cpu {
	u64 helped;
	u32 flip;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct ft_cpu);
} ft_cpus SEC(".maps");

static u32 nr_cpus = 1;

static __always_inline u32 half_of(u32 cpu)
{
	return (cpu * 2 / nr_cpus) & 1;
}

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = BASE_SLICE * p->scx.weight / 100;

	if (s < 2000000)
		return 2000000;
	return s > 40000000 ? 40000000 : s;
}

static __always_inline bool worth_helping(u32 half)
{
	u32 waiting = (u32)scx_bpf_dsq_nr_queued(HALFQ(half));

	return waiting > HELP_PER_CPU * ((nr_cpus + 1) / 2);
}

static __always_inline s32 idle_in_half(struct task_struct *p, u32 half)
{
	u32 i;

	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr_cpus)
			break;
		if (half_of(i) != half || !bpf_cpumask_test_cpu(i, p->cpus_ptr))
			continue;
		if (scx_bpf_test_and_clear_cpu_idle(i))
			return i;
	}
	return -1;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(ft_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu = prev_cpu;

	if (!bpf_cpumask_test_cpu((u32)prev_cpu, p->cpus_ptr) ||
	    !scx_bpf_test_and_clear_cpu_idle(prev_cpu))
		cpu = idle_in_half(p, half_of((u32)prev_cpu));
	if (cpu >= 0) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
		return cpu;
	}
	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(ft_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);
	u32 half;

	if (p->nr_cpus_allowed < nr_cpus) {
		if ((p->flags & PF_KTHREAD) || (u32)cpu >= nr_cpus) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
			return;
		}
		scx_bpf_dsq_insert(p, PINQ(cpu), slice_of(p), enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}

	half = half_of((u32)cpu);
	scx_bpf_dsq_insert(p, HALFQ(half), slice_of(p), enq_flags);
	cpu = idle_in_half(p, half);
	if (cpu < 0 && worth_helping(half))
		cpu = idle_in_half(p, half ^ 1);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(ft_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 key = 0, half = half_of((u32)cpu);
	struct ft_cpu *c = bpf_map_lookup_elem(&ft_cpus, &key);

	if (!c || (u32)cpu >= nr_cpus) {
		scx_bpf_dsq_move_to_local(HALFQ(half));
		return;
	}
	c->flip ^= 1;
	if (c->flip && scx_bpf_dsq_move_to_local(PINQ(cpu)))
		return;
	if (scx_bpf_dsq_move_to_local(HALFQ(half)))
		return;
	if (scx_bpf_dsq_move_to_local(PINQ(cpu)))
		return;
	if (worth_helping(half ^ 1) && scx_bpf_dsq_move_to_local(HALFQ(half ^ 1)))
		c->helped++;
}

s32 SEC("struct_ops.s/init") BPF_PROG(ft_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 err;

	if (nr > MAX_CPUS)
		nr = MAX_CPUS;
	for (i = 0; i < 2; i++) {
		err = scx_bpf_create_dsq(HALFQ(i), -1);
		if (err)
			return err;
	}
	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr)
			break;
		err = scx_bpf_create_dsq(PINQ(i), -1);
		if (err)
			return err;
	}
	nr_cpus = nr;
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops ft_ops = {
	.select_cpu = (void *)ft_select_cpu,
	.enqueue = (void *)ft_enqueue,
	.dispatch = (void *)ft_dispatch,
	.init = (void *)ft_init,
	.name = "far_threshold",
};
