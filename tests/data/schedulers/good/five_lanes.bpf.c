// SPDX-License-Identifier: GPL-2.0
/*
 * five FIFO rings of pids by weight, drained in proportion 1:2:4:8:16; full rings fall back to a
 * queue, stale pids are skipped.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define MAX_CPUS   1024
#define NR_LANES   5
#define POP_TRIES  32

#define READY_Q	   0x20000ULL /* popped, waiting for a CPU it may use */
#define OVERFLOW_Q 0x20001ULL /* the ring was full */
#define PIN_Q(cpu) ((u64)((u32)(cpu) & (MAX_CPUS - 1)))

const volatile u64 slice_ns = 5000000ULL;

struct lane_ring {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 8192);
	__type(value, u32);
} lane0 SEC(".maps"), lane1 SEC(".maps"), lane2 SEC(".maps"), lane3 SEC(".maps"),
	lane4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, NR_LANES);
	__type(key, int);
	__array(values, struct lane_ring);
} lanes SEC(".maps") = {
	.values =
		{
			[0] = &lane0,
			[1] = &lane1,
			[2] = &lane2,
			[3] = &lane3,
			[4] = &lane4,
		},
};

struct lane_cursor {
	u32 lane;
	u32 left; /* pops left before moving on */
	u32 round;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct lane_cursor);
} cursors SEC(".maps");

static __always_inline int weight_to_lane(u32 weight)
{
	if (weight <= 25)
		return 0;
	if (weight <= 50)
		return 1;
	if (weight < 200)
		return 2;
	if (weight < 400)
		return 3;
	return 4;
}

static __always_inline void wake_for(struct task_struct *p)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(lanes_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(lanes_enqueue, struct task_struct *p, u64 enq_flags)
{
	int lane = weight_to_lane(p->scx.weight);
	u32 pid = p->pid;
	void *ring;

	if (p->nr_cpus_allowed == 1) {
		if (p->flags & PF_KTHREAD)
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
		else
			scx_bpf_dsq_insert(p, PIN_Q(scx_bpf_task_cpu(p)), slice_ns, enq_flags);
		wake_for(p);
		return;
	}

	ring = bpf_map_lookup_elem(&lanes, &lane);
	if (!ring || bpf_map_push_elem(ring, &pid, 0))
		scx_bpf_dsq_insert(p, OVERFLOW_Q, slice_ns, enq_flags);
	wake_for(p);
}

void SEC("struct_ops/dispatch") BPF_PROG(lanes_dispatch, s32 cpu, struct task_struct *prev)
{
	struct lane_cursor *c;
	u32 zero = 0, pid, i;
	struct task_struct *p;
	void *ring;
	int lane;

	c = bpf_map_lookup_elem(&cursors, &zero);
	if (!c)
		return;

	/* every other round the pinned tasks of this CPU go first */
	c->round++;
	if ((c->round & 1) && scx_bpf_dsq_move_to_local(PIN_Q(cpu)))
		return;

	if (scx_bpf_dsq_move_to_local(READY_Q) || scx_bpf_dsq_move_to_local(OVERFLOW_Q))
		return;

	for (i = 0; i < POP_TRIES; i++) {
		if (!c->left) {
			c->lane = (c->lane + 1) % NR_LANES;
			c->left = 1U << (c->lane & 7);
		}
		lane = c->lane;
		ring = bpf_map_lookup_elem(&lanes, &lane);
		if (!ring)
			break;
		if (bpf_map_pop_elem(ring, &pid)) {
			c->left = 0;
			continue;
		}
		c->left--;

		p = bpf_task_from_pid(pid);
		if (!p)
			continue;
		/*
		 * The pid may be stale: the core ignores an insert for a task
		 * that isn't queued any more. Through READY_Q only a CPU that
		 * the task may use can take it.
		 */
		scx_bpf_dsq_insert(p, READY_Q, slice_ns, 0);
		if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			wake_for(p);
		bpf_task_release(p);
		if (scx_bpf_dsq_move_to_local(READY_Q))
			return;
	}

	scx_bpf_dsq_move_to_local(PIN_Q(cpu));
}

s32 SEC("struct_ops.s/init") BPF_PROG(lanes_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 ret;

	ret = scx_bpf_create_dsq(READY_Q, -1);
	if (ret)
		return ret;
	ret = scx_bpf_create_dsq(OVERFLOW_Q, -1);
	for (i = 0; i < MAX_CPUS && !ret; i++) {
		if (i >= nr)
			break;
		ret = scx_bpf_create_dsq(PIN_Q(i), -1);
	}
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops lanes_ops = {
	.select_cpu = (void *)lanes_select_cpu,
	.enqueue = (void *)lanes_enqueue,
	.dispatch = (void *)lanes_dispatch,
	.init = (void *)lanes_init,
	.name = "five_lanes",
};
