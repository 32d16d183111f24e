// SPDX-License-Identifier: GPL-2.0
/*
 * Who waits is in a list, unless there is no memory for it.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

#define contains(type, node) __attribute__((btf_decl_tag("contains:" #type ":" #node)))

struct waiting {
	struct bpf_list_node node;
	s32 pid;
};

struct bpf_spin_lock lock SEC(".data.waiting");
struct bpf_list_head head contains(waiting, node) SEC(".data.waiting");

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct waiting *waiting = bpf_obj_new(bpf_core_type_id_local(struct waiting));

	if (!waiting)
		return;
	waiting->pid = p->pid;
	bpf_spin_lock(&lock);
	bpf_list_push_back(&head, &waiting->node);
	bpf_spin_unlock(&lock);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	struct bpf_list_node *node;
	struct waiting *waiting;
	struct task_struct *p;

	bpf_spin_lock(&lock);
	node = bpf_list_pop_front(&head);
	bpf_spin_unlock(&lock);
	if (!node)
		return;
	waiting = container_of(node, struct waiting, node);
	p = bpf_task_from_pid(waiting->pid);
	bpf_obj_drop(waiting);
	if (!p)
		return;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, 0);
	bpf_task_release(p);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.name = "variant",
};
