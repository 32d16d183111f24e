// SPDX-License-Identifier: GPL-2.0
/*
 * T15: a charge for each fork that grows with its square and has no bound starves the parent.
 * Stopped at Bytecode or Dynamic.
 */
/*
 * birthtax: weighted virtual time in a red-black tree, with a small and growing price for forking
 * to blunt fork bombs.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BT_QUEUE 0x19ULL
#define BT_SLICE (5ULL * 1000 * 1000)
#define BT_PRICE (40ULL * 1000)
#define BT_DEBT	 (300ULL * 1000 * 1000)

#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))

struct bt_node {
	struct bpf_rb_node rb;
	u64 vtime;
	s32 pid;
	u32 pad;
};

struct bt_tree {
	struct bpf_spin_lock lock;
	struct bpf_rb_root root __contains(bt_node, rb);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct bt_tree);
} bt_trees SEC(".maps");

struct bt_account {
	u64 vtime;
	u64 since;
	u64 forks; /* since the last sleep */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct bt_account);
} bt_accounts SEC(".maps");

static u64 bt_clock;

s32 SEC("struct_ops/init_task")
	BPF_PROG(bt_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct bt_account *a, *parent;
	struct task_struct *cur;

	a = bpf_task_storage_get(&bt_accounts, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!a)
		return -12;
	a->vtime = bt_clock;

	if (!args->fork)
		return 0;
	cur = bpf_get_current_task_btf();
	parent = bpf_task_storage_get(&bt_accounts, cur, 0, 0);
	if (parent) {
		parent->forks++;
		parent->vtime += parent->forks * BT_PRICE;
	}
	return 0;
}

static bool bt_less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	struct bt_node *na = container_of(a, struct bt_node, rb);
	struct bt_node *nb = container_of(b, struct bt_node, rb);

	return (s64)(na->vtime - nb->vtime) < 0;
}

/* false when there is no memory for a node */
static __always_inline bool bt_plant(s32 pid, u64 vtime)
{
	u32 zero = 0;
	struct bt_tree *t = bpf_map_lookup_elem(&bt_trees, &zero);
	struct bt_node *n;

	if (!t)
		return false;
	n = bpf_obj_new_impl(bpf_core_type_id_local(struct bt_node), 0);
	if (!n)
		return false;
	n->pid = pid;
	n->vtime = vtime;

	bpf_spin_lock(&t->lock);
	bpf_rbtree_add_impl(&t->root, &n->rb, bt_less, 0, 0);
	bpf_spin_unlock(&t->lock);
	return true;
}

/* the pid with the least clock, 0 when nobody waits */
static __always_inline s32 bt_pick(struct bt_tree *t)
{
	struct bpf_rb_node *rb;
	struct bt_node *n;
	s32 pid;

	bpf_spin_lock(&t->lock);
	rb = bpf_rbtree_first(&t->root);
	if (!rb) {
		bpf_spin_unlock(&t->lock);
		return 0;
	}
	rb = bpf_rbtree_remove(&t->root, rb);
	bpf_spin_unlock(&t->lock);
	if (!rb)
		return 0;

	n = container_of(rb, struct bt_node, rb);
	pid = n->pid;
	bpf_obj_drop_impl(n, 0);
	return pid;
}

void SEC("struct_ops/enqueue") BPF_PROG(bt_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct bt_account *a = bpf_task_storage_get(&bt_accounts, p, 0, 0);
	s32 cpu;

	if (!a || p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, BT_SLICE, enq_flags);
		return;
	}

	if ((s64)(a->vtime - (bt_clock - BT_SLICE)) < 0)
		a->vtime = bt_clock - BT_SLICE;

	if (!bt_plant(p->pid, a->vtime))
		scx_bpf_dsq_insert(p, BT_QUEUE, BT_SLICE, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(bt_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, i;
	struct bt_tree *t = bpf_map_lookup_elem(&bt_trees, &zero);
	struct task_struct *p;
	s32 pid;

	if (scx_bpf_dsq_move_to_local(BT_QUEUE) || !t)
		return;

	/* who may not run here is left in the queue for the others */
	for (i = 0; i < 8; i++) {
		pid = bt_pick(t);
		if (!pid)
			return;
		p = bpf_task_from_pid(pid);
		if (!p)
			continue;
		scx_bpf_dsq_insert(p, BT_QUEUE, BT_SLICE, 0);
		bpf_task_release(p);
		if (scx_bpf_dsq_move_to_local(BT_QUEUE))
			return;
	}
}

void SEC("struct_ops/running") BPF_PROG(bt_running, struct task_struct *p)
{
	struct bt_account *a = bpf_task_storage_get(&bt_accounts, p, 0, 0);

	if (!a)
		return;
	a->since = bpf_ktime_get_ns();
	/* those far ahead ran for want of others and do not move the clock */
	if ((s64)(a->vtime - bt_clock) > 0 && a->vtime - bt_clock < BT_DEBT)
		bt_clock = a->vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(bt_stopping, struct task_struct *p, bool runnable)
{
	struct bt_account *a = bpf_task_storage_get(&bt_accounts, p, 0, 0);
	u64 w = p->scx.weight ? p->scx.weight : 1, cost;

	if (!a || !a->since)
		return;
	cost = (bpf_ktime_get_ns() - a->since) * 100 / w;
	/* one stint never costs more than the queue can catch up with */
	if (cost > BT_DEBT)
		cost = BT_DEBT;
	a->vtime += cost;
	a->since = 0;
}

void SEC("struct_ops/quiescent") BPF_PROG(bt_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct bt_account *a = bpf_task_storage_get(&bt_accounts, p, 0, 0);

	if (a && (deq_flags & SCX_DEQ_SLEEP))
		a->forks = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(bt_init)
{
	return scx_bpf_create_dsq(BT_QUEUE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops birthtax_ops = {
	.init_task = (void *)bt_init_task,
	.enqueue = (void *)bt_enqueue,
	.dispatch = (void *)bt_dispatch,
	.running = (void *)bt_running,
	.stopping = (void *)bt_stopping,
	.quiescent = (void *)bt_quiescent,
	.init = (void *)bt_init,
	.name = "birthtax",
};
