// SPDX-License-Identifier: GPL-2.0
/*
 * waiting tasks are kept in two bpf_lists as items that hold a task reference (kptr); exiting
 * tasks are handled like all others as no pid lookup is needed.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define MAX_CPUS   1024
#define POP_TRIES  16

#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))
#define private(name)	       SEC(".data." #name) __hidden __attribute__((aligned(8)))

/* tasks on their way from a list to a CPU, also where tasks go when memory is short */
#define TRANSIT_Q     0x1000ULL
#define PINNED_Q(cpu) ((u64)((u32)(cpu) & (MAX_CPUS - 1)))

const volatile u64 slice_ns = 5000000ULL;

struct custody_item {
	struct bpf_list_node link;
	struct task_struct __kptr *task;
};

private(CUSTODY) struct bpf_spin_lock custody_lock;
private(CUSTODY) struct bpf_list_head waiting __contains(custody_item, link);
private(CUSTODY) struct bpf_list_head waiting_light __contains(custody_item, link);

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} rounds SEC(".maps");

static u64 nr_fallbacks;

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(custody_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

/* Takes the task into custody. False when there is no memory for it. */
static __always_inline bool take_in(struct task_struct *p)
{
	struct task_struct *ref, *old;
	struct custody_item *item;
	bool light = p->scx.weight < 50;

	item = bpf_obj_new_impl(bpf_core_type_id_local(struct custody_item), NULL);
	if (!item)
		return false;
	ref = bpf_task_acquire(p);
	if (!ref) {
		bpf_obj_drop_impl(item, NULL);
		return false;
	}
	old = bpf_kptr_xchg(&item->task, ref);
	if (old)
		bpf_task_release(old);

	bpf_spin_lock(&custody_lock);
	if (light)
		bpf_list_push_back_impl(&waiting_light, &item->link, NULL, 0);
	else
		bpf_list_push_back_impl(&waiting, &item->link, NULL, 0);
	bpf_spin_unlock(&custody_lock);
	return true;
}

void SEC("struct_ops/enqueue") BPF_PROG(custody_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		if (p->flags & PF_KTHREAD) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
			return;
		}
		scx_bpf_dsq_insert(p, PINNED_Q(scx_bpf_task_cpu(p)), slice_ns, enq_flags);
	} else if (!take_in(p)) {
		__sync_fetch_and_add(&nr_fallbacks, 1);
		scx_bpf_dsq_insert(p, TRANSIT_Q, slice_ns, enq_flags);
	}

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

/* Hands the first task of a list over to TRANSIT_Q. False when the list is empty. */
static __always_inline bool hand_over(bool light, s32 cpu)
{
	struct custody_item *item;
	struct bpf_list_node *n;
	struct task_struct *p;
	s32 idle;

	bpf_spin_lock(&custody_lock);
	if (light)
		n = bpf_list_pop_front(&waiting_light);
	else
		n = bpf_list_pop_front(&waiting);
	bpf_spin_unlock(&custody_lock);
	if (!n)
		return false;

	item = container_of(n, struct custody_item, link);
	p = bpf_kptr_xchg(&item->task, NULL);
	bpf_obj_drop_impl(item, NULL);
	if (!p)
		return true;

	/* when it was dequeued in the meantime, the core ignores this */
	scx_bpf_dsq_insert(p, TRANSIT_Q, slice_ns, 0);
	if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr)) {
		idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
		if (idle >= 0)
			scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
	}
	bpf_task_release(p);
	return true;
}

void SEC("struct_ops/dispatch") BPF_PROG(custody_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, n = 0, i, *round;
	bool light;

	round = bpf_map_lookup_elem(&rounds, &zero);
	if (round)
		n = (*round)++;

	if ((n & 1) && scx_bpf_dsq_move_to_local(PINNED_Q(cpu)))
		return;
	if (scx_bpf_dsq_move_to_local(TRANSIT_Q))
		return;

	/* light tasks get one turn in eight, or whatever the others leave */
	light = (n & 7) == 2;
	for (i = 0; i < POP_TRIES; i++) {
		if (!hand_over(light, cpu) && !hand_over(!light, cpu))
			break;
		if (scx_bpf_dsq_move_to_local(TRANSIT_Q))
			return;
	}
	scx_bpf_dsq_move_to_local(PINNED_Q(cpu));
}

s32 SEC("struct_ops.s/init") BPF_PROG(custody_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 ret = scx_bpf_create_dsq(TRANSIT_Q, -1);

	for (i = 0; i < MAX_CPUS && i < nr && !ret; i++)
		ret = scx_bpf_create_dsq(PINNED_Q(i), -1);
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops custody_ops = {
	.select_cpu = (void *)custody_select_cpu,
	.enqueue = (void *)custody_enqueue,
	.dispatch = (void *)custody_dispatch,
	.init = (void *)custody_init,
	.flags = SCX_OPS_ENQ_EXITING,
	.name = "list_custody",
};
