// SPDX-License-Identifier: GPL-2.0
/*
 * R08: a budget that is counted down too often wraps between two walks, and there is no limit to
 * inserts any more. Stopped at Bytecode or Dynamic.
 */
/*
 * waitsets: hash maps hold who waits and since when; dispatch turns them into a queue ordered by
 * waiting time.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BW_ORDER    0x2eULL
#define BW_SLICE    (8ULL * 1000 * 1000)
#define BW_HANDICAP (60ULL * 1000 * 1000)

struct bw_set {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, s32);
	__type(value, u64);
};

struct bw_set bw_fore SEC(".maps");
struct bw_set bw_back SEC(".maps");

struct bw_budget {
	u32 left;
	u32 pad;
	u64 handicap;
};

void SEC("struct_ops/enqueue") BPF_PROG(bw_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 now = bpf_ktime_get_ns();
	s32 pid = p->pid, cpu;
	long err;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, BW_SLICE, enq_flags);
		return;
	}

	if (p->scx.weight >= 100)
		err = bpf_map_update_elem(&bw_fore, &pid, &now, BPF_ANY);
	else
		err = bpf_map_update_elem(&bw_back, &pid, &now, BPF_ANY);
	if (err)
		scx_bpf_dsq_insert_vtime(p, BW_ORDER, BW_SLICE, now, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

static long bw_take(struct bpf_map *set, s32 *key, u64 *since, struct bw_budget *b)
{
	struct task_struct *p;
	u64 at = *since;
	s32 pid = *key;

	if (b->left-- == 0)
		return 1;

	/* out of the set first, it may be back before we are through */
	bpf_map_delete_elem(set, &pid);
	p = bpf_task_from_pid(pid);
	if (!p)
		return 0;
	scx_bpf_dsq_insert_vtime(p, BW_ORDER, BW_SLICE, at + b->handicap, 0);
	bpf_task_release(p);
	return 0;
}

void SEC("struct_ops/dispatch") BPF_PROG(bw_dispatch, s32 cpu, struct task_struct *prev)
{
	struct bw_budget b = {};

	if (scx_bpf_dsq_move_to_local(BW_ORDER))
		return;

	b.left = scx_bpf_dispatch_nr_slots();
	bpf_for_each_map_elem(&bw_fore, bw_take, &b, 0);

	/* what is left goes to the background, one handicap later */
	b.handicap = BW_HANDICAP;
	bpf_for_each_map_elem(&bw_back, bw_take, &b, 0);

	scx_bpf_dsq_move_to_local(BW_ORDER);
}

s32 SEC("struct_ops.s/init") BPF_PROG(bw_init)
{
	return scx_bpf_create_dsq(BW_ORDER, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops waitsets_ops = {
	.enqueue = (void *)bw_enqueue,
	.dispatch = (void *)bw_dispatch,
	.init = (void *)bw_init,
	.name = "waitsets",
};
