// SPDX-License-Identifier: GPL-2.0
/*
 * FIFO scheduling, and the performance level of a CPU follows its own busy time (set only for the
 * CPU whose rq is locked, in tick and on going idle, both up and down).
 */
/*
 * Busy time is measured per CPU in windows of 16 ms and averaged. The target
 * is a quarter above the utilisation. CPUs beyond the table keep the default.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_LINE	     0x9f
#define PF_TABLE     512
#define PF_FULL	     1024 /* SCX_CPUPERF_ONE */
#define PF_WINDOW_NS 16000000ULL

const volatile u64 pf_slice_ns = 5000000ULL;
const volatile u32 pf_lowest = 192;

struct pf_cpu {
	u64 window_at;
	u64 run_from; /* 0 while no task runs */
	u64 busy;
	u32 util;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PF_TABLE);
	__type(key, u32);
	__type(value, struct pf_cpu);
} pf_cpus SEC(".maps");

static __always_inline struct pf_cpu *pf_get(s32 cpu)
{
	u32 key = cpu;

	return bpf_map_lookup_elem(&pf_cpus, &key);
}

static __always_inline void pf_add_busy(struct pf_cpu *c, u64 now)
{
	u64 ran = now - c->run_from;

	if (c->run_from && (s64)ran > 0)
		c->busy += ran;
}

/* closes the window if it is over; true if there is a new utilisation */
static __always_inline bool pf_window(struct pf_cpu *c, u64 now)
{
	u64 length = now - c->window_at;
	u64 util;

	if ((s64)length < (s64)PF_WINDOW_NS)
		return false;

	util = c->busy * PF_FULL / length;
	if (util > PF_FULL)
		util = PF_FULL;
	c->util = (c->util + (u32)util) / 2;
	c->busy = 0;
	c->window_at = now;
	return true;
}

static __always_inline u32 pf_target(const struct pf_cpu *c)
{
	u32 perf = c->util + c->util / 4;

	if (perf < pf_lowest)
		perf = pf_lowest;
	return perf > PF_FULL ? PF_FULL : perf;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(pf_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, pf_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(pf_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, PF_LINE, pf_slice_ns, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(pf_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(PF_LINE);
}

void SEC("struct_ops/running") BPF_PROG(pf_running, struct task_struct *p)
{
	struct pf_cpu *c = pf_get(scx_bpf_task_cpu(p));

	if (c)
		c->run_from = scx_bpf_now();
}

void SEC("struct_ops/stopping") BPF_PROG(pf_stopping, struct task_struct *p, bool runnable)
{
	struct pf_cpu *c = pf_get(scx_bpf_task_cpu(p));

	if (!c)
		return;
	pf_add_busy(c, scx_bpf_now());
	c->run_from = 0;
}

void SEC("struct_ops/tick") BPF_PROG(pf_tick, struct task_struct *p)
{
	s32 cpu = scx_bpf_task_cpu(p);
	struct pf_cpu *c = pf_get(cpu);
	u64 now;

	if (!c)
		return;
	now = scx_bpf_now();
	pf_add_busy(c, now);
	c->run_from = now;
	if (pf_window(c, now))
		scx_bpf_cpuperf_set(cpu, pf_target(c));
}

void SEC("struct_ops/update_idle") BPF_PROG(pf_update_idle, s32 cpu, bool idle)
{
	struct pf_cpu *c;

	if (!idle)
		return;
	c = pf_get(cpu);
	if (c && pf_window(c, scx_bpf_now()))
		scx_bpf_cpuperf_set(cpu, pf_target(c));
}

s32 SEC("struct_ops.s/init") BPF_PROG(pf_init)
{
	return scx_bpf_create_dsq(PF_LINE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops pf_ops = {
	.select_cpu = (void *)pf_select_cpu,
	.enqueue = (void *)pf_enqueue,
	.dispatch = (void *)pf_dispatch,
	.running = (void *)pf_running,
	.stopping = (void *)pf_stopping,
	.tick = (void *)pf_tick,
	.update_idle = (void *)pf_update_idle,
	.init = (void *)pf_init,
	.flags = SCX_OPS_KEEP_BUILTIN_IDLE,
	.name = "perf_follow",
};
