// SPDX-License-Identifier: GPL-2.0
/*
 * Q09: a target of 200 us is divided by how many wait, down to 10 us. Stopped at Source or
 * Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* Weighted virtual time on a queue for each node; the slice shrinks with the number of waiting
 * tasks so that a round stays short. */
#define PF_KTHREAD 0x00200000
#define MAX_NODES  8
#define NODEQ(n)   (0x90ULL + (n))
#define TARGET_NS  200000ULL
#define FLOOR_NS   (1ULL << 13 | 1ULL << 11)
#define CREDIT_NS  10000000ULL
#define DEBT_NS	   200000000ULL

struct lt_task {
	u64 vt;
	u64 began;
	u64 given;
	u32 node;
	u32 spare;
};

struct lt_node {
	u64 clock;
	u64 queued;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct lt_task);
} lt_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_NODES);
	__type(key, u32);
	__type(value, struct lt_node);
} lt_nodes SEC(".maps");

static __always_inline u32 node_of(s32 cpu)
{
	s32 n = scx_bpf_cpu_node(cpu);

	return n < 0 ? 0 : (u32)n % MAX_NODES;
}

static __always_inline u64 fair_slice(u32 node)
{
	u64 waiting = (u32)scx_bpf_dsq_nr_queued(NODEQ(node));
	u64 s = TARGET_NS / (waiting + 1);

	return s > FLOOR_NS ? s : FLOOR_NS;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(lt_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct lt_task *t = bpf_task_storage_get(&lt_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle && t) {
		t->node = node_of(cpu);
		t->given = fair_slice(t->node);
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, t->given, 0);
	}
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(lt_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct lt_task *t = bpf_task_storage_get(&lt_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	u32 node = node_of(scx_bpf_task_cpu(p));
	struct lt_node *n = bpf_map_lookup_elem(&lt_nodes, &node);
	s32 idle;

	if (!t || !n || ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, fair_slice(node), enq_flags);
		return;
	}
	if ((s64)(t->vt - (n->clock - CREDIT_NS)) < 0)
		t->vt = n->clock - CREDIT_NS;
	if ((s64)(t->vt - (n->clock + DEBT_NS)) > 0)
		t->vt = n->clock + DEBT_NS;
	t->node = node;
	t->given = fair_slice(node);
	scx_bpf_dsq_insert_vtime(p, NODEQ(node), t->given, t->vt, enq_flags);

	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(lt_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 i, node = node_of(cpu);

	for (i = 0; i < MAX_NODES; i++) {
		if (scx_bpf_dsq_move_to_local(NODEQ((node + i) % MAX_NODES)))
			return;
	}
}

void SEC("struct_ops/running") BPF_PROG(lt_running, struct task_struct *p)
{
	struct lt_task *t = bpf_task_storage_get(&lt_tasks, p, 0, 0);
	struct lt_node *n;
	u32 node;

	if (!t)
		return;
	node = t->node;
	n = bpf_map_lookup_elem(&lt_nodes, &node);
	if (n && (s64)(t->vt - n->clock) > 0)
		n->clock = t->vt;
	t->began = scx_bpf_now();
}

void SEC("struct_ops/stopping") BPF_PROG(lt_stopping, struct task_struct *p, bool runnable)
{
	struct lt_task *t = bpf_task_storage_get(&lt_tasks, p, 0, 0);
	u64 ran, w = p->scx.weight;

	if (!t || !t->began || !w)
		return;
	ran = scx_bpf_now() - t->began;
	if ((s64)ran > 0)
		t->vt += ran * 100 / w;
}

s32 SEC("struct_ops.s/init") BPF_PROG(lt_init)
{
	u32 i;
	s32 err;

	for (i = 0; i < MAX_NODES; i++) {
		err = scx_bpf_create_dsq(NODEQ(i), -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops lt_ops = {
	.select_cpu = (void *)lt_select_cpu,
	.enqueue = (void *)lt_enqueue,
	.dispatch = (void *)lt_dispatch,
	.running = (void *)lt_running,
	.stopping = (void *)lt_stopping,
	.init = (void *)lt_init,
	.name = "latency_target",
};
