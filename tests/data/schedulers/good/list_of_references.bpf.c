// SPDX-License-Identifier: GPL-2.0
/*
 * Who waits is kept by reference in a list of BPF objects; tasks that are bound to a CPU, and those
 * for which there is no memory, go to the global queue.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))

struct ent {
	struct bpf_list_node node;
	struct task_struct __kptr *task;
};

struct bpf_spin_lock lk SEC(".data.k");
struct bpf_list_head hd __contains(ent, node) SEC(".data.k");
s32 SEC("struct_ops/refs_select_cpu")
	BPF_PROG(refs_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/refs_enqueue") BPF_PROG(refs_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_struct *ref, *old;
	struct ent *e;
	s32 cpu;

	e = p->nr_cpus_allowed > 1 ? bpf_obj_new(bpf_core_type_id_local(struct ent)) : NULL;
	if (!e) {
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, 5 * MS, enq_flags);
		return;
	}
	ref = bpf_task_acquire(p);
	if (!ref) {
		bpf_obj_drop(e);
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, 5 * MS, enq_flags);
		return;
	}
	old = bpf_kptr_xchg(&e->task, ref);
	if (old)
		bpf_task_release(old);
	bpf_spin_lock(&lk);
	bpf_list_push_back(&hd, &e->node);
	bpf_spin_unlock(&lk);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/refs_dispatch") BPF_PROG(refs_dispatch, s32 cpu, struct task_struct *prev)
{
	struct bpf_list_node *n;
	struct task_struct *p;
	struct ent *e;
	int i;

	bpf_for (i, 0, 8) {
		bpf_spin_lock(&lk);
		n = bpf_list_pop_front(&hd);
		bpf_spin_unlock(&lk);
		if (!n)
			return;
		e = container_of(n, struct ent, node);
		p = bpf_kptr_xchg(&e->task, NULL);
		bpf_obj_drop(e);
		if (!p)
			continue;
		if (bpf_cpumask_test_cpu(cpu, p->cpus_ptr)) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
			bpf_task_release(p);
			return;
		}
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, 5 * MS, 0);
		bpf_task_release(p);
	}
}

SEC(".struct_ops.link")
struct sched_ext_ops refs_ops = {
	.select_cpu = (void *)refs_select_cpu,
	.enqueue = (void *)refs_enqueue,
	.dispatch = (void *)refs_dispatch,
	.name = "refs",
};
