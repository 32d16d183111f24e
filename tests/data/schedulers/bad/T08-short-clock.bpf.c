// SPDX-License-Identifier: GPL-2.0
/*
 * T08: a difference of clocks in 32 bits with a sign, so that lags above 2.15 s escape the clamp
 * and bank their credit. Stopped at Bytecode or Dynamic.
 */
/*
 * fairclock: weighted virtual time in one shared queue; sleepers may bank one slice.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SC_QUEUE  0x5ULL
#define SC_SLICE  (4ULL * 1000 * 1000)
#define SC_CREDIT SC_SLICE
#define SC_DEBT	  (500ULL * 1000 * 1000)

struct sc_meter {
	u64 vtime;
	u64 on_since;
	u64 used;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sc_meter);
} sc_meters SEC(".maps");

static u64 sc_now;

/* wrap-safe order of two clock values */
static __always_inline bool sc_before(u64 a, u64 b)
{
	s32 diff = a - b;

	return diff < 0;
}

static __always_inline u64 sc_scale(u64 ns, u32 weight)
{
	return ns * 100 / (weight ? weight : 1);
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(sc_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct sc_meter *m = bpf_task_storage_get(&sc_meters, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!m)
		return -12;
	m->vtime = sc_now;
	return 0;
}

void SEC("struct_ops/enqueue") BPF_PROG(sc_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct sc_meter *m = bpf_task_storage_get(&sc_meters, p, 0, 0);
	u64 floor = sc_now - SC_CREDIT, ceiling = sc_now + SC_DEBT;
	s32 cpu;

	if (!m || p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SC_SLICE, enq_flags);
		return;
	}

	if (sc_before(m->vtime, floor))
		m->vtime = floor;
	else if (m->vtime > ceiling)
		m->vtime = ceiling;

	scx_bpf_dsq_insert_vtime(p, SC_QUEUE, SC_SLICE, m->vtime, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(sc_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(SC_QUEUE);
}

void SEC("struct_ops/running") BPF_PROG(sc_running, struct task_struct *p)
{
	struct sc_meter *m = bpf_task_storage_get(&sc_meters, p, 0, 0);

	if (!m)
		return;
	m->on_since = bpf_ktime_get_ns();
	if (p->nr_cpus_allowed > 1 && sc_before(sc_now, m->vtime))
		sc_now = m->vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(sc_stopping, struct task_struct *p, bool runnable)
{
	struct sc_meter *m = bpf_task_storage_get(&sc_meters, p, 0, 0);
	u64 ran;

	if (!m || !m->on_since)
		return;
	ran = bpf_ktime_get_ns() - m->on_since;
	m->used += ran;
	m->vtime += sc_scale(ran, p->scx.weight);
}

s32 SEC("struct_ops.s/init") BPF_PROG(sc_init)
{
	sc_now = bpf_ktime_get_ns();
	return scx_bpf_create_dsq(SC_QUEUE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops fairclock_ops = {
	.init_task = (void *)sc_init_task,
	.enqueue = (void *)sc_enqueue,
	.dispatch = (void *)sc_dispatch,
	.running = (void *)sc_running,
	.stopping = (void *)sc_stopping,
	.init = (void *)sc_init,
	.name = "fairclock",
};
