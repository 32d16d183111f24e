// SPDX-License-Identifier: GPL-2.0
/*
 * T01: group slots are scanned up to the number of groups that live, so that a removed group in
 * the middle hides the highest slot. Stopped at Bytecode or Dynamic.
 */
/*
 * tenants: one FIFO per control group, groups take turns on every CPU.
 *
 * Each group owns a numbered slot and the queue of that number. A CPU remembers where it stopped
 * and goes on from there, so that a group with a hundred tasks gets no more turns than one with
 * two. Groups beyond the table share the common queue, which takes its turn as well.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define TN_SLOTS  160
#define TN_BASE	  0x1000ULL
#define TN_COMMON 0x10ULL
#define TN_SLICE  (5ULL * 1000 * 1000)

struct tn_slot {
	u64 cgid;
	u32 used;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TN_SLOTS);
	__type(key, u32);
	__type(value, struct tn_slot);
} tn_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u64);
	__type(value, u32);
} tn_index SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} tn_cursor SEC(".maps");

static u32 tn_live;

static __always_inline void tn_wake_one(struct task_struct *p)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/enqueue") BPF_PROG(tn_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct cgroup *cgrp;
	u64 cgid, dsq = TN_COMMON;
	u32 *slot;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, TN_SLICE, enq_flags);
		return;
	}

	cgrp = scx_bpf_task_cgroup(p);
	cgid = cgrp->kn->id;
	bpf_cgroup_release(cgrp);

	slot = bpf_map_lookup_elem(&tn_index, &cgid);
	if (slot)
		dsq = TN_BASE + *slot;

	scx_bpf_dsq_insert(p, dsq, TN_SLICE, enq_flags);
	tn_wake_one(p);
}

void SEC("struct_ops/dispatch") BPF_PROG(tn_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, i, at, seats;
	u32 *cursor = bpf_map_lookup_elem(&tn_cursor, &zero);

	if (!cursor)
		return;

	/* the common queue sits after the last group */
	seats = tn_live + 1;

	for (i = 0; i < TN_SLOTS + 1; i++) {
		if (i >= seats)
			break;
		at = (*cursor + i) % seats;
		if (scx_bpf_dsq_move_to_local(at == seats - 1 ? TN_COMMON : TN_BASE + at)) {
			*cursor = at + 1;
			return;
		}
	}
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(tn_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	u64 cgid = cgrp->kn->id;
	struct tn_slot *slot;
	u32 i, at;

	for (i = 0; i < TN_SLOTS; i++) {
		at = i;
		slot = bpf_map_lookup_elem(&tn_slots, &at);
		if (!slot)
			break;
		if (slot->used)
			continue;
		if (bpf_map_update_elem(&tn_index, &cgid, &at, BPF_ANY))
			break;
		slot->used = 1;
		slot->cgid = cgid;
		tn_live++;
		break;
	}
	return 0;
}

void SEC("struct_ops/cgroup_exit") BPF_PROG(tn_cgroup_exit, struct cgroup *cgrp)
{
	u64 cgid = cgrp->kn->id;
	struct tn_slot *slot;
	u32 *at, key;

	at = bpf_map_lookup_elem(&tn_index, &cgid);
	if (!at)
		return;
	key = *at;
	bpf_map_delete_elem(&tn_index, &cgid);

	slot = bpf_map_lookup_elem(&tn_slots, &key);
	if (slot && slot->used) {
		slot->used = 0;
		tn_live--;
	}
}

s32 SEC("struct_ops.s/init") BPF_PROG(tn_init)
{
	s32 ret = scx_bpf_create_dsq(TN_COMMON, -1);
	u32 i;

	for (i = 0; i < TN_SLOTS && !ret; i++)
		ret = scx_bpf_create_dsq(TN_BASE + i, -1);
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops tenants_ops = {
	.enqueue = (void *)tn_enqueue,
	.dispatch = (void *)tn_dispatch,
	.cgroup_init = (void *)tn_cgroup_init,
	.cgroup_exit = (void *)tn_cgroup_exit,
	.init = (void *)tn_init,
	.name = "tenants",
};
