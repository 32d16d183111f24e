// SPDX-License-Identifier: GPL-2.0
/*
 * Power of two choices between per-CPU FIFO lanes, both choices inside the affinity of the task;
 * all lanes are visited by all CPUs in turn, the own one first two times out of three.
 */
/*
 * A task joins the shorter of two lanes: that of its present CPU and that of
 * another CPU it may use. Lanes are only a hint where to look first, any CPU
 * may serve any lane.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define TC_LANES 48
#define TC_FIRST 0x7000

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;

const volatile u64 tc_slice_ns = 3500000ULL;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} tc_visits SEC(".maps");

static __always_inline u64 tc_lane(s32 cpu)
{
	return TC_FIRST + (u32)cpu % TC_LANES;
}

static __always_inline bool tc_search(u32 start)
{
	struct bpf_iter_num it;
	bool found = false;
	int *i;

	bpf_iter_num_new(&it, 0, TC_LANES);
	while ((i = bpf_iter_num_next(&it))) {
		u64 lane = TC_FIRST + (start + (u32)*i) % TC_LANES;

		if (scx_bpf_dsq_nr_queued(lane) <= 0)
			continue;
		if (scx_bpf_dsq_move_to_local(lane)) {
			found = true;
			break;
		}
	}
	bpf_iter_num_destroy(&it);
	return found;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(tc_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, tc_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(tc_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 lane = tc_lane(scx_bpf_task_cpu(p));
	s32 other;

	/* an idle CPU if there is one, else any allowed one */
	other = scx_bpf_pick_any_cpu(p->cpus_ptr, 0);
	if (other >= 0) {
		u64 choice = tc_lane(other);

		if (scx_bpf_dsq_nr_queued(choice) < scx_bpf_dsq_nr_queued(lane))
			lane = choice;
	}

	scx_bpf_dsq_insert(p, lane, tc_slice_ns, enq_flags);
	if (other >= 0)
		scx_bpf_kick_cpu(other, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(tc_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, visit = 0;
	u32 *v = bpf_map_lookup_elem(&tc_visits, &zero);

	if (v) {
		visit = *v;
		*v = visit + 1;
	}

	if (visit % 3 == 2 && tc_search(visit / 3))
		return;
	if (scx_bpf_dsq_move_to_local(tc_lane(cpu)))
		return;
	tc_search((u32)cpu);
}

s32 SEC("struct_ops.s/init") BPF_PROG(tc_init)
{
	s32 err;
	u32 i;

	for (i = 0; i < TC_LANES; i++) {
		err = scx_bpf_create_dsq(TC_FIRST + i, -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops tc_ops = {
	.select_cpu = (void *)tc_select_cpu,
	.enqueue = (void *)tc_enqueue,
	.dispatch = (void *)tc_dispatch,
	.init = (void *)tc_init,
	.name = "choice_of_two",
};
