// SPDX-License-Identifier: GPL-2.0
/*
 * one shared queue, FIFO or weighted vtime (chosen at load), bounded credit and debt, and a
 * small queue per CPU for pinned user tasks.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define MAX_CPUS   1024
#define SHARED_Q   0x10000ULL
#define PIN_Q(cpu) ((u64)((u32)(cpu) & (MAX_CPUS - 1)))

const volatile bool fifo_mode;
const volatile u64 max_debt_ns = 100000000ULL;

static u64 vtime_now, tide_at;
static u8 turn[MAX_CPUS];

static __always_inline bool vtime_before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

/*
 * Virtual time never moves slower than an eighth of the clock, however heavy
 * the running tasks are. Together with the two limits it bounds every wait.
 */
static __always_inline u64 tide(void)
{
	u64 t = bpf_ktime_get_ns(), d = t - tide_at;

	if ((s64)d > 0) {
		tide_at = t;
		vtime_now += (d < max_debt_ns ? d : max_debt_ns) / 8;
	}
	return vtime_now;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(plain_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(plain_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 vtime = p->scx.dsq_vtime;
	u64 q = SHARED_Q;
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		if (p->flags & PF_KTHREAD) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
			return;
		}
		q = PIN_Q(scx_bpf_task_cpu(p));
	}

	if (fifo_mode) {
		scx_bpf_dsq_insert(p, q, SCX_SLICE_DFL, enq_flags);
	} else {
		u64 now = tide();

		/* an idle task may carry one slice of credit, no more */
		if (vtime_before(vtime, now - SCX_SLICE_DFL))
			vtime = now - SCX_SLICE_DFL;
		if (vtime_before(now + max_debt_ns, vtime))
			vtime = now + max_debt_ns;
		scx_bpf_dsq_insert_vtime(p, q, SCX_SLICE_DFL, vtime, enq_flags);
	}

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(plain_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 idx = (u32)cpu & (MAX_CPUS - 1);

	/* take turns, so that neither queue can shut the other one out */
	turn[idx] ^= 1;
	if (turn[idx]) {
		if (!scx_bpf_dsq_move_to_local(PIN_Q(idx)))
			scx_bpf_dsq_move_to_local(SHARED_Q);
	} else {
		if (!scx_bpf_dsq_move_to_local(SHARED_Q))
			scx_bpf_dsq_move_to_local(PIN_Q(idx));
	}
}

void SEC("struct_ops/running") BPF_PROG(plain_running, struct task_struct *p)
{
	if (!fifo_mode && vtime_before(vtime_now, p->scx.dsq_vtime))
		vtime_now = p->scx.dsq_vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(plain_stopping, struct task_struct *p, bool runnable)
{
	u64 vtime;

	if (fifo_mode)
		return;
	/* every insert and every refill hands out SCX_SLICE_DFL */
	vtime = p->scx.dsq_vtime + (SCX_SLICE_DFL - p->scx.slice) * 100 / p->scx.weight;
	if (vtime_before(vtime_now + max_debt_ns, vtime))
		vtime = vtime_now + max_debt_ns;
	p->scx.dsq_vtime = vtime;
}

void SEC("struct_ops/enable") BPF_PROG(plain_enable, struct task_struct *p)
{
	/* one slice in debt, or a storm of forks would always go first */
	p->scx.dsq_vtime = vtime_now + SCX_SLICE_DFL;
}

s32 SEC("struct_ops.s/init") BPF_PROG(plain_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 ret;

	ret = scx_bpf_create_dsq(SHARED_Q, -1);
	for (i = 0; i < MAX_CPUS && !ret; i++) {
		if (i >= nr)
			break;
		ret = scx_bpf_create_dsq(PIN_Q(i), -1);
	}
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops plain_ops = {
	.select_cpu = (void *)plain_select_cpu,
	.enqueue = (void *)plain_enqueue,
	.dispatch = (void *)plain_dispatch,
	.running = (void *)plain_running,
	.stopping = (void *)plain_stopping,
	.enable = (void *)plain_enable,
	.init = (void *)plain_init,
	.name = "plain_fair",
};
