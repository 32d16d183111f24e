// SPDX-License-Identifier: GPL-2.0
/*
 * A queue for each memory node, so that tasks stay near their memory. A CPU that finds nothing on
 * its own node looks at the others in turn.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define NODE_QUEUE 0x3000

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(nodes_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(nodes_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 node = scx_bpf_cpu_node(scx_bpf_task_cpu(p)), idle;

	scx_bpf_dsq_insert(p, NODE_QUEUE + (node < 0 ? 0 : node), SCX_SLICE_DFL, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(nodes_dispatch, s32 cpu, struct task_struct *prev)
{
	s32 nr = scx_bpf_nr_node_ids(), home = scx_bpf_cpu_node(cpu), node;

	if (home >= 0 && scx_bpf_dsq_move_to_local(NODE_QUEUE + home))
		return;
	bpf_for (node, 0, nr) {
		if (scx_bpf_dsq_move_to_local(NODE_QUEUE + node))
			return;
	}
}

s32 SEC("struct_ops.s/init") BPF_PROG(nodes_init)
{
	s32 node, err;

	bpf_for (node, 0, scx_bpf_nr_node_ids()) {
		err = scx_bpf_create_dsq(NODE_QUEUE + node, -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops nodes_ops = {
	.select_cpu = (void *)nodes_select_cpu,
	.enqueue = (void *)nodes_enqueue,
	.dispatch = (void *)nodes_dispatch,
	.init = (void *)nodes_init,
	.name = "queue_per_node",
};
