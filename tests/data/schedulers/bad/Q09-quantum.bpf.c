// SPDX-License-Identifier: GPL-2.0
/*
 * Q09: quanta are kept in microseconds (10000 = 10 ms) in a table, but passed on as nanoseconds:
 * every slice is about 10 us (5 to 40 us). At HZ=250 only source or bytecode show it, with a
 * high-resolution tick it is a storm of switches. Stopped at Source or Bytecode.
 */
/*
 * Weighted round robin; the length of a turn depends on the class of the task.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define RR_DSQ	   0x61
#define NR_CLASSES 4

struct qt_class {
	u32 up_to_weight;
	u32 quantum_us;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NR_CLASSES);
	__type(key, u32);
	__type(value, struct qt_class);
} classes SEC(".maps");

static __always_inline u64 quantum_of(struct task_struct *p)
{
	u32 w = p->scx.weight, i;
	u64 q = 10000;

	for (i = 0; i < NR_CLASSES; i++) {
		u32 key = i;
		struct qt_class *c = bpf_map_lookup_elem(&classes, &key);

		if (!c)
			break;
		q = c->quantum_us;
		if (w <= c->up_to_weight)
			break;
	}
	return q;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(qt_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu;

	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, quantum_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(qt_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, RR_DSQ, quantum_of(p), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(qt_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(RR_DSQ);
}

static __always_inline void add_class(u32 key, u32 up_to_weight, u32 quantum_us)
{
	struct qt_class c = {.up_to_weight = up_to_weight, .quantum_us = quantum_us};

	bpf_map_update_elem(&classes, &key, &c, BPF_ANY);
}

s32 SEC("struct_ops.s/init") BPF_PROG(qt_init)
{
	add_class(0, 50, 5000);
	add_class(1, 150, 10000);
	add_class(2, 1000, 20000);
	add_class(3, 10000, 40000);
	return scx_bpf_create_dsq(RR_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops qt_ops = {
	.select_cpu = (void *)qt_select_cpu,
	.enqueue = (void *)qt_enqueue,
	.dispatch = (void *)qt_dispatch,
	.init = (void *)qt_init,
	.name = "quantum",
};
