// SPDX-License-Identifier: GPL-2.0
/*
 * all scheduling decisions in BPF: waiting tasks live in a bpf_rbtree ordered by deadline
 * (arrival + bounded burst estimate); without memory for a node the task goes to a plain queue.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD	       0x00200000
#define ENOMEM		       12
#define MAX_CPUS	       1024
#define POP_TRIES	       16
#define RUN_Q		       0x5000ULL /* taken from the tree, about to run */
#define PLAIN_Q		       0x5001ULL /* no node could be allocated */
#define PINNED_Q(cpu)	       ((u64)((u32)(cpu) & (MAX_CPUS - 1)))
#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))
#define private(name)	       SEC(".data." #name) __hidden __attribute__((aligned(8)))

/* the slice shrinks from max to min as the tree fills up */
const volatile u64 slice_max_ns = 10000000ULL;
const volatile u64 slice_min_ns = 1000000ULL;
const volatile u64 burst_max_ns = 15000000ULL;
const volatile u64 wait_cap_ns = 150000000ULL;

struct edf_item {
	struct bpf_rb_node rb;
	u64 deadline;
	u32 pid;
};

private(TREE) struct bpf_spin_lock edf_lock;
private(TREE) struct bpf_rb_root edf_root __contains(edf_item, rb);
static u64 nr_waiting;
static u32 nr_cpus = 1;
/* burst_now is the CPU time since the last sleep */
struct edf_task {
	u64 exec_start, burst_now, burst_avg;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct edf_task);
} edf_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} rounds SEC(".maps");

static bool edf_less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	struct edf_item *x = container_of(a, struct edf_item, rb);
	struct edf_item *y = container_of(b, struct edf_item, rb);

	return x->deadline < y->deadline;
}

static __always_inline u64 current_slice(void)
{
	u64 slice = slice_max_ns / (nr_waiting / nr_cpus + 1);

	return slice < slice_min_ns ? slice_min_ns : slice;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(edf_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, current_slice(), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(edf_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct edf_item *item;
	struct edf_task *dt;
	u64 burst;
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		if (p->flags & PF_KTHREAD)
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_max_ns, enq_flags);
		else
			scx_bpf_dsq_insert(p, PINNED_Q(scx_bpf_task_cpu(p)), slice_min_ns,
					   enq_flags);
		goto wake;
	}

	dt = bpf_task_storage_get(&edf_tasks, p, 0, 0);
	burst = dt && dt->burst_avg < burst_max_ns ? dt->burst_avg : burst_max_ns;
	burst = burst * 100 / p->scx.weight;
	if (burst > wait_cap_ns)
		burst = wait_cap_ns;

	item = bpf_obj_new_impl(bpf_core_type_id_local(struct edf_item), NULL);
	if (!item) {
		scx_bpf_dsq_insert(p, PLAIN_Q, slice_min_ns, enq_flags);
		goto wake;
	}
	item->pid = p->pid;
	item->deadline = bpf_ktime_get_ns() + burst;
	bpf_spin_lock(&edf_lock);
	bpf_rbtree_add_impl(&edf_root, &item->rb, edf_less, NULL, 0);
	nr_waiting++;
	bpf_spin_unlock(&edf_lock);
wake:
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

/* Moves the task with the earliest deadline to RUN_Q. False when the tree is empty. */
static __always_inline bool take_first(s32 cpu)
{
	struct bpf_rb_node *rb;
	struct task_struct *p;
	struct edf_item *item;
	u32 pid;
	s32 idle;

	bpf_spin_lock(&edf_lock);
	rb = bpf_rbtree_first(&edf_root);
	if (!rb) {
		bpf_spin_unlock(&edf_lock);
		return false;
	}
	rb = bpf_rbtree_remove(&edf_root, rb);
	if (nr_waiting)
		nr_waiting--;
	bpf_spin_unlock(&edf_lock);
	if (!rb)
		return false;

	item = container_of(rb, struct edf_item, rb);
	pid = item->pid;
	bpf_obj_drop_impl(item, NULL);
	/* a task that was dequeued in the meantime is ignored by the core */
	p = bpf_task_from_pid(pid);
	if (!p)
		return true;
	scx_bpf_dsq_insert(p, RUN_Q, current_slice(), 0);
	if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr)) {
		idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
		if (idle >= 0)
			scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
	}
	bpf_task_release(p);
	return true;
}

void SEC("struct_ops/dispatch") BPF_PROG(edf_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, i, *round = bpf_map_lookup_elem(&rounds, &zero);

	if (round && ((*round)++ & 1) && scx_bpf_dsq_move_to_local(PINNED_Q(cpu)))
		return;
	if (scx_bpf_dsq_move_to_local(RUN_Q) || scx_bpf_dsq_move_to_local(PLAIN_Q))
		return;
	for (i = 0; i < POP_TRIES; i++) {
		if (!take_first(cpu))
			break;
		if (scx_bpf_dsq_move_to_local(RUN_Q))
			return;
	}
	scx_bpf_dsq_move_to_local(PINNED_Q(cpu));
}

void SEC("struct_ops/running") BPF_PROG(edf_running, struct task_struct *p)
{
	struct edf_task *dt = bpf_task_storage_get(&edf_tasks, p, 0, 0);

	if (dt)
		dt->exec_start = p->se.sum_exec_runtime;
}

void SEC("struct_ops/stopping") BPF_PROG(edf_stopping, struct task_struct *p, bool runnable)
{
	struct edf_task *dt = bpf_task_storage_get(&edf_tasks, p, 0, 0);

	if (!dt)
		return;
	dt->burst_now += p->se.sum_exec_runtime - dt->exec_start;
	if (dt->burst_now > dt->burst_avg)
		dt->burst_avg = dt->burst_now;
	if (!runnable) {
		dt->burst_avg = (dt->burst_avg * 3 + dt->burst_now) / 4;
		dt->burst_now = 0;
	}
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(edf_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&edf_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -ENOMEM;
}

s32 SEC("struct_ops.s/init") BPF_PROG(edf_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 ret;

	nr_cpus = nr ?: 1;
	ret = scx_bpf_create_dsq(RUN_Q, -1) ?: scx_bpf_create_dsq(PLAIN_Q, -1);
	for (i = 0; i < MAX_CPUS && i < nr && !ret; i++)
		ret = scx_bpf_create_dsq(PINNED_Q(i), -1);
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops deadline_ops = {
	.select_cpu = (void *)edf_select_cpu,
	.enqueue = (void *)edf_enqueue,
	.dispatch = (void *)edf_dispatch,
	.running = (void *)edf_running,
	.stopping = (void *)edf_stopping,
	.init_task = (void *)edf_init_task,
	.init = (void *)edf_init,
	.name = "deadline_tree",
};
