// SPDX-License-Identifier: GPL-2.0
/*
 * T04: with ENQ_EXITING exiting user tasks have no memory any more and go to lane 0, which is
 * never visited. Stopped at Bytecode or Dynamic.
 */
/*
 * lanes: user tasks share a weighted vtime queue, unbound kernel threads are spread over four small
 * FIFOs that get every other turn.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define ML_KLANES  4
#define ML_BASE	   0x70ULL
#define ML_USER	   0x60ULL
#define ML_SLICE   (5ULL * 1000 * 1000)
#define ML_KTHREAD 0x00200000

struct ml_place {
	u32 lane; /* 1..ML_KLANES for kernel threads */
	u32 pad;
	u64 started;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ml_place);
} ml_places SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} ml_turn SEC(".maps");

static u64 ml_clock;

static __always_inline bool ml_before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(ml_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct ml_place *pl =
		bpf_task_storage_get(&ml_places, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!pl)
		return -12;
	pl->lane = (p->flags & ML_KTHREAD) ? 1 + ((u32)p->pid & (ML_KLANES - 1)) : 0;
	return 0;
}

void SEC("struct_ops/enable") BPF_PROG(ml_enable, struct task_struct *p)
{
	p->scx.dsq_vtime = ml_clock;
}

void SEC("struct_ops/enqueue") BPF_PROG(ml_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct ml_place *pl = bpf_task_storage_get(&ml_places, p, 0, 0);
	u64 vtime = p->scx.dsq_vtime;
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, ML_SLICE, enq_flags);
		return;
	}

	if (pl && !p->mm) {
		scx_bpf_dsq_insert(p, ML_BASE + pl->lane, ML_SLICE, enq_flags);
	} else {
		if (ml_before(vtime, ml_clock - ML_SLICE))
			vtime = ml_clock - ML_SLICE;
		/* a low weight may wait longer, but not without end */
		if (ml_before(ml_clock + 60 * ML_SLICE, vtime))
			vtime = ml_clock + 60 * ML_SLICE;
		scx_bpf_dsq_insert_vtime(p, ML_USER, ML_SLICE, vtime, enq_flags);
	}

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

static __always_inline bool ml_kernel_lanes(u32 from)
{
	u32 i;

	for (i = 0; i < ML_KLANES; i++)
		if (scx_bpf_dsq_move_to_local(ML_BASE + 1 + ((from + i) & (ML_KLANES - 1))))
			return true;
	return false;
}

void SEC("struct_ops/dispatch") BPF_PROG(ml_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, at = 0;
	u32 *turn = bpf_map_lookup_elem(&ml_turn, &zero);

	if (turn)
		at = (*turn)++;

	if (at & 1) {
		if (!scx_bpf_dsq_move_to_local(ML_USER))
			ml_kernel_lanes(at >> 1);
		return;
	}
	if (!ml_kernel_lanes(at >> 1))
		scx_bpf_dsq_move_to_local(ML_USER);
}

void SEC("struct_ops/running") BPF_PROG(ml_running, struct task_struct *p)
{
	struct ml_place *pl = bpf_task_storage_get(&ml_places, p, 0, 0);

	if (pl)
		pl->started = bpf_ktime_get_ns();
	if (ml_before(ml_clock, p->scx.dsq_vtime))
		ml_clock = p->scx.dsq_vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(ml_stopping, struct task_struct *p, bool runnable)
{
	struct ml_place *pl = bpf_task_storage_get(&ml_places, p, 0, 0);
	u64 weight = p->scx.weight ? p->scx.weight : 1;

	if (pl && pl->started)
		p->scx.dsq_vtime += (bpf_ktime_get_ns() - pl->started) * 100 / weight;
}

s32 SEC("struct_ops.s/init") BPF_PROG(ml_init)
{
	s32 ret = scx_bpf_create_dsq(ML_USER, -1);
	u32 i;

	for (i = 0; i <= ML_KLANES && !ret; i++)
		ret = scx_bpf_create_dsq(ML_BASE + i, -1);
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops lanes_ops = {
	.init_task = (void *)ml_init_task,
	.enable = (void *)ml_enable,
	.enqueue = (void *)ml_enqueue,
	.dispatch = (void *)ml_dispatch,
	.running = (void *)ml_running,
	.stopping = (void *)ml_stopping,
	.init = (void *)ml_init,
	.flags = SCX_OPS_ENQ_EXITING,
	.name = "lanes",
};
