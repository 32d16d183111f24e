// SPDX-License-Identifier: GPL-2.0
/*
 * T08: the counters that age all lower bands are cleared whenever somebody begins to run, so that
 * ageing never strikes. Stopped at Bytecode or Dynamic.
 */
/*
 * passover: three bands by nice value, higher first; a band that has been passed over 24 times in a
 * row is served next.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PO_BANDS    3
#define PO_PATIENCE 24
#define PO_BASE	    0xb0ULL
#define PO_SLICE    (3ULL * 1000 * 1000)

struct po_cpu {
	u32 passed[PO_BANDS];
	u32 rescued;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct po_cpu);
} po_cpus SEC(".maps");

static __always_inline u32 po_band(const struct task_struct *p)
{
	if (p->scx.weight > 100)
		return 0;
	if (p->scx.weight == 100)
		return 1;
	return 2;
}

void SEC("struct_ops/enqueue") BPF_PROG(po_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, PO_SLICE, enq_flags);
		return;
	}

	scx_bpf_dsq_insert(p, PO_BASE + po_band(p), PO_SLICE, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(po_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, band, low;
	struct po_cpu *c = bpf_map_lookup_elem(&po_cpus, &zero);

	if (!c)
		return;

	for (band = PO_BANDS - 1; band > 0; band--) {
		if (c->passed[band] < PO_PATIENCE)
			continue;
		c->passed[band] = 0;
		if (scx_bpf_dsq_move_to_local(PO_BASE + band)) {
			c->rescued++;
			return;
		}
	}

	for (band = 0; band < PO_BANDS; band++) {
		if (!scx_bpf_dsq_move_to_local(PO_BASE + band))
			continue;
		for (low = 1; low < PO_BANDS; low++)
			if (low > band && scx_bpf_dsq_nr_queued(PO_BASE + low) > 0)
				c->passed[low]++;
		return;
	}
}

void SEC("struct_ops/running") BPF_PROG(po_running, struct task_struct *p)
{
	u32 zero = 0, band, own = po_band(p);
	struct po_cpu *c = bpf_map_lookup_elem(&po_cpus, &zero);

	if (!c)
		return;

	/* its turn has come, the count starts anew */
	for (band = 0; band < PO_BANDS; band++)
		if (band >= own)
			c->passed[band] = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(po_init)
{
	s32 ret = 0;
	u32 i;

	for (i = 0; i < PO_BANDS && !ret; i++)
		ret = scx_bpf_create_dsq(PO_BASE + i, -1);
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops passover_ops = {
	.enqueue = (void *)po_enqueue,
	.dispatch = (void *)po_dispatch,
	.running = (void *)po_running,
	.init = (void *)po_init,
	.name = "passover",
};
