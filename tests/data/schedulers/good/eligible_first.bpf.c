// SPDX-License-Identifier: GPL-2.0
/*
 * eligibility and virtual deadlines in the manner of EEVDF: eligible tasks by deadline, the
 * others wait in a queue by virtual runtime that gets every fourth turn.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define ENOMEM	   12
#define MAX_CPUS   1024

#define ELIGIBLE_Q   0x100000ULL			  /* ordered by virtual deadline */
#define LATER_Q	     0x100001ULL			  /* ordered by virtual runtime */
#define BOUND_Q(cpu) ((u64)((u32)(cpu) & (MAX_CPUS - 1))) /* by virtual deadline */

const volatile u64 request_ns = 4000000ULL;   /* what a task asks for at a time */
const volatile u64 lag_max_ns = 8000000ULL;   /* positive lag kept across sleep */
const volatile u64 debt_max_ns = 50000000ULL; /* negative lag that counts */

/*
 * The zero-lag point V. A true EEVDF would keep the weighted average of all
 * runnable tasks. We let V follow the tasks as they are picked and the clock
 * at an eighth of its pace, whichever is further, which is cheap and monotonic.
 */
static u64 zero_lag;
static u64 paced_at;

struct vd_task {
	u64 vruntime;
	u64 exec_start;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct vd_task);
} vd_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} picks SEC(".maps");

static __always_inline s64 diff(u64 a, u64 b)
{
	return (s64)(a - b);
}

static __always_inline u64 advance_v(void)
{
	u64 t = bpf_ktime_get_ns(), passed = t - paced_at;

	if ((s64)passed > 0) {
		paced_at = t;
		zero_lag += (passed < debt_max_ns ? passed : debt_max_ns) / 8;
	}
	return zero_lag;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(vd_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu;

	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, request_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(vd_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct vd_task *vt = bpf_task_storage_get(&vd_tasks, p, 0, 0);
	u64 v = advance_v(), deadline, q;
	s32 cpu;

	if (!vt || (p->nr_cpus_allowed == 1 && (p->flags & PF_KTHREAD))) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, request_ns, enq_flags);
		return;
	}

	/* keep the lag within bounds: v - vruntime in [-debt_max, lag_max] */
	if (diff(v, vt->vruntime) > (s64)lag_max_ns)
		vt->vruntime = v - lag_max_ns;
	else if (diff(vt->vruntime, v) > (s64)debt_max_ns)
		vt->vruntime = v + debt_max_ns;

	deadline = request_ns * 100 / p->scx.weight;
	if (deadline > debt_max_ns)
		deadline = debt_max_ns;
	deadline += vt->vruntime;

	if (p->nr_cpus_allowed == 1)
		q = BOUND_Q(scx_bpf_task_cpu(p));
	else if (diff(vt->vruntime, v) <= 0)
		q = ELIGIBLE_Q;
	else
		q = LATER_Q;
	scx_bpf_dsq_insert_vtime(p, q, request_ns, q == LATER_Q ? vt->vruntime : deadline,
				 enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(vd_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, *pick, n = 0;

	pick = bpf_map_lookup_elem(&picks, &zero);
	if (pick)
		n = (*pick)++ & 3;

	/*
	 * The tasks in LATER_Q become eligible as V moves on, but they aren't
	 * moved when that happens. A fixed share of the turns stands in for it.
	 */
	if (n == 3 && scx_bpf_dsq_move_to_local(LATER_Q))
		return;
	if ((n & 1) && scx_bpf_dsq_move_to_local(BOUND_Q(cpu)))
		return;
	if (scx_bpf_dsq_move_to_local(ELIGIBLE_Q))
		return;
	if (scx_bpf_dsq_move_to_local(LATER_Q))
		return;
	scx_bpf_dsq_move_to_local(BOUND_Q(cpu));
}

void SEC("struct_ops/running") BPF_PROG(vd_running, struct task_struct *p)
{
	struct vd_task *vt = bpf_task_storage_get(&vd_tasks, p, 0, 0);

	if (!vt)
		return;
	vt->exec_start = p->se.sum_exec_runtime;
	if (diff(vt->vruntime, zero_lag) > 0)
		zero_lag = vt->vruntime;
}

void SEC("struct_ops/stopping") BPF_PROG(vd_stopping, struct task_struct *p, bool runnable)
{
	struct vd_task *vt = bpf_task_storage_get(&vd_tasks, p, 0, 0);
	u64 charge;

	if (!vt)
		return;
	charge = (p->se.sum_exec_runtime - vt->exec_start) * 100 / p->scx.weight;
	vt->vruntime += charge > debt_max_ns ? debt_max_ns : charge;
}

void SEC("struct_ops/enable") BPF_PROG(vd_enable, struct task_struct *p)
{
	struct vd_task *vt = bpf_task_storage_get(&vd_tasks, p, 0, 0);

	/* newcomers start behind the zero-lag point by half a request */
	if (vt)
		vt->vruntime = zero_lag + request_ns / 2;
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(vd_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	if (!bpf_task_storage_get(&vd_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE))
		return -ENOMEM;
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(vd_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 ret;

	ret = scx_bpf_create_dsq(ELIGIBLE_Q, -1);
	if (ret)
		return ret;
	ret = scx_bpf_create_dsq(LATER_Q, -1);
	for (i = 0; i < MAX_CPUS && i < nr && !ret; i++)
		ret = scx_bpf_create_dsq(BOUND_Q(i), -1);
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops eligible_ops = {
	.select_cpu = (void *)vd_select_cpu,
	.enqueue = (void *)vd_enqueue,
	.dispatch = (void *)vd_dispatch,
	.running = (void *)vd_running,
	.stopping = (void *)vd_stopping,
	.enable = (void *)vd_enable,
	.init_task = (void *)vd_init_task,
	.init = (void *)vd_init,
	.name = "eligible_first",
};
