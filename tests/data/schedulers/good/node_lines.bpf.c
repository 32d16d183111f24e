// SPDX-License-Identifier: GPL-2.0
/*
 * One weighted-slice FIFO per NUMA node with per-node idle masks; a CPU takes from other nodes
 * when its own line is empty and each fourth turn.
 */
/*
 * A line per memory node. The weight of a task shows in its slice: 3 ms to
 * 10 ms. Nodes beyond NL_LINES share lines.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define NL_LINES 16
#define NL_BASE	 0x4e00

const volatile u64 nl_usual_ns = 5000000ULL;
const volatile u64 nl_least_ns = 3000000ULL;
const volatile u64 nl_most_ns = 10000000ULL;

u32 nl_nodes = 1;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} nl_turns SEC(".maps");

static __always_inline s32 nl_node(s32 cpu)
{
	s32 node = scx_bpf_cpu_node(cpu);

	return node < 0 ? 0 : node;
}

static __always_inline u32 nl_line(s32 cpu)
{
	u32 nodes = nl_nodes ? nl_nodes : 1;

	return ((u32)nl_node(cpu) % nodes) % NL_LINES;
}

static __always_inline u64 nl_slice(const struct task_struct *p)
{
	u64 slice = nl_usual_ns * p->scx.weight / 100;

	if (slice < nl_least_ns)
		return nl_least_ns;
	return slice > nl_most_ns ? nl_most_ns : slice;
}

static __always_inline bool nl_foreign(u32 home, u32 start)
{
	u32 i;

	for (i = 0; i < NL_LINES; i++) {
		u32 line = (start + i) % NL_LINES;

		if (line == home || line >= nl_nodes)
			continue;
		if (scx_bpf_dsq_move_to_local(NL_BASE + line))
			return true;
	}
	return false;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(nl_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, nl_slice(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(nl_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 at = scx_bpf_task_cpu(p);
	s32 cpu;

	scx_bpf_dsq_insert(p, NL_BASE + nl_line(at), nl_slice(p), enq_flags);

	/* near CPUs first, the search goes on to the other nodes */
	cpu = scx_bpf_pick_idle_cpu_node(p->cpus_ptr, nl_node(at), 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(nl_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 home = nl_line(cpu);
	u32 zero = 0, turn = 1;
	u32 *t = bpf_map_lookup_elem(&nl_turns, &zero);

	if (t) {
		*t += 1;
		turn = *t;
	}

	if ((turn & 3) == 0 && nl_foreign(home, turn >> 2))
		return;
	if (scx_bpf_dsq_move_to_local(NL_BASE + home))
		return;
	nl_foreign(home, home + 1);
}

s32 SEC("struct_ops.s/init") BPF_PROG(nl_init)
{
	u32 nodes = scx_bpf_nr_node_ids();
	u32 i;

	if (nodes > NL_LINES)
		nodes = NL_LINES;
	if (!nodes)
		nodes = 1;

	for (i = 0; i < NL_LINES; i++) {
		s32 err;

		if (i >= nodes)
			break;
		err = scx_bpf_create_dsq(NL_BASE + i, -1);
		if (err)
			return err;
	}
	nl_nodes = nodes;
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops nl_ops = {
	.select_cpu = (void *)nl_select_cpu,
	.enqueue = (void *)nl_enqueue,
	.dispatch = (void *)nl_dispatch,
	.init = (void *)nl_init,
	.flags = SCX_OPS_BUILTIN_IDLE_PER_NODE,
	.name = "node_lines",
};
