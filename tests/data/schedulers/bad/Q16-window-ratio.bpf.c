// SPDX-License-Identifier: GPL-2.0
/*
 * Q16: the window of the utilisation has no idle time, so that the highest speed is asked for
 * always. Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* Weighted virtual time, and a frequency target for each CPU that follows its average utilisation
 * with a quarter of headroom. */
#define PF_KTHREAD 0x00200000
#define MAX_CPUS   256
#define QUEUE	   0x6ULL
#define SLICE_NS   6000000ULL
#define DEBT_NS	   200000000ULL
#define FULL	   1024ULL

struct wr_cpu {
	u64 opened;
	u64 busy;
	u64 avg;
	u32 target;
	u32 closed;
};

struct wr_task {
	u64 vt;
	u64 began;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CPUS);
	__type(key, u32);
	__type(value, struct wr_cpu);
} wr_cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct wr_task);
} wr_tasks SEC(".maps");

static u64 vclock;

/* fold the window that ends now into the average and derive the target from it */
static __always_inline void close_window(struct wr_cpu *c, u64 now)
{
	u64 span = now - c->opened, util, want;

	if (!c->opened || (s64)span <= 0)
		return;
	util = c->busy * FULL / span;
	if (util > FULL)
		util = FULL;
	c->avg = c->closed ? (c->avg * 3 + util) / 4 : util;
	c->closed = 1;
	c->busy = 0;
	c->opened = 0;
	want = c->avg + c->avg / 4;
	c->target = want > FULL ? FULL : want;
}

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = SLICE_NS * p->scx.weight / 100;

	if (s < 1ULL * 1000000)
		return 1ULL * 1000000;
	return s > 30ULL * 1000000 ? 30ULL * 1000000 : s;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(wr_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(wr_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct wr_task *t = bpf_task_storage_get(&wr_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	s32 cpu;

	if (!t || ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	if ((s64)(t->vt - (vclock - SLICE_NS)) < 0)
		t->vt = vclock - SLICE_NS;
	if ((s64)(t->vt - (vclock + DEBT_NS)) > 0)
		t->vt = vclock + DEBT_NS;
	scx_bpf_dsq_insert_vtime(p, QUEUE, slice_of(p), t->vt, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(wr_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

void SEC("struct_ops/running") BPF_PROG(wr_running, struct task_struct *p)
{
	struct wr_task *t = bpf_task_storage_get(&wr_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	s32 cpu = scx_bpf_task_cpu(p);
	u32 key = (u32)cpu;
	struct wr_cpu *c = bpf_map_lookup_elem(&wr_cpus, &key);
	u64 now = scx_bpf_now();

	if (t) {
		t->began = now;
		if ((s64)(t->vt - vclock) > 0)
			vclock = t->vt;
	}
	if (!c)
		return;
	if (!c->opened)
		c->opened = now;
	if (c->closed)
		scx_bpf_cpuperf_set(cpu, c->target);
}

void SEC("struct_ops/stopping") BPF_PROG(wr_stopping, struct task_struct *p, bool runnable)
{
	struct wr_task *t = bpf_task_storage_get(&wr_tasks, p, 0, 0);
	s32 cpu = scx_bpf_task_cpu(p);
	u32 key = (u32)cpu, weight = p->scx.weight;
	struct wr_cpu *c = bpf_map_lookup_elem(&wr_cpus, &key);
	u64 now = scx_bpf_now(), ran;

	if (!t || !t->began)
		return;
	ran = now - t->began;
	if (weight)
		t->vt += ran * 100 / weight;
	if (!c)
		return;
	c->busy += ran;
	close_window(c, now);
	if (c->closed)
		scx_bpf_cpuperf_set(cpu, c->target);
}

s32 SEC("struct_ops.s/init") BPF_PROG(wr_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops wr_ops = {
	.select_cpu = (void *)wr_select_cpu,
	.enqueue = (void *)wr_enqueue,
	.dispatch = (void *)wr_dispatch,
	.running = (void *)wr_running,
	.stopping = (void *)wr_stopping,
	.init = (void *)wr_init,
	.name = "window_ratio",
};
