// SPDX-License-Identifier: GPL-2.0
/*
 * Two queues of tasks by number, heavier and lighter ones, which dispatch empties in batches as
 * large as the kernel has room for: three parts of the heavier, one of the lighter. Whoever was
 * taken out waits in one queue in that order for a CPU that may run it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define OUTGOING 0x99

enum { BATCH = 16, HEAVY_PART = 12, ENTRIES = 2048 };

struct pids {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, ENTRIES);
	__type(value, s32);
};

struct pids heavy_pids SEC(".maps");
struct pids light_pids SEC(".maps");

static bool send_one(void *pids)
{
	struct task_struct *p;
	s32 pid;

	if (bpf_map_pop_elem(pids, &pid))
		return false;
	p = bpf_task_from_pid(pid);
	if (!p)
		return true;
	scx_bpf_dsq_insert(p, OUTGOING, SCX_SLICE_DFL, 0);
	scx_bpf_kick_cpu(scx_bpf_task_cpu(p), SCX_KICK_IDLE);
	bpf_task_release(p);
	return true;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(batch_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(batch_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid, idle;
	s64 full;

	if (p->scx.weight >= 100)
		full = bpf_map_push_elem(&heavy_pids, &pid, 0);
	else
		full = bpf_map_push_elem(&light_pids, &pid, 0);
	/* No room to remember it: it goes to the end of those who are on their way already. */
	if (full)
		scx_bpf_dsq_insert(p, OUTGOING, SCX_SLICE_DFL, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(batch_dispatch, s32 cpu, struct task_struct *prev)
{
	s32 i, room = scx_bpf_dispatch_nr_slots();

	if (room > BATCH)
		room = BATCH;
	bpf_for (i, 0, room) {
		if (i < HEAVY_PART && send_one(&heavy_pids))
			continue;
		if (!send_one(&light_pids) && !send_one(&heavy_pids))
			break;
	}
	scx_bpf_dsq_move_to_local(OUTGOING);
}

s32 SEC("struct_ops.s/init") BPF_PROG(batch_init)
{
	return scx_bpf_create_dsq(OUTGOING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops batch_ops = {
	.select_cpu = (void *)batch_select_cpu,
	.enqueue = (void *)batch_enqueue,
	.dispatch = (void *)batch_dispatch,
	.init = (void *)batch_init,
	.dispatch_max_batch = BATCH,
	.name = "moves_in_batches",
};
