// SPDX-License-Identifier: GPL-2.0
/*
 * SMT-aware idle choice: previous CPU on a wholly idle core, any wholly idle core, previous CPU,
 * any idle CPU; the idle mask is always put back; deadline-ordered shared queue with a 300 ms cap.
 */
/*
 * Two busy siblings are slower than two busy cores, so whole cores are given
 * out first. No assumption is made about CPU numbering or about core
 * scheduling; without SMT the "whole core" mask equals the idle mask.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define CF_DSQ	  0xcf
#define CF_CAP_NS 300000000ULL

const volatile u64 cf_slice_ns = 5 * 1000 * 1000ULL;

static __always_inline bool cf_on_whole_core(s32 cpu)
{
	const struct cpumask *whole = scx_bpf_get_idle_smtmask();
	bool yes = bpf_cpumask_test_cpu(cpu, whole);

	scx_bpf_put_idle_cpumask(whole);
	return yes;
}

static __always_inline s32 cf_pick(struct task_struct *p, s32 prev_cpu)
{
	bool prev_ok = prev_cpu >= 0 && bpf_cpumask_test_cpu(prev_cpu, p->cpus_ptr);
	s32 cpu;

	if (prev_ok && cf_on_whole_core(prev_cpu) && scx_bpf_test_and_clear_cpu_idle(prev_cpu))
		return prev_cpu;

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, SCX_PICK_IDLE_CORE);
	if (cpu >= 0)
		return cpu;

	if (prev_ok && scx_bpf_test_and_clear_cpu_idle(prev_cpu))
		return prev_cpu;

	return scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(cf_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu = cf_pick(p, prev_cpu);

	if (cpu >= 0) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, cf_slice_ns, 0);
		return cpu;
	}
	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(cf_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 weight = p->scx.weight ? p->scx.weight : 1;
	u64 offset = cf_slice_ns * 400 / weight;
	u64 old = p->scx.dsq_vtime;
	u64 key;
	s32 cpu;

	if (offset > CF_CAP_NS)
		offset = CF_CAP_NS;
	key = scx_bpf_now() + offset;
	if (old && (s64)(old - key) < 0)
		key = old; /* still the same wait */
	scx_bpf_dsq_insert_vtime(p, CF_DSQ, cf_slice_ns, key, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, SCX_PICK_IDLE_CORE);
	if (cpu < 0)
		cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(cf_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(CF_DSQ);
}

void SEC("struct_ops/running") BPF_PROG(cf_running, struct task_struct *p)
{
	/* served: the next wait gets a new key */
	p->scx.dsq_vtime = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(cf_init)
{
	return scx_bpf_create_dsq(CF_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops cf_ops = {
	.select_cpu = (void *)cf_select_cpu,
	.enqueue = (void *)cf_enqueue,
	.dispatch = (void *)cf_dispatch,
	.running = (void *)cf_running,
	.init = (void *)cf_init,
	.name = "core_first",
};
