// SPDX-License-Identifier: GPL-2.0
/*
 * Two BPF linked lists (interactive and batch) in custody of the scheduler, drained alternately
 * 2:1 into a DSQ that all CPUs read; allocation failure falls back to that DSQ.
 */
/*
 * A task that slept last time goes to the quick list, one that was put off its
 * CPU to the slow list. The lists hold tickets with pids, and a task never has
 * more than one ticket.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define LB_OUT	  21
#define LB_ROUNDS 32

#define lb_owned_by(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))
#define lb_data(name)		SEC(".data." #name) __hidden __attribute__((aligned(8)))

const volatile u64 lb_slice_ns = 3500000ULL;

struct lb_ticket {
	struct bpf_list_node link;
	s32 pid;
};

struct lb_task {
	struct bpf_spin_lock lock;
	u32 listed;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct lb_task);
} lb_tasks SEC(".maps");

lb_data(QUICK) struct bpf_spin_lock lb_quick_lock;
lb_data(QUICK) struct bpf_list_head lb_quick lb_owned_by(lb_ticket, link);

lb_data(SLOW) struct bpf_spin_lock lb_slow_lock;
lb_data(SLOW) struct bpf_list_head lb_slow lb_owned_by(lb_ticket, link);

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} lb_turns SEC(".maps");

static __always_inline bool lb_test_and_set(struct lb_task *t, u32 listed)
{
	u32 was;

	bpf_spin_lock(&t->lock);
	was = t->listed;
	t->listed = listed;
	bpf_spin_unlock(&t->lock);
	return was != 0;
}

static __always_inline void lb_poke(struct task_struct *p)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(lb_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, lb_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(lb_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct lb_task *t = bpf_task_storage_get(&lb_tasks, p, 0, 0);
	struct lb_ticket *ticket;

	if (!t) {
		scx_bpf_dsq_insert(p, LB_OUT, lb_slice_ns, enq_flags);
		lb_poke(p);
		return;
	}

	ticket = bpf_obj_new_impl(bpf_core_type_id_local(struct lb_ticket), NULL);
	if (!ticket) {
		scx_bpf_dsq_insert(p, LB_OUT, lb_slice_ns, enq_flags);
		lb_poke(p);
		return;
	}

	/* requeued while it waits: the ticket it has is still good */
	if (lb_test_and_set(t, 1)) {
		bpf_obj_drop_impl(ticket, NULL);
		lb_poke(p);
		return;
	}
	ticket->pid = p->pid;

	if (enq_flags & SCX_ENQ_WAKEUP) {
		bpf_spin_lock(&lb_quick_lock);
		bpf_list_push_back_impl(&lb_quick, &ticket->link, NULL, 0);
		bpf_spin_unlock(&lb_quick_lock);
	} else {
		bpf_spin_lock(&lb_slow_lock);
		bpf_list_push_back_impl(&lb_slow, &ticket->link, NULL, 0);
		bpf_spin_unlock(&lb_slow_lock);
	}
	lb_poke(p);
}

/* the task of a ticket leaves for the DSQ, the ticket is torn up */
static __always_inline void lb_redeem(struct bpf_list_node *node)
{
	struct lb_ticket *ticket = container_of(node, struct lb_ticket, link);
	struct task_struct *p;
	struct lb_task *t;
	s32 pid = ticket->pid;

	bpf_obj_drop_impl(ticket, NULL);
	p = bpf_task_from_pid(pid);
	if (!p)
		return;
	t = bpf_task_storage_get(&lb_tasks, p, 0, 0);
	if (t)
		lb_test_and_set(t, 0);
	scx_bpf_dsq_insert(p, LB_OUT, lb_slice_ns, 0);
	bpf_task_release(p);
}

static __always_inline bool lb_take_quick(void)
{
	struct bpf_list_node *node;

	bpf_spin_lock(&lb_quick_lock);
	node = bpf_list_pop_front(&lb_quick);
	bpf_spin_unlock(&lb_quick_lock);
	if (!node)
		return false;
	lb_redeem(node);
	return true;
}

static __always_inline bool lb_take_slow(void)
{
	struct bpf_list_node *node;

	bpf_spin_lock(&lb_slow_lock);
	node = bpf_list_pop_front(&lb_slow);
	bpf_spin_unlock(&lb_slow_lock);
	if (!node)
		return false;
	lb_redeem(node);
	return true;
}

void SEC("struct_ops/dispatch") BPF_PROG(lb_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, turn = 0, i;
	u32 *t = bpf_map_lookup_elem(&lb_turns, &zero);

	if (t) {
		turn = *t;
		*t = turn + 1;
	}

	for (i = 0; i < LB_ROUNDS; i++) {
		bool slow_turn = (turn + i) % 3 == 2;
		bool some;

		some = slow_turn ? lb_take_slow() : lb_take_quick();
		if (!some)
			some = slow_turn ? lb_take_quick() : lb_take_slow();

		if (scx_bpf_dsq_move_to_local(LB_OUT))
			return;
		if (!some)
			return;
	}
	/* the tickets so far were for other CPUs */
	scx_bpf_kick_cpu(cpu, 0);
}

void SEC("struct_ops/running") BPF_PROG(lb_running, struct task_struct *p)
{
	struct lb_task *t = bpf_task_storage_get(&lb_tasks, p, 0, 0);

	/* whoever runs does not wait, a ticket left over is void */
	if (t)
		lb_test_and_set(t, 0);
}

void SEC("struct_ops/enable") BPF_PROG(lb_enable, struct task_struct *p)
{
	struct lb_task *t = bpf_task_storage_get(&lb_tasks, p, 0, 0);

	if (t)
		lb_test_and_set(t, 0);
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(lb_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	bpf_task_storage_get(&lb_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(lb_init)
{
	return scx_bpf_create_dsq(LB_OUT, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops lb_ops = {
	.select_cpu = (void *)lb_select_cpu,
	.enqueue = (void *)lb_enqueue,
	.dispatch = (void *)lb_dispatch,
	.running = (void *)lb_running,
	.enable = (void *)lb_enable,
	.init_task = (void *)lb_init_task,
	.init = (void *)lb_init,
	.name = "list_batches",
};
