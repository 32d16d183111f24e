// SPDX-License-Identifier: GPL-2.0
/*
 * One queue for each CPU. A task waits where it last ran; a CPU with nothing of its own takes from
 * the others, which skips tasks that may not run there. A dump shows tasks by name, for people to
 * read; nothing is decided by it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define CPU_DSQ 0x1000
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} steals SEC(".maps");

void SEC("struct_ops/enqueue") BPF_PROG(percpu_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	scx_bpf_dsq_insert(p, CPU_DSQ + cpu, SCX_SLICE_DFL, enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(percpu_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	u64 *count;
	s32 other;

	if (scx_bpf_dsq_move_to_local(CPU_DSQ + cpu))
		return;
	bpf_for (other, 0, scx_bpf_nr_cpu_ids()) {
		if (!scx_bpf_dsq_move_to_local(CPU_DSQ + other))
			continue;
		count = bpf_map_lookup_elem(&steals, &zero);
		if (count)
			*count += 1;
		return;
	}
}

s32 SEC("struct_ops.s/init") BPF_PROG(percpu_init)
{
	s32 cpu, err;

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(CPU_DSQ + cpu, -1);
		if (err)
			return err;
	}
	return 0;
}

static char shown[] = "waits: %s";

void SEC("struct_ops/dump_task")
	BPF_PROG(percpu_dump_task, struct scx_dump_ctx *dctx, struct task_struct *p)
{
	scx_bpf_dump_bstr(shown, (unsigned long long[]){(unsigned long long)p->comm}, sizeof(u64));
}

SEC(".struct_ops.link")
struct sched_ext_ops percpu_ops = {
	.enqueue = (void *)percpu_enqueue,
	.dispatch = (void *)percpu_dispatch,
	.init = (void *)percpu_init,
	.dump_task = (void *)percpu_dump_task,
	.name = "queue_per_cpu",
};
