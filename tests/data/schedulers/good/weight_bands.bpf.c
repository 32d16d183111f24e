// SPDX-License-Identifier: GPL-2.0
/*
 * Three bands by cgroup weight, chosen by smooth weighted round robin with shares 4:2:1 per
 * waiting task and a floor of one eighth for any band with waiting tasks.
 */
/*
 * The cpu.weight of its cgroup puts a task into the heavy, the usual or the
 * light band. For every dispatch the bands collect credit in proportion to
 * their share times the number of their waiting tasks; the richest band is
 * served and pays for all.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define WB_HEAVY 0xb0
#define WB_USUAL 0xb1
#define WB_LIGHT 0xb2

const volatile u32 wb_heavy_from = 200;
const volatile u32 wb_light_below = 50;
const volatile u64 wb_slice_ns = 3500000ULL;

struct wb_group {
	u32 weight;
};

struct wb_cpu {
	s64 heavy;
	s64 usual;
	s64 light;
};

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct wb_group);
} wb_groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct wb_cpu);
} wb_cpus SEC(".maps");

static __always_inline u64 wb_band(struct task_struct *p)
{
	struct cgroup *cgrp = scx_bpf_task_cgroup(p);
	struct wb_group *g = bpf_cgrp_storage_get(&wb_groups, cgrp, 0, 0);
	u32 weight = g ? g->weight : 100;

	bpf_cgroup_release(cgrp);

	if (weight >= wb_heavy_from)
		return WB_HEAVY;
	if (weight < wb_light_below)
		return WB_LIGHT;
	return WB_USUAL;
}

static __always_inline s64 wb_demand(u64 dsq, s64 share)
{
	s32 nr = scx_bpf_dsq_nr_queued(dsq);

	return nr > 0 ? nr * share : 0;
}

static __always_inline s64 wb_floor(s64 demand, s64 least)
{
	return demand && demand < least ? least : demand;
}

static __always_inline u64 wb_choose(struct wb_cpu *c)
{
	s64 heavy = wb_demand(WB_HEAVY, 32);
	s64 usual = wb_demand(WB_USUAL, 16);
	s64 light = wb_demand(WB_LIGHT, 8);
	s64 total = heavy + usual + light;
	s64 least = total >> 3;

	heavy = wb_floor(heavy, least);
	usual = wb_floor(usual, least);
	light = wb_floor(light, least);
	total = heavy + usual + light;

	/* an empty band keeps nothing for later */
	c->heavy = heavy ? c->heavy + heavy : 0;
	c->usual = usual ? c->usual + usual : 0;
	c->light = light ? c->light + light : 0;

	if (light && c->light >= c->usual && c->light >= c->heavy) {
		c->light -= total;
		return WB_LIGHT;
	}
	if (usual && c->usual >= c->heavy) {
		c->usual -= total;
		return WB_USUAL;
	}
	if (heavy)
		c->heavy -= total;
	return WB_HEAVY;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(wb_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, wb_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(wb_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, wb_band(p), wb_slice_ns, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(wb_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 band = WB_USUAL;
	u32 zero = 0;
	struct wb_cpu *c = bpf_map_lookup_elem(&wb_cpus, &zero);

	if (c)
		band = wb_choose(c);
	if (scx_bpf_dsq_move_to_local(band))
		return;

	/* nothing there that may run here */
	if (scx_bpf_dsq_move_to_local(WB_LIGHT))
		return;
	if (scx_bpf_dsq_move_to_local(WB_USUAL))
		return;
	scx_bpf_dsq_move_to_local(WB_HEAVY);
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(wb_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	struct wb_group *g;

	g = bpf_cgrp_storage_get(&wb_groups, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (g)
		g->weight = args->weight;
	return 0;
}

void SEC("struct_ops/cgroup_set_weight")
	BPF_PROG(wb_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	struct wb_group *g = bpf_cgrp_storage_get(&wb_groups, cgrp, 0, 0);

	if (g)
		g->weight = weight;
}

s32 SEC("struct_ops.s/init") BPF_PROG(wb_init)
{
	s32 err;

	err = scx_bpf_create_dsq(WB_HEAVY, -1);
	if (err)
		return err;
	err = scx_bpf_create_dsq(WB_USUAL, -1);
	if (err)
		return err;
	return scx_bpf_create_dsq(WB_LIGHT, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops wb_ops = {
	.select_cpu = (void *)wb_select_cpu,
	.enqueue = (void *)wb_enqueue,
	.dispatch = (void *)wb_dispatch,
	.cgroup_init = (void *)wb_cgroup_init,
	.cgroup_set_weight = (void *)wb_cgroup_set_weight,
	.init = (void *)wb_init,
	.name = "weight_bands",
};
