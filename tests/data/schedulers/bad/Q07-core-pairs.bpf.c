// SPDX-License-Identifier: GPL-2.0
/*
 * Q07: a key that was copied from another line leaves the upper half of the CPUs without a domain
 * for ever. Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * Two domains made of alternating cores, one queue each, with stealing between them. A CPU that
 * belongs to no domain (offline at start, isolated) only serves what is bound to it.
 */
#define PF_KTHREAD  0x00200000
#define MAX_CPUS    128
#define NO_DOMAIN   0
#define NR_DOMAINS  2
#define DOMQ(d)	    (0x20ULL + (d))
#define BOUNDQ(cpu) (0x400ULL + (u32)(cpu))
#define BASE_SLICE  10000000ULL

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CPUS);
	__type(key, u32);
	__type(value, u32);
} domain_of SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} turns SEC(".maps");

static u32 nr_cpus = 1;

static __always_inline u32 domain(u32 cpu)
{
	u32 *d = bpf_map_lookup_elem(&domain_of, &cpu);

	return d ? *d : NO_DOMAIN;
}

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = BASE_SLICE * p->scx.weight / 100;

	if (s > 4 * BASE_SLICE)
		s = 4 * BASE_SLICE;
	return s < BASE_SLICE / 5 ? BASE_SLICE / 5 : s;
}

static __always_inline s32 scan_idle(struct task_struct *p, u32 want, bool exact)
{
	u32 i, d;

	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr_cpus)
			break;
		d = domain(i);
		if (d == NO_DOMAIN || (exact && d != want) || !bpf_cpumask_test_cpu(i, p->cpus_ptr))
			continue;
		if (scx_bpf_test_and_clear_cpu_idle(i))
			return i;
	}
	return -1;
}

/* an idle CPU of any domain, the wanted one first */
static __always_inline s32 find_idle(struct task_struct *p, u32 want)
{
	s32 cpu = scan_idle(p, want, true);

	return cpu >= 0 ? cpu : scan_idle(p, want, false);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(cp_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	u32 d = domain((u32)prev_cpu);
	bool idle = false;
	s32 cpu;

	if (p->nr_cpus_allowed < nr_cpus) {
		cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
		if (idle)
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
		return cpu;
	}
	if (d != NO_DOMAIN && scx_bpf_test_and_clear_cpu_idle(prev_cpu))
		cpu = prev_cpu;
	else
		cpu = find_idle(p, d);
	if (cpu < 0)
		return prev_cpu;
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(cp_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 cpu = (u32)scx_bpf_task_cpu(p), d = domain(cpu);
	s32 idle;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed < nr_cpus) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	if ((enq_flags & SCX_ENQ_LAST) && (d != NO_DOMAIN || p->nr_cpus_allowed < nr_cpus)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	if (p->nr_cpus_allowed < nr_cpus && cpu < nr_cpus) {
		scx_bpf_dsq_insert(p, BOUNDQ(cpu), slice_of(p), enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}
	if (d == NO_DOMAIN)
		d = 1 + (u32)p->pid % NR_DOMAINS;
	scx_bpf_dsq_insert(p, DOMQ(d), slice_of(p), enq_flags);
	idle = find_idle(p, d);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(cp_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 key = 0, d = domain((u32)cpu);
	u64 *turn = bpf_map_lookup_elem(&turns, &key);

	if ((u32)cpu >= nr_cpus)
		return;
	if (turn && (++*turn & 1) && scx_bpf_dsq_move_to_local(BOUNDQ(cpu)))
		return;
	if (d != NO_DOMAIN) {
		if (scx_bpf_dsq_move_to_local(DOMQ(d)))
			return;
		if (scx_bpf_dsq_move_to_local(DOMQ(d == 1 ? 2 : 1)))
			return;
	}
	scx_bpf_dsq_move_to_local(BOUNDQ(cpu));
}

static int assign_pair(u32 i, u32 *half)
{
	u32 first = i, second = i + *half, d = 1 + i % NR_DOMAINS;

	bpf_map_update_elem(&domain_of, &first, &d, BPF_ANY);
	if (second < nr_cpus)
		bpf_map_update_elem(&domain_of, &first, &d, BPF_ANY);
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(cp_init)
{
	u32 i, half, nr = scx_bpf_nr_cpu_ids();
	s32 err;

	if (nr > MAX_CPUS)
		nr = MAX_CPUS;
	for (i = 1; i <= NR_DOMAINS; i++) {
		err = scx_bpf_create_dsq(DOMQ(i), -1);
		if (err)
			return err;
	}
	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr)
			break;
		err = scx_bpf_create_dsq(BOUNDQ(i), -1);
		if (err)
			return err;
	}
	nr_cpus = nr;
	half = (nr + 1) / 2;
	bpf_loop(half, assign_pair, &half, 0);
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops cp_ops = {
	.select_cpu = (void *)cp_select_cpu,
	.enqueue = (void *)cp_enqueue,
	.dispatch = (void *)cp_dispatch,
	.init = (void *)cp_init,
	.flags = SCX_OPS_ENQ_LAST,
	.name = "core_pairs",
};
