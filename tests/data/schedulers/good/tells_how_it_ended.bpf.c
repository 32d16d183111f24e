// SPDX-License-Identifier: GPL-2.0
/*
 * Order of arrival, and an account of the end that user space can read afterwards: kind, code,
 * reason and message, and how many tasks came and went. An error of its own is raised only when a
 * queue cannot be made.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define TOLD 0x4d

struct ending {
	s32 kind;
	s64 code;
	char reason[64];
	char message[256];
	u64 came;
	u64 ran;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct ending);
} endings SEC(".maps");

static u64 came, ran;
static char no_queue[] = "no queue could be made: %d";

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(told_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(told_enqueue, struct task_struct *p, u64 enq_flags)
{
	__sync_fetch_and_add(&came, 1);
	scx_bpf_dsq_insert(p, TOLD, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(told_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(TOLD);
}

void SEC("struct_ops/running") BPF_PROG(told_running, struct task_struct *p)
{
	__sync_fetch_and_add(&ran, 1);
}

s32 SEC("struct_ops.s/init") BPF_PROG(told_init)
{
	s32 err = scx_bpf_create_dsq(TOLD, -1);

	if (err)
		scx_bpf_error_bstr(no_queue, (unsigned long long[]){err}, sizeof(u64));
	return err;
}

void SEC("struct_ops.s/exit") BPF_PROG(told_exit, struct scx_exit_info *ei)
{
	u32 zero = 0;
	struct ending *ending = bpf_map_lookup_elem(&endings, &zero);

	if (!ending)
		return;
	ending->kind = ei->kind;
	ending->code = ei->exit_code;
	ending->came = came;
	ending->ran = ran;
	bpf_probe_read_kernel_str(ending->reason, sizeof(ending->reason), ei->reason);
	bpf_probe_read_kernel_str(ending->message, sizeof(ending->message), ei->msg);
}

SEC(".struct_ops.link")
struct sched_ext_ops told_ops = {
	.select_cpu = (void *)told_select_cpu,
	.enqueue = (void *)told_enqueue,
	.dispatch = (void *)told_dispatch,
	.running = (void *)told_running,
	.init = (void *)told_init,
	.exit = (void *)told_exit,
	.name = "tells_how_it_ended",
};
