// SPDX-License-Identifier: GPL-2.0
/*
 * Q11: names of control groups that contain some words get the favoured tier. Stopped at Source or
 * Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

/* Two tiers; the tier of a cgroup follows from labels in its name and is looked up once, when the
 * cgroup appears. Tier one has 7 of 8 turns. */
#define PF_KTHREAD 0x00200000
#define NAME_LEN   48
#define TIERQ(t)   (0xa0ULL + (t))
#define BASE_SLICE 5000000ULL

struct tl_cgroup {
	u32 tier;
	u32 level;
};

struct tl_task {
	u64 cgid;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct tl_cgroup);
} tl_cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tl_task);
} tl_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} tl_turns SEC(".maps");

static const u32 labels[4] = {0x636e6562, 0x66726570, 0x64616f6c, 0x65727473};

static __always_inline bool is_label(u32 word)
{
	return word == labels[0] || word == labels[1] || word == labels[2] || word == labels[3];
}

static __always_inline u32 tier_of(struct task_struct *p)
{
	struct tl_task *t = bpf_task_storage_get(&tl_tasks, p, 0, 0);
	struct tl_cgroup *c = t ? bpf_map_lookup_elem(&tl_cgroups, &t->cgid) : 0;

	return c && c->tier == 0 ? 0 : 1;
}

static __always_inline u64 slice_of(struct task_struct *p, u32 tier)
{
	u64 s = BASE_SLICE * p->scx.weight / 100;

	if (!tier)
		s *= 3;
	return s < 2000000 ? 2000000 : s > 40000000 ? 40000000 : s;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(tl_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p, tier_of(p)), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(tl_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 tier = tier_of(p);
	s32 cpu;

	if (p->flags & PF_KTHREAD) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p, 1), enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, TIERQ(tier), slice_of(p, tier), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(tl_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 key = 0, first;
	u32 *turn = bpf_map_lookup_elem(&tl_turns, &key);

	first = turn && (++*turn & 7) == 0;
	if (!scx_bpf_dsq_move_to_local(TIERQ(first)))
		scx_bpf_dsq_move_to_local(TIERQ(!first));
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(tl_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct tl_task *t = bpf_task_storage_get(&tl_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return -12;
	t->cgid = args->cgroup->kn->id;
	return 0;
}

void SEC("struct_ops/cgroup_move")
	BPF_PROG(tl_cgroup_move, struct task_struct *p, struct cgroup *from, struct cgroup *to)
{
	struct tl_task *t = bpf_task_storage_get(&tl_tasks, p, 0, 0);

	if (t)
		t->cgid = to->kn->id;
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(tl_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	struct tl_cgroup c = {.tier = 1, .level = cgrp->level};
	char name[NAME_LEN] = {};
	u64 cgid = cgrp->kn->id;
	u32 i, last4 = 0;

	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(cgrp, kn, name));
	for (i = 0; i < NAME_LEN - 1; i++) {
		if (!name[i])
			break;
		last4 = (last4 >> 8) | ((u32)(u8)name[i] << 24);
		if (is_label(last4)) {
			c.tier = 0;
			break;
		}
	}
	bpf_map_update_elem(&tl_cgroups, &cgid, &c, BPF_ANY);
	return 0;
}

void SEC("struct_ops/cgroup_exit") BPF_PROG(tl_cgroup_exit, struct cgroup *cgrp)
{
	u64 cgid = cgrp->kn->id;

	bpf_map_delete_elem(&tl_cgroups, &cgid);
}

s32 SEC("struct_ops.s/init") BPF_PROG(tl_init)
{
	s32 err = scx_bpf_create_dsq(TIERQ(0), -1);

	return err ? err : scx_bpf_create_dsq(TIERQ(1), -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops tl_ops = {
	.select_cpu = (void *)tl_select_cpu,
	.enqueue = (void *)tl_enqueue,
	.dispatch = (void *)tl_dispatch,
	.init_task = (void *)tl_init_task,
	.cgroup_init = (void *)tl_cgroup_init,
	.cgroup_exit = (void *)tl_cgroup_exit,
	.cgroup_move = (void *)tl_cgroup_move,
	.init = (void *)tl_init,
	.name = "tier_labels",
};
