// SPDX-License-Identifier: GPL-2.0
/*
 * M02: at ticks 96 bytes of a task's stack are copied into a map. Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * FIFO with weighted slices. A program that stays in the same phase gets longer slices; a phase is
 * told from another by the path of calls that leads to the place where the tick hits.
 */
#define PF_KTHREAD 0x00200000
#define PATH_BYTES 96
#define MAINQ	   0x1dULL
#define BASE_SLICE 5000000ULL

struct cp_path {
	u64 seen;
	u64 frames[PATH_BYTES / 8];
};

struct cp_task {
	u64 phase;
	u32 steady;
	u32 ticks;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct cp_path);
} cp_paths SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct cp_task);
} cp_tasks SEC(".maps");

static __always_inline u64 slice_of(struct task_struct *p)
{
	struct cp_task *t = bpf_task_storage_get(&cp_tasks, p, 0, 0);
	u64 s = BASE_SLICE * p->scx.weight / 100;

	if (t && t->steady > 8)
		s *= 2;
	return s < 2000000 ? 2000000 : s > 32000000 ? 32000000 : s;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(cp_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(cp_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, MAINQ, slice_of(p), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(cp_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(MAINQ);
}

void SEC("struct_ops/tick") BPF_PROG(cp_tick, struct task_struct *p)
{
	struct cp_path path = {};
	struct pt_regs *regs;
	struct cp_task *t;
	u64 phase;
	u32 pid = p->pid;

	if (p->flags & PF_KTHREAD)
		return;
	t = bpf_task_storage_get(&cp_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	regs = (struct pt_regs *)bpf_task_pt_regs(p);
	if (!t || !regs)
		return;
	t->ticks++;
	if (bpf_probe_read_user(path.frames, sizeof(path.frames), (void *)regs->sp))
		return;
	path.seen = scx_bpf_now();
	bpf_map_update_elem(&cp_paths, &pid, &path, BPF_ANY);

	phase = path.frames[0] >> 12;
	t->steady = phase == t->phase ? t->steady + 1 : 0;
	t->phase = phase;
}

s32 SEC("struct_ops.s/init") BPF_PROG(cp_init)
{
	return scx_bpf_create_dsq(MAINQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops cp_ops = {
	.select_cpu = (void *)cp_select_cpu,
	.enqueue = (void *)cp_enqueue,
	.dispatch = (void *)cp_dispatch,
	.tick = (void *)cp_tick,
	.init = (void *)cp_init,
	.name = "call_path",
};
