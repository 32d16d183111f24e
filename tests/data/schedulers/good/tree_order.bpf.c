// SPDX-License-Identifier: GPL-2.0
/*
 * Order kept in a BPF red-black tree of pids (deadline capped at 300 ms), staged through a DSQ
 * that every CPU reads; if a node cannot be allocated the task goes to the staging queue at once.
 */
/*
 * Tasks wait in an rbtree of slips, each with a pid and a deadline. A CPU that
 * wants work takes the first slip, puts its task into the READY queue and
 * moves what it can from there; tasks that may not run on this CPU stay in
 * READY for the others. A task has one slip at a time: when it is requeued
 * while it waits (renice, new affinity), the slip it has stays good.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#ifndef __contains
#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))
#endif
#define to_private(name) SEC(".data." #name) __hidden __attribute__((aligned(8)))

#define READY_DSQ 0x77
#define TAKE_MOST 64

const volatile u64 order_slice_ns = 4000000ULL;
const volatile u64 order_cap_ns = 300000000ULL;

struct order_slip {
	struct bpf_rb_node rb;
	u64 deadline;
	s32 pid;
};

struct order_task {
	struct bpf_spin_lock lock;
	u32 has_slip;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct order_task);
} order_tasks SEC(".maps");

to_private(ORDER) struct bpf_spin_lock order_lock;
to_private(ORDER) struct bpf_rb_root order_tree __contains(order_slip, rb);

static bool order_less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	struct order_slip *sa = container_of(a, struct order_slip, rb);
	struct order_slip *sb = container_of(b, struct order_slip, rb);

	return sa->deadline < sb->deadline;
}

/* returns what has_slip was before */
static __always_inline u32 order_mark(struct order_task *t, u32 has_slip)
{
	u32 before;

	bpf_spin_lock(&t->lock);
	before = t->has_slip;
	t->has_slip = has_slip;
	bpf_spin_unlock(&t->lock);
	return before;
}

static __always_inline void order_wake_idle(struct task_struct *p)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(order_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, order_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(order_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 weight = p->scx.weight ? p->scx.weight : 1;
	u64 ahead = order_slice_ns * 1000 / weight;
	struct order_task *t = bpf_task_storage_get(&order_tasks, p, 0, 0);
	struct order_slip *slip;

	if (ahead > order_cap_ns)
		ahead = order_cap_ns;

	if (!t) {
		scx_bpf_dsq_insert(p, READY_DSQ, order_slice_ns, enq_flags);
		order_wake_idle(p);
		return;
	}

	slip = bpf_obj_new_impl(bpf_core_type_id_local(struct order_slip), NULL);
	if (!slip) {
		scx_bpf_dsq_insert(p, READY_DSQ, order_slice_ns, enq_flags);
		order_wake_idle(p);
		return;
	}

	if (order_mark(t, 1)) {
		bpf_obj_drop_impl(slip, NULL);
		order_wake_idle(p);
		return;
	}

	slip->pid = p->pid;
	slip->deadline = scx_bpf_now() + ahead;

	bpf_spin_lock(&order_lock);
	bpf_rbtree_add_impl(&order_tree, &slip->rb, order_less, NULL, 0);
	bpf_spin_unlock(&order_lock);

	order_wake_idle(p);
}

/* moves the task of the first slip to READY; false if the tree is empty */
static __always_inline bool order_take(void)
{
	struct bpf_rb_node *rb;
	struct order_slip *slip;
	struct task_struct *p;
	s32 pid;

	bpf_spin_lock(&order_lock);
	rb = bpf_rbtree_first(&order_tree);
	if (!rb) {
		bpf_spin_unlock(&order_lock);
		return false;
	}
	rb = bpf_rbtree_remove(&order_tree, rb);
	bpf_spin_unlock(&order_lock);
	if (!rb)
		return false;

	slip = container_of(rb, struct order_slip, rb);
	pid = slip->pid;
	bpf_obj_drop_impl(slip, NULL);

	p = bpf_task_from_pid(pid);
	if (p) {
		struct order_task *t = bpf_task_storage_get(&order_tasks, p, 0, 0);

		/* first the mark, then the insert: a requeue sees either */
		if (t)
			order_mark(t, 0);
		scx_bpf_dsq_insert(p, READY_DSQ, order_slice_ns, 0);
		bpf_task_release(p);
	}
	return true;
}

void SEC("struct_ops/dispatch") BPF_PROG(order_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 i;

	for (i = 0; i < TAKE_MOST; i++) {
		if (!order_take()) {
			scx_bpf_dsq_move_to_local(READY_DSQ);
			return;
		}
		if (scx_bpf_dsq_move_to_local(READY_DSQ))
			return;
	}

	/* many slips were for other CPUs: come back for the rest */
	scx_bpf_kick_cpu(cpu, 0);
}

/* a slip that is left over by now must not stand for a later wait */
void SEC("struct_ops/running") BPF_PROG(order_running, struct task_struct *p)
{
	struct order_task *t = bpf_task_storage_get(&order_tasks, p, 0, 0);

	if (t)
		order_mark(t, 0);
}

void SEC("struct_ops/enable") BPF_PROG(order_enable, struct task_struct *p)
{
	struct order_task *t = bpf_task_storage_get(&order_tasks, p, 0, 0);

	if (t)
		order_mark(t, 0);
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(order_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	bpf_task_storage_get(&order_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(order_init)
{
	return scx_bpf_create_dsq(READY_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops order_ops = {
	.select_cpu = (void *)order_select_cpu,
	.enqueue = (void *)order_enqueue,
	.dispatch = (void *)order_dispatch,
	.running = (void *)order_running,
	.enable = (void *)order_enable,
	.init_task = (void *)order_init_task,
	.init = (void *)order_init,
	.name = "tree_order",
};
