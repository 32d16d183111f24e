// SPDX-License-Identifier: GPL-2.0
/*
 * Implements update_idle with KEEP_BUILTIN_IDLE; keeps its own ledger of when CPUs fell idle to
 * prefer the one that idled last (still claimed through the built-in mask); FIFO shared queue.
 */
/*
 * The CPU which went idle last is the one whose caches and clocks are still
 * up. The ledger is only a hint: claiming is left to the built-in tracking,
 * and if the hint is stale or not allowed the built-in search decides.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define IL_DSQ	   0x1d1e
#define IL_ENTRIES 256

const volatile u64 il_slice_ns = 5000000ULL;

struct il_entry {
	u64 idle_since; /* 0 while busy */
	u64 idle_total;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, IL_ENTRIES);
	__type(key, u32);
	__type(value, struct il_entry);
} il_ledger SEC(".maps");

s32 il_latest = -1;

static __always_inline s32 il_claim(struct task_struct *p)
{
	s32 cpu = il_latest;

	if (cpu >= 0 && bpf_cpumask_test_cpu(cpu, p->cpus_ptr) &&
	    scx_bpf_test_and_clear_cpu_idle(cpu))
		return cpu;
	return scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
}

void SEC("struct_ops/update_idle") BPF_PROG(il_update_idle, s32 cpu, bool idle)
{
	u64 now = scx_bpf_now();
	struct il_entry *e;
	u32 key = cpu;

	if (idle)
		il_latest = cpu;

	e = bpf_map_lookup_elem(&il_ledger, &key);
	if (!e) /* a CPU beyond the ledger, which is fine */
		return;

	if (idle) {
		if (!e->idle_since)
			e->idle_since = now;
	} else if (e->idle_since) {
		if ((s64)(now - e->idle_since) > 0)
			e->idle_total += now - e->idle_since;
		e->idle_since = 0;
	}
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(il_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu;

	if (bpf_cpumask_test_cpu(prev_cpu, p->cpus_ptr) &&
	    scx_bpf_test_and_clear_cpu_idle(prev_cpu))
		cpu = prev_cpu;
	else
		cpu = il_claim(p);

	if (cpu < 0)
		return prev_cpu;
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, il_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(il_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, IL_DSQ, il_slice_ns, enq_flags);

	cpu = il_claim(p);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(il_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(IL_DSQ);
}

s32 SEC("struct_ops.s/init") BPF_PROG(il_init)
{
	return scx_bpf_create_dsq(IL_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops il_ops = {
	.update_idle = (void *)il_update_idle,
	.select_cpu = (void *)il_select_cpu,
	.enqueue = (void *)il_enqueue,
	.dispatch = (void *)il_dispatch,
	.init = (void *)il_init,
	.flags = SCX_OPS_KEEP_BUILTIN_IDLE,
	.name = "idle_ledger",
};
