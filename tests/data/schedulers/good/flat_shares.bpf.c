// SPDX-License-Identifier: GPL-2.0
/*
 * flattened cgroup weights: groups are hashed into 32 vtime queues, the queue with the smallest
 * charged time is served next; charges use the weights compounded along the path.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
char _license[] SEC("license") = "GPL";
#define PF_KTHREAD 0x00200000
#define ENOMEM	   12
#define MAX_CPUS   1024
#define NR_SLOTS   32
#define SLOT_Q(s)  (0x4000ULL + ((u32)(s) & (NR_SLOTS - 1)))
#define SLOT(t)	   ((t)->slot & (NR_SLOTS - 1))
#define PIN_Q(cpu) ((u64)((u32)(cpu) & (MAX_CPUS - 1)))

const volatile u64 slice_ns = 5000000ULL;
const volatile u64 task_debt_ns = 50000000ULL;
const volatile u64 slot_debt_ns = 100000000ULL;

struct fs_task {
	u64 sum_at_start;
	u32 slot;
	u32 share; /* compounded weight of the group, 100 is neutral */
};

#define STORAGE_MAP(kind, val, name)                                                               \
	struct {                                                                                   \
		__uint(type, kind);                                                                \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                              \
		__type(key, int);                                                                  \
		__type(value, val);                                                                \
	} name SEC(".maps")

STORAGE_MAP(BPF_MAP_TYPE_CGRP_STORAGE, u32, weights);
STORAGE_MAP(BPF_MAP_TYPE_TASK_STORAGE, struct fs_task, tasks);

static u64 slot_vtime[NR_SLOTS]; /* what the groups of the slot were charged */
static u64 slot_clock[NR_SLOTS]; /* virtual time of the tasks inside the slot */
static u64 slots_now, clock_at;
static u8 turn[MAX_CPUS];

static __always_inline bool vtime_before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}
static __always_inline u64 clamp_around(u64 v, u64 now, u64 credit, u64 debt)
{
	return vtime_before(v, now - credit) ? now - credit
	       : vtime_before(now + debt, v) ? now + debt
					     : v;
}

static __always_inline void place(struct fs_task *t, struct cgroup *cgrp)
{
	u64 share = 100;
	int level;

	for (level = 1; level <= 6; level++) {
		struct cgroup *anc = level <= cgrp->level ? bpf_cgroup_ancestor(cgrp, level) : NULL;
		u32 *w;

		if (!anc)
			break;
		w = bpf_cgrp_storage_get(&weights, anc, 0, 0);
		if (w)
			share = share * *w / 100;
		bpf_cgroup_release(anc);
	}
	t->share = share < 1 ? 1 : share > 10000 ? 10000 : share;
	t->slot = cgrp->kn->id % NR_SLOTS;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(fs_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(fs_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct fs_task *t = bpf_task_storage_get(&tasks, p, 0, 0);
	struct cgroup *cgrp;
	u64 t_now = bpf_ktime_get_ns(), passed = t_now - clock_at, vtime;
	s32 cpu;

	if (!t || (p->nr_cpus_allowed == 1 && (p->flags & PF_KTHREAD))) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
		return;
	}
	cgrp = scx_bpf_task_cgroup(p);
	place(t, cgrp);
	bpf_cgroup_release(cgrp);
	if ((s64)passed > 0) { /* heavy groups or tasks must not stop virtual time */
		clock_at = t_now;
		passed = (passed < slice_ns ? passed : slice_ns) / 8;
		slots_now += passed;
		slot_clock[SLOT(t)] += passed;
	}
	vtime = clamp_around(p->scx.dsq_vtime, slot_clock[SLOT(t)], slice_ns, task_debt_ns);
	if (p->nr_cpus_allowed == 1) /* in order of arrival, as the slots' clocks differ */
		scx_bpf_dsq_insert(p, PIN_Q(scx_bpf_task_cpu(p)), slice_ns, enq_flags);
	else
		scx_bpf_dsq_insert_vtime(p, SLOT_Q(SLOT(t)), slice_ns, vtime, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

struct fs_pick {
	u64 tried, vtime;
	s32 slot;
};

static long look_at_slot(u64 i, void *ctx)
{
	struct fs_pick *pick = ctx;
	u32 s = i & (NR_SLOTS - 1);
	u64 v;

	if ((pick->tried & (1ULL << s)) || scx_bpf_dsq_nr_queued(SLOT_Q(s)) <= 0)
		return 0;
	v = clamp_around(slot_vtime[s], slots_now, slice_ns, slot_debt_ns);
	slot_vtime[s] = v;
	if (pick->slot < 0 || vtime_before(v, pick->vtime))
		pick->slot = s, pick->vtime = v;
	return 0;
}

static __always_inline bool serve_slots(void)
{
	struct fs_pick pick = {};
	u32 i;

	/* the next best one for when the best holds nothing for this CPU */
	for (i = 0; i < NR_SLOTS; i++) {
		pick.slot = -1;
		bpf_loop(NR_SLOTS, look_at_slot, &pick, 0);
		if (pick.slot < 0)
			return false;
		if (scx_bpf_dsq_move_to_local(SLOT_Q(pick.slot))) {
			slots_now = vtime_before(slots_now, pick.vtime) ? pick.vtime : slots_now;
			return true;
		}
		pick.tried |= 1ULL << (pick.slot & (NR_SLOTS - 1));
	}
	return false;
}

void SEC("struct_ops/dispatch") BPF_PROG(fs_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 idx = (u32)cpu & (MAX_CPUS - 1);

	turn[idx] ^= 1;
	if (!(turn[idx] && scx_bpf_dsq_move_to_local(PIN_Q(idx))) && !serve_slots())
		scx_bpf_dsq_move_to_local(PIN_Q(idx));
}

void SEC("struct_ops/running") BPF_PROG(fs_running, struct task_struct *p)
{
	struct fs_task *t = bpf_task_storage_get(&tasks, p, 0, 0);

	if (!t)
		return;
	t->sum_at_start = p->se.sum_exec_runtime;
	if (vtime_before(slot_clock[SLOT(t)], p->scx.dsq_vtime))
		slot_clock[SLOT(t)] = p->scx.dsq_vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(fs_stopping, struct task_struct *p, bool runnable)
{
	struct fs_task *t = bpf_task_storage_get(&tasks, p, 0, 0);
	u64 used;

	if (!t)
		return;
	used = p->se.sum_exec_runtime - t->sum_at_start;
	p->scx.dsq_vtime = clamp_around(p->scx.dsq_vtime + used * 100 / p->scx.weight,
					slot_clock[SLOT(t)], slice_ns, task_debt_ns);
	__sync_fetch_and_add(&slot_vtime[SLOT(t)], used * 100 / (t->share ?: 1));
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(fs_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct fs_task *t = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return -ENOMEM;
	t->share = 100;
	p->scx.dsq_vtime = slot_clock[args->cgroup->kn->id % NR_SLOTS] + slice_ns;
	return 0;
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(fs_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	u32 *w = bpf_cgrp_storage_get(&weights, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (w) /* a group without storage counts as neutral */
		*w = args->weight;
	return 0;
}

void SEC("struct_ops/cgroup_set_weight")
	BPF_PROG(fs_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	u32 *w = bpf_cgrp_storage_get(&weights, cgrp, 0, 0);

	if (w)
		*w = weight;
}

s32 SEC("struct_ops.s/init") BPF_PROG(fs_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 ret = 0;

	for (i = 0; i < NR_SLOTS && !ret; i++)
		ret = scx_bpf_create_dsq(SLOT_Q(i), -1);
	for (i = 0; i < MAX_CPUS && i < nr && !ret; i++)
		ret = scx_bpf_create_dsq(PIN_Q(i), -1);
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops flat_ops = {
	.select_cpu = (void *)fs_select_cpu,
	.enqueue = (void *)fs_enqueue,
	.dispatch = (void *)fs_dispatch,
	.running = (void *)fs_running,
	.stopping = (void *)fs_stopping,
	.init_task = (void *)fs_init_task,
	.cgroup_init = (void *)fs_cgroup_init,
	.cgroup_set_weight = (void *)fs_cgroup_set_weight,
	.init = (void *)fs_init,
	.name = "flat_shares",
};
