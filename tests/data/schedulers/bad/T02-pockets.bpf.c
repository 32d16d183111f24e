// SPDX-License-Identifier: GPL-2.0
/*
 * T02: a pocket of eight numbers of tasks for each CPU that no other CPU sees, stuck when local
 * refills stop dispatch. Stopped at Bytecode or Dynamic.
 */
/*
 * pockets: a global FIFO of pids in a BPF queue, fetched in handfuls to keep the shared cache line
 * quiet.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PK_STAGE   0x51ULL
#define PK_HANDFUL 8
#define PK_SLICE   (8ULL * 1000 * 1000)

struct pk_pocket {
	u32 n;
	u32 at;
	s32 pid[PK_HANDFUL];
};

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 8192);
	__type(value, s32);
} pk_line SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct pk_pocket);
} pk_pockets SEC(".maps");

void SEC("struct_ops/enqueue") BPF_PROG(pk_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, PK_SLICE, enq_flags);
		return;
	}

	/* a full line is no reason to wait: the stage takes the task as well */
	if (bpf_map_push_elem(&pk_line, &pid, 0))
		scx_bpf_dsq_insert(p, PK_STAGE, PK_SLICE, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

static __always_inline void pk_refill(struct pk_pocket *pk)
{
	u32 i, n = 0;
	s32 pid;

	for (i = 0; i < PK_HANDFUL; i++) {
		if (bpf_map_pop_elem(&pk_line, &pid))
			break;
		pk->pid[i] = pid;
		n = i + 1;
	}
	pk->n = n;
	pk->at = 0;
}

void SEC("struct_ops/dispatch") BPF_PROG(pk_dispatch, s32 cpu, struct task_struct *prev)
{
	struct pk_pocket *pk;
	struct task_struct *p;
	u32 zero = 0, i, at;
	s32 idle;

	/* whatever is staged goes first, it has been through the line */
	if (scx_bpf_dsq_move_to_local(PK_STAGE))
		return;

	pk = bpf_map_lookup_elem(&pk_pockets, &zero);
	if (!pk)
		return;
	if (pk->at >= pk->n)
		pk_refill(pk);

	for (i = 0; i < PK_HANDFUL; i++) {
		at = pk->at;
		if (at >= pk->n || at >= PK_HANDFUL)
			return;
		pk->at = at + 1;

		p = bpf_task_from_pid(pk->pid[at]);
		if (!p)
			continue;
		scx_bpf_dsq_insert(p, PK_STAGE, PK_SLICE, 0);
		idle = -1;
		if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
		bpf_task_release(p);
		if (idle >= 0)
			scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);

		if (scx_bpf_dsq_move_to_local(PK_STAGE))
			return;
	}
}

s32 SEC("struct_ops.s/init") BPF_PROG(pk_init)
{
	return scx_bpf_create_dsq(PK_STAGE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops pockets_ops = {
	.enqueue = (void *)pk_enqueue,
	.dispatch = (void *)pk_dispatch,
	.init = (void *)pk_init,
	.name = "pockets",
};
