// SPDX-License-Identifier: GPL-2.0
/*
 * Who yields goes behind everybody who waits now, and gives up the rest of its slice; others are
 * served by bounded virtual time. A yield is no penalty: it costs one round.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define IN_ORDER 0x51
#define YIELDED	 0x52

const volatile u64 slice_ns = 5000000;
const volatile u64 debt_ns = 20000000;

enum { NO_MEMORY = 12 };

struct yielding {
	bool yielded;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct yielding);
} yieldings SEC(".maps");

static u64 vclock, served;

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(polite_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(polite_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct yielding *yielding = bpf_task_storage_get(&yieldings, p, 0, 0);
	u64 vtime = p->scx.dsq_vtime;
	s32 idle;

	if (yielding && yielding->yielded) {
		yielding->yielded = false;
		scx_bpf_dsq_insert(p, YIELDED, slice_ns, enq_flags);
		return;
	}
	if ((s64)(vclock - slice_ns - vtime) > 0)
		vtime = vclock - slice_ns;
	if ((s64)(vtime - vclock - debt_ns) > 0)
		vtime = vclock + debt_ns;
	scx_bpf_dsq_insert_vtime(p, IN_ORDER, slice_ns, vtime, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(polite_dispatch, s32 cpu, struct task_struct *prev)
{
	/* Every eighth turn is theirs even when others wait. */
	if (__sync_fetch_and_add(&served, 1) % 8 == 0 && scx_bpf_dsq_move_to_local(YIELDED))
		return;
	if (!scx_bpf_dsq_move_to_local(IN_ORDER))
		scx_bpf_dsq_move_to_local(YIELDED);
}

void SEC("struct_ops/running") BPF_PROG(polite_running, struct task_struct *p)
{
	if ((s64)(p->scx.dsq_vtime - vclock) > 0)
		vclock = p->scx.dsq_vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(polite_stopping, struct task_struct *p, bool runnable)
{
	if (p->scx.slice < slice_ns)
		p->scx.dsq_vtime += (slice_ns - p->scx.slice) * 100 / (p->scx.weight ?: 1);
}

bool SEC("struct_ops/yield")
	BPF_PROG(polite_yield, struct task_struct *from, struct task_struct *to)
{
	struct yielding *yielding = bpf_task_storage_get(&yieldings, from, 0, 0);

	if (to)
		return false;
	if (yielding)
		yielding->yielded = true;
	from->scx.slice = 0;
	return true;
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(polite_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&yieldings, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0
										      : -NO_MEMORY;
}

void SEC("struct_ops/enable") BPF_PROG(polite_enable, struct task_struct *p)
{
	p->scx.dsq_vtime = vclock;
}

s32 SEC("struct_ops.s/init") BPF_PROG(polite_init)
{
	s32 err = scx_bpf_create_dsq(IN_ORDER, -1);

	return err ?: scx_bpf_create_dsq(YIELDED, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops polite_ops = {
	.select_cpu = (void *)polite_select_cpu,
	.enqueue = (void *)polite_enqueue,
	.dispatch = (void *)polite_dispatch,
	.running = (void *)polite_running,
	.stopping = (void *)polite_stopping,
	.yield = (void *)polite_yield,
	.init_task = (void *)polite_init_task,
	.enable = (void *)polite_enable,
	.init = (void *)polite_init,
	.name = "yields_to_the_end",
};
