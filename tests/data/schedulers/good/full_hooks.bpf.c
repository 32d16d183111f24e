// SPDX-License-Identifier: GPL-2.0
/*
 * uses nearly every callback: states counted in runnable/quiescent, weight and affinity cached
 * on change, ENQ_LAST answered with a local insert and a kick, dump and exit record.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_EXITING     0x00000004
#define PF_KTHREAD     0x00200000
#define NCPU	       1024
#define COMMON_Q       0x10000ULL
#define PRIVATE_Q(cpu) ((u64)((u32)(cpu) & (NCPU - 1)))

const volatile u64 slice_ns = 5000000, reach_ns = 100000000; /* reach: bound of every deadline */

struct fh_task {
	u64 start;
	u64 recent;	/* CPU time, decaying */
	u32 inv_weight; /* 10000 / weight */
	bool confined;	/* may run on one CPU only */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct fh_task);
} fh_tasks SEC(".maps");

struct fh_cpu {
	u64 enqueued, direct, last, ran, picks;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct fh_cpu);
} fh_cpus SEC(".maps");

s64 nr_runnable, nr_tasks, exit_code;
s32 exit_kind;
char exit_msg[256];
#define fh_of(p) ((struct fh_task *)bpf_task_storage_get(&fh_tasks, (p), 0, 0))

static __always_inline struct fh_cpu *this_fh(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&fh_cpus, &zero);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(fh_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct fh_cpu *fc = this_fh();
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	if (is_idle && fc)
		fc->direct++;
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(fh_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct fh_task *ft = fh_of(p);
	struct fh_cpu *fc = this_fh();
	s32 here = scx_bpf_task_cpu(p), cpu;
	u64 late;

	if (fc)
		fc->enqueued++;

	/* nobody else wants this CPU: go on here, and have the CPU look again */
	if (enq_flags & SCX_ENQ_LAST) {
		if (fc)
			fc->last++;
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
		scx_bpf_kick_cpu(here, 0);
		return;
	}
	/* let the dying go in peace, and the kernel's own per-CPU threads at once */
	if (!ft || (p->flags & PF_EXITING) || (ft->confined && (p->flags & PF_KTHREAD))) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
		return;
	}

	late = ft->recent * ft->inv_weight / 100;
	if (late > reach_ns)
		late = reach_ns;
	scx_bpf_dsq_insert_vtime(p, ft->confined ? PRIVATE_Q(here) : COMMON_Q, slice_ns,
				 bpf_ktime_get_ns() + late, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(fh_dispatch, s32 cpu, struct task_struct *prev)
{
	struct fh_cpu *fc = this_fh();

	if (fc && (fc->picks++ & 1) && scx_bpf_dsq_move_to_local(PRIVATE_Q(cpu)))
		return;
	if (!scx_bpf_dsq_move_to_local(COMMON_Q))
		scx_bpf_dsq_move_to_local(PRIVATE_Q(cpu));
}

void SEC("struct_ops/runnable") BPF_PROG(fh_runnable, struct task_struct *p, u64 enq_flags)
{
	struct fh_task *ft = fh_of(p);

	__sync_fetch_and_add(&nr_runnable, 1);
	if (ft && (enq_flags & SCX_ENQ_WAKEUP))
		ft->recent /= 2;
}

void SEC("struct_ops/quiescent") BPF_PROG(fh_quiescent, struct task_struct *p, u64 deq_flags)
{
	__sync_fetch_and_add(&nr_runnable, -1);
}

void SEC("struct_ops/running") BPF_PROG(fh_running, struct task_struct *p)
{
	struct fh_task *ft = fh_of(p);

	if (ft)
		ft->start = p->se.sum_exec_runtime;
}

void SEC("struct_ops/stopping") BPF_PROG(fh_stopping, struct task_struct *p, bool runnable)
{
	struct fh_task *ft = fh_of(p);
	struct fh_cpu *fc = this_fh();
	u64 ran;

	if (!ft)
		return;
	ran = p->se.sum_exec_runtime - ft->start;
	ft->recent = ft->recent * 3 / 4 + ran;
	if (fc)
		fc->ran += ran;
}

void SEC("struct_ops/set_weight") BPF_PROG(fh_set_weight, struct task_struct *p, u32 weight)
{
	struct fh_task *ft = fh_of(p);

	if (ft)
		ft->inv_weight = 10000 / (weight ?: 1);
}

void SEC("struct_ops/set_cpumask")
	BPF_PROG(fh_set_cpumask, struct task_struct *p, const struct cpumask *mask)
{
	struct fh_task *ft = fh_of(p);

	if (ft) /* @mask may be temporary, with migration disabled */
		ft->confined = p->nr_cpus_allowed == 1;
}

void SEC("struct_ops/enable") BPF_PROG(fh_enable, struct task_struct *p)
{
	struct fh_task *ft = fh_of(p);

	if (!ft)
		return;
	ft->inv_weight = 10000 / p->scx.weight;
	ft->confined = p->nr_cpus_allowed == 1;
	ft->recent = slice_ns;
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(fh_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	if (!bpf_task_storage_get(&fh_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE))
		return -12;
	__sync_fetch_and_add(&nr_tasks, 1);
	return 0;
}

void SEC("struct_ops/exit_task")
	BPF_PROG(fh_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	__sync_fetch_and_add(&nr_tasks, -1);
}

void SEC("struct_ops/dump") BPF_PROG(fh_dump, struct scx_dump_ctx *dctx)
{
	static char fmt[] = "tasks=%lld runnable=%lld queued=%lld";
	unsigned long long args[3] = {nr_tasks, nr_runnable, scx_bpf_dsq_nr_queued(COMMON_Q)};

	scx_bpf_dump_bstr(fmt, args, sizeof(args));
}

s32 SEC("struct_ops.s/init") BPF_PROG(fh_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 ret = scx_bpf_create_dsq(COMMON_Q, -1);

	for (i = 0; i < NCPU && i < nr && !ret; i++)
		ret = scx_bpf_create_dsq(PRIVATE_Q(i), -1);
	return ret;
}

void SEC("struct_ops/exit") BPF_PROG(fh_exit, struct scx_exit_info *ei)
{
	exit_kind = ei->kind;
	exit_code = ei->exit_code;
	bpf_probe_read_kernel_str(exit_msg, sizeof(exit_msg), ei->msg);
}

SEC(".struct_ops.link")
struct sched_ext_ops hooks_ops = {
	.select_cpu = (void *)fh_select_cpu,
	.enqueue = (void *)fh_enqueue,
	.dispatch = (void *)fh_dispatch,
	.runnable = (void *)fh_runnable,
	.quiescent = (void *)fh_quiescent,
	.running = (void *)fh_running,
	.stopping = (void *)fh_stopping,
	.set_weight = (void *)fh_set_weight,
	.set_cpumask = (void *)fh_set_cpumask,
	.enable = (void *)fh_enable,
	.init_task = (void *)fh_init_task,
	.exit_task = (void *)fh_exit_task,
	.dump = (void *)fh_dump,
	.init = (void *)fh_init,
	.exit = (void *)fh_exit,
	.flags = SCX_OPS_ENQ_LAST | SCX_OPS_ENQ_EXITING,
	.timeout_ms = 10000,
	.name = "full_hooks",
};
