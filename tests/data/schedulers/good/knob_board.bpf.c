// SPDX-License-Identifier: GPL-2.0
/*
 * weighted vtime with every constant as a load-time knob; ops.tick ends a slice early when
 * somebody waits and the running task had its minimum.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define MAX_CPUS   1024
#define US	   1000ULL
#define MS	   (1000 * US)

#define MAIN_Q	   0x20000ULL
#define PIN_Q(cpu) ((u64)((u32)(cpu) & (MAX_CPUS - 1)))

/* ---- knobs, all of them read-only once loaded ---- */

/* slices */
const volatile u64 kb_slice_ns = 8 * MS;      /* nobody is waiting */
const volatile u64 kb_slice_busy_ns = 3 * MS; /* more waiting tasks than CPUs */
const volatile u64 kb_min_run_ns = 2 * MS;    /* not cut short before */

/* how far a task may be behind or ahead of the others */
const volatile u64 kb_credit_ns = 4 * MS;
const volatile u64 kb_wakeup_credit_ns = 6 * MS;
const volatile u64 kb_debt_ns = 60 * MS;
const volatile u64 kb_fork_debt_ns = 4 * MS;

/* virtual time makes at least clock / 2^kb_tide_shift */
const volatile u32 kb_tide_shift = 3;

/* placement */
const volatile bool kb_prefer_prev = true;
const volatile bool kb_prefer_core = true;
const volatile bool kb_direct_insert = true;

/* the queue of pinned tasks goes first on one of kb_pin_every picks, two at least */
const volatile u32 kb_pin_every = 2;

/* ---- state ---- */

static u64 vtime_now;
static u64 tide_at;
static u32 nr_cpus = 1;
static u32 picks[MAX_CPUS];

struct kb_task {
	u64 run_start;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct kb_task);
} kb_tasks SEC(".maps");

static __always_inline bool before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

static __always_inline u64 kb_slice(void)
{
	s32 waiting = scx_bpf_dsq_nr_queued(MAIN_Q);

	return waiting > (s32)nr_cpus ? kb_slice_busy_ns : kb_slice_ns;
}

static __always_inline s32 kb_find_idle(struct task_struct *p, s32 prev)
{
	s32 cpu;

	if (kb_prefer_prev && prev >= 0 && bpf_cpumask_test_cpu(prev, p->cpus_ptr) &&
	    scx_bpf_test_and_clear_cpu_idle(prev))
		return prev;
	if (kb_prefer_core) {
		cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, SCX_PICK_IDLE_CORE);
		if (cpu >= 0)
			return cpu;
	}
	return scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(kb_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu = kb_find_idle(p, prev_cpu);

	if (cpu < 0)
		return prev_cpu;
	if (kb_direct_insert)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, kb_slice(), 0);
	else
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(kb_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 credit = enq_flags & SCX_ENQ_WAKEUP ? kb_wakeup_credit_ns : kb_credit_ns;
	u64 t = bpf_ktime_get_ns(), passed = t - tide_at;
	u64 v = p->scx.dsq_vtime;
	s32 cpu;

	if (p->nr_cpus_allowed == 1 && (p->flags & PF_KTHREAD)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, kb_slice(), enq_flags);
		return;
	}

	if ((s64)passed > 0) {
		tide_at = t;
		vtime_now += (passed < kb_debt_ns ? passed : kb_debt_ns) >> (kb_tide_shift & 7);
	}
	if (before(v, vtime_now - credit))
		v = vtime_now - credit;
	if (before(vtime_now + kb_debt_ns, v))
		v = vtime_now + kb_debt_ns;
	scx_bpf_dsq_insert_vtime(p, p->nr_cpus_allowed == 1 ? PIN_Q(scx_bpf_task_cpu(p)) : MAIN_Q,
				 kb_slice(), v, enq_flags);

	cpu = kb_find_idle(p, -1);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(kb_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 n = picks[cpu & (MAX_CPUS - 1)]++;

	if (n % (kb_pin_every > 2 ? kb_pin_every : 2) == 0 && scx_bpf_dsq_move_to_local(PIN_Q(cpu)))
		return;
	if (scx_bpf_dsq_move_to_local(MAIN_Q))
		return;
	scx_bpf_dsq_move_to_local(PIN_Q(cpu));
}

void SEC("struct_ops/tick") BPF_PROG(kb_tick, struct task_struct *p)
{
	struct kb_task *kt = bpf_task_storage_get(&kb_tasks, p, 0, 0);

	if (!kt || p->se.sum_exec_runtime - kt->run_start < kb_min_run_ns)
		return;
	/* it ran further than it should while others wait: let dispatch decide */
	if (scx_bpf_dsq_nr_queued(MAIN_Q) > 0 &&
	    p->se.sum_exec_runtime - kt->run_start >= kb_slice_busy_ns)
		p->scx.slice = 0;
}

void SEC("struct_ops/running") BPF_PROG(kb_running, struct task_struct *p)
{
	struct kb_task *kt = bpf_task_storage_get(&kb_tasks, p, 0, 0);

	if (kt)
		kt->run_start = p->se.sum_exec_runtime;
	if (before(vtime_now, p->scx.dsq_vtime))
		vtime_now = p->scx.dsq_vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(kb_stopping, struct task_struct *p, bool runnable)
{
	struct kb_task *kt = bpf_task_storage_get(&kb_tasks, p, 0, 0);
	u64 cost;

	if (!kt)
		return;
	cost = (p->se.sum_exec_runtime - kt->run_start) * 100 / p->scx.weight;
	p->scx.dsq_vtime += cost < kb_debt_ns ? cost : kb_debt_ns;
}

void SEC("struct_ops/enable") BPF_PROG(kb_enable, struct task_struct *p)
{
	p->scx.dsq_vtime = vtime_now + kb_fork_debt_ns;
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(kb_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&kb_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -12;
}

s32 SEC("struct_ops.s/init") BPF_PROG(kb_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 ret = scx_bpf_create_dsq(MAIN_Q, -1);

	nr_cpus = nr;
	for (i = 0; i < MAX_CPUS && i < nr && !ret; i++)
		ret = scx_bpf_create_dsq(PIN_Q(i), -1);
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops knob_ops = {
	.select_cpu = (void *)kb_select_cpu,
	.enqueue = (void *)kb_enqueue,
	.dispatch = (void *)kb_dispatch,
	.tick = (void *)kb_tick,
	.running = (void *)kb_running,
	.stopping = (void *)kb_stopping,
	.enable = (void *)kb_enable,
	.init_task = (void *)kb_init_task,
	.init = (void *)kb_init,
	.name = "knob_board",
};
