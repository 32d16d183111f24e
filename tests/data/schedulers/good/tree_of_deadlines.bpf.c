// SPDX-License-Identifier: GPL-2.0
/*
 * Deadlines by weight, half a second off at most, in a red-black tree of BPF objects. Without
 * memory for an entry, or when it may not run where it was taken out, a task goes to the global
 * queue.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))

struct entry {
	struct bpf_rb_node node;
	u64 deadline;
	s32 pid;
};

struct bpf_spin_lock tree_lock SEC(".data.T");
struct bpf_rb_root tree __contains(entry, node) SEC(".data.T");
static bool earlier(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	struct entry *x = container_of(a, struct entry, node);
	const struct entry *y = container_of(b, const struct entry, node);

	return x->deadline < y->deadline;
}

s32 SEC("struct_ops/tree_select_cpu")
	BPF_PROG(tree_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/tree_enqueue") BPF_PROG(tree_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 patience = 50 * MS * 100 / p->scx.weight;
	struct entry *e;
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, enq_flags);
		return;
	}
	e = bpf_obj_new(bpf_core_type_id_local(struct entry));
	if (!e) {
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, 5 * MS, enq_flags);
		return;
	}
	e->pid = p->pid;
	e->deadline = scx_bpf_now() + (patience < 500 * MS ? patience : 500 * MS);
	bpf_spin_lock(&tree_lock);
	bpf_rbtree_add(&tree, &e->node, earlier);
	bpf_spin_unlock(&tree_lock);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/tree_dispatch") BPF_PROG(tree_dispatch, s32 cpu, struct task_struct *prev)
{
	struct bpf_rb_node *n;
	struct task_struct *p;
	struct entry *e;
	int i;

	bpf_for (i, 0, 8) {
		bpf_spin_lock(&tree_lock);
		n = bpf_rbtree_first(&tree);
		if (!n) {
			bpf_spin_unlock(&tree_lock);
			return;
		}
		n = bpf_rbtree_remove(&tree, n);
		bpf_spin_unlock(&tree_lock);
		if (!n)
			return;
		e = container_of(n, struct entry, node);
		p = bpf_task_from_pid(e->pid);
		bpf_obj_drop(e);
		if (!p)
			continue;
		if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr)) {
			scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, 5 * MS, 0);
			bpf_task_release(p);
			continue;
		}
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
		bpf_task_release(p);
		return;
	}
}

SEC(".struct_ops.link")
struct sched_ext_ops tree_ops = {
	.select_cpu = (void *)tree_select_cpu,
	.enqueue = (void *)tree_enqueue,
	.dispatch = (void *)tree_dispatch,
	.name = "tree",
};
