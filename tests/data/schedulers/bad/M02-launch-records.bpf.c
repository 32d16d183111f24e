// SPDX-License-Identifier: GPL-2.0
/*
 * M02: after each exec command line and environment are copied to a ring buffer. Stopped at Source
 * or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

/* Weighted virtual time, with a record of every program start for the accounting of launch
 * latencies. */
#define PF_KTHREAD 0x00200000
#define QUEUE	   0x1fULL
#define SLICE_NS   6000000ULL
#define DEBT_NS	   200000000ULL
#define LINE_LEN   256
#define REST_LEN   160

struct lr_record {
	u64 at;
	u64 cgroup;
	u64 ran;
	u32 pid;
	u32 len;
	char line[LINE_LEN];
	char rest[REST_LEN];
};

struct lr_task {
	u64 vt;
	u64 began;
	u64 exec;
	u64 cgid;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} lr_records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct lr_task);
} lr_tasks SEC(".maps");

static u64 vclock;

static __always_inline void record(struct task_struct *p, struct lr_task *t, u64 now)
{
	u64 args = BPF_CORE_READ(p, mm, arg_start), rest = BPF_CORE_READ(p, mm, env_start);
	u64 len = BPF_CORE_READ(p, mm, arg_end) - args,
	    rest_len = BPF_CORE_READ(p, mm, env_end) - rest;
	struct lr_record *r;

	if (!args)
		return;
	r = bpf_ringbuf_reserve(&lr_records, sizeof(*r), 0);
	if (!r)
		return;
	if (len > LINE_LEN)
		len = LINE_LEN;
	if (rest_len > REST_LEN)
		rest_len = REST_LEN;
	r->at = now;
	r->ran = now - t->began;
	r->cgroup = t->cgid;
	r->pid = p->pid;
	r->len = len;
	bpf_probe_read_user(r->line, len, (void *)args);
	bpf_probe_read_user(r->rest, rest_len, (void *)rest);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = SLICE_NS * p->scx.weight / 100;

	if (s < 2ULL * 1000000)
		return 2ULL * 1000000;
	return s > 36ULL * 1000000 ? 36ULL * 1000000 : s;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(lr_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(lr_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct lr_task *t = bpf_task_storage_get(&lr_tasks, p, 0, 0);
	s32 cpu;

	if (!t || ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	if ((s64)(t->vt - (vclock - SLICE_NS)) < 0)
		t->vt = vclock - SLICE_NS;
	if ((s64)(t->vt - (vclock + DEBT_NS)) > 0)
		t->vt = vclock + DEBT_NS;
	scx_bpf_dsq_insert_vtime(p, QUEUE, slice_of(p), t->vt, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(lr_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

void SEC("struct_ops/running") BPF_PROG(lr_running, struct task_struct *p)
{
	struct lr_task *t = bpf_task_storage_get(&lr_tasks, p, 0, 0);

	if (!t)
		return;
	t->began = scx_bpf_now();
	if ((s64)(t->vt - vclock) > 0)
		vclock = t->vt;
}

void SEC("struct_ops/stopping") BPF_PROG(lr_stopping, struct task_struct *p, bool runnable)
{
	struct lr_task *t = bpf_task_storage_get(&lr_tasks, p, 0, 0);
	u32 weight = p->scx.weight;
	u64 now = scx_bpf_now();

	if (!t || !t->began || !weight)
		return;
	t->vt += (now - t->began) * 100 / weight;

	/* once for each program, while it is still the one on this CPU */
	if (!(p->flags & PF_KTHREAD) && t->exec != p->self_exec_id &&
	    (u32)bpf_get_current_pid_tgid() == (u32)p->pid) {
		t->exec = p->self_exec_id;
		record(p, t, now);
	}
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(lr_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct lr_task *t = bpf_task_storage_get(&lr_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return -12;
	t->vt = vclock;
	t->cgid = args->cgroup->kn->id;
	t->exec = p->self_exec_id;
	return 0;
}

void SEC("struct_ops/cgroup_move")
	BPF_PROG(lr_cgroup_move, struct task_struct *p, struct cgroup *from, struct cgroup *to)
{
	struct lr_task *t = bpf_task_storage_get(&lr_tasks, p, 0, 0);

	if (t)
		t->cgid = to->kn->id;
}

s32 SEC("struct_ops.s/init") BPF_PROG(lr_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops lr_ops = {
	.select_cpu = (void *)lr_select_cpu,
	.enqueue = (void *)lr_enqueue,
	.dispatch = (void *)lr_dispatch,
	.running = (void *)lr_running,
	.stopping = (void *)lr_stopping,
	.init_task = (void *)lr_init_task,
	.cgroup_move = (void *)lr_cgroup_move,
	.init = (void *)lr_init,
	.name = "launch_records",
};
