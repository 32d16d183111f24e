// SPDX-License-Identifier: GPL-2.0
/*
 * Two classes that share each CPU four to one: a class is charged for the turns it got, the less
 * charged one is next, and a class that had nothing to do keeps no credit for it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SERVICE 0x1c0
#define BATCH	0x1c1

struct shares {
	u64 service;
	u64 batch;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct shares);
} charged SEC(".maps");

enum { SERVICE_CHARGE = 1, BATCH_CHARGE = 4 };

static bool serve_service(struct shares *shares)
{
	if (!scx_bpf_dsq_move_to_local(SERVICE))
		return false;
	if (shares)
		shares->service += SERVICE_CHARGE;
	return true;
}

static bool serve_batch(struct shares *shares)
{
	if (!scx_bpf_dsq_move_to_local(BATCH))
		return false;
	if (shares)
		shares->batch += BATCH_CHARGE;
	return true;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(share_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(share_enqueue, struct task_struct *p, u64 enq_flags)
{
	bool batch = p->static_prio > 120;
	s32 idle;

	scx_bpf_dsq_insert(p, batch ? BATCH : SERVICE, 5000000, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(share_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	struct shares *shares = bpf_map_lookup_elem(&charged, &zero);

	if (shares && shares->batch < shares->service) {
		if (serve_batch(shares))
			return;
		shares->batch = shares->service;
	}
	if (serve_service(shares))
		return;
	if (shares)
		shares->service = shares->batch;
	serve_batch(shares);
}

s32 SEC("struct_ops.s/init") BPF_PROG(share_init)
{
	s32 err = scx_bpf_create_dsq(SERVICE, -1);

	return err ?: scx_bpf_create_dsq(BATCH, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops share_ops = {
	.select_cpu = (void *)share_select_cpu,
	.enqueue = (void *)share_enqueue,
	.dispatch = (void *)share_dispatch,
	.init = (void *)share_init,
	.name = "classes_by_shares",
};
