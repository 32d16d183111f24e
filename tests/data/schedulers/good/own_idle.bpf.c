// SPDX-License-Identifier: GPL-2.0
/*
 * own view of idle CPUs (update_idle) beside the built-in one, which is kept; queued wakeups
 * skip select_cpu and are placed in enqueue; exiting tasks and the last task of a CPU are
 * handled.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_EXITING 0x00000004
#define PF_KTHREAD 0x00200000
#define MAX_CPUS   1024

#define WAIT_DSQ     0x5000ULL
#define PIN_DSQ(cpu) ((u64)((u32)(cpu) & (MAX_CPUS - 1)))

const volatile u64 slice_ns = 6000000ULL;
const volatile u64 spread_ns = 150000000ULL;

/*
 * With SCX_OPS_ALLOW_QUEUED_WAKEUP a wakeup may be handed to the target CPU
 * without select_cpu being called for it. Nobody has looked for an idle CPU
 * then, so that ops.enqueue() has to do it.
 *
 * The idle mask of the kernel stays in use (SCX_OPS_KEEP_BUILTIN_IDLE); what
 * update_idle adds is the idle time per CPU, and a second look at the queues by
 * a CPU that is about to go idle: a task may have been queued too late for its
 * last dispatch and too early to be seen as a reason to wake an idle CPU.
 */
struct oi_info {
	u64 since; /* 0: busy */
	u64 total;
	u64 turns;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CPUS);
	__type(key, u32);
	__type(value, struct oi_info);
} idle_infos SEC(".maps");

static u64 nr_queued_wakeups, nr_missed;

static __always_inline struct oi_info *info_of(s32 cpu)
{
	u32 key = cpu;

	return bpf_map_lookup_elem(&idle_infos, &key);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(oi_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(oi_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 here = scx_bpf_task_cpu(p), cpu;
	u64 late;

	if (enq_flags & SCX_ENQ_LAST) {
		/* the only task of this CPU: keep it there and trigger the next pick */
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
		scx_bpf_kick_cpu(here, 0);
		return;
	}
	if ((p->flags & PF_EXITING) || (p->nr_cpus_allowed == 1 && (p->flags & PF_KTHREAD))) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
		return;
	}

	/* a queued wakeup: do what select_cpu would have done */
	if ((enq_flags & SCX_ENQ_WAKEUP) && !(enq_flags & SCX_ENQ_CPU_SELECTED)) {
		__sync_fetch_and_add(&nr_queued_wakeups, 1);
		if (scx_bpf_test_and_clear_cpu_idle(here)) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
			scx_bpf_kick_cpu(here, SCX_KICK_IDLE);
			return;
		}
	}

	late = slice_ns * 100 / p->scx.weight;
	if (late > spread_ns)
		late = spread_ns;
	scx_bpf_dsq_insert_vtime(p, p->nr_cpus_allowed == 1 ? PIN_DSQ(here) : WAIT_DSQ, slice_ns,
				 bpf_ktime_get_ns() + late, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(oi_dispatch, s32 cpu, struct task_struct *prev)
{
	struct oi_info *ii = info_of(cpu);

	if (ii && (ii->turns++ & 1) && scx_bpf_dsq_move_to_local(PIN_DSQ(cpu)))
		return;
	if (scx_bpf_dsq_move_to_local(WAIT_DSQ))
		return;
	if (scx_bpf_dsq_move_to_local(PIN_DSQ(cpu)))
		return;

	/* no one waits: spare the current task the way through enqueue */
	if (prev && (prev->scx.flags & SCX_TASK_QUEUED))
		prev->scx.slice = slice_ns;
}

void SEC("struct_ops/update_idle") BPF_PROG(oi_update_idle, s32 cpu, bool idle)
{
	struct oi_info *ii = info_of(cpu);
	u64 now = bpf_ktime_get_ns();

	if (!ii)
		return;
	if (idle) {
		if (!ii->since)
			ii->since = now;
		/* something was queued while this CPU made up its mind */
		if (scx_bpf_dsq_nr_queued(WAIT_DSQ) > 0 ||
		    scx_bpf_dsq_nr_queued(PIN_DSQ(cpu)) > 0) {
			__sync_fetch_and_add(&nr_missed, 1);
			scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		}
	} else if (ii->since) {
		ii->total += now - ii->since;
		ii->since = 0;
	}
}

void SEC("struct_ops/dump_cpu") BPF_PROG(oi_dump_cpu, struct scx_dump_ctx *dctx, s32 cpu, bool idle)
{
	static char fmt[] = "idle_total_ms=%llu picks=%llu";
	struct oi_info *ii = info_of(cpu);
	unsigned long long args[2];

	if (!ii)
		return;
	args[0] = ii->total / 1000000;
	args[1] = ii->turns;
	scx_bpf_dump_bstr(fmt, args, sizeof(args));
}

s32 SEC("struct_ops.s/init") BPF_PROG(oi_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 ret = scx_bpf_create_dsq(WAIT_DSQ, -1);

	for (i = 0; i < MAX_CPUS && i < nr && !ret; i++)
		ret = scx_bpf_create_dsq(PIN_DSQ(i), -1);
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops idle_ops = {
	.select_cpu = (void *)oi_select_cpu,
	.enqueue = (void *)oi_enqueue,
	.dispatch = (void *)oi_dispatch,
	.update_idle = (void *)oi_update_idle,
	.dump_cpu = (void *)oi_dump_cpu,
	.init = (void *)oi_init,
	.flags = SCX_OPS_KEEP_BUILTIN_IDLE | SCX_OPS_ENQ_LAST | SCX_OPS_ENQ_EXITING |
		 SCX_OPS_ALLOW_QUEUED_WAKEUP,
	.name = "own_idle",
};
