// SPDX-License-Identifier: GPL-2.0
/*
 * T01: the census counts by the nice value at birth while enqueue files by today's, so that the
 * band of a reniced task is skipped. Stopped at Bytecode or Dynamic.
 */
/*
 * bands: four FIFOs by weight, visited in a fixed rhythm; a census of runnable tasks spares the
 * look into empty bands.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BC_BANDS 4
#define BC_BASE	 0x40ULL

struct bc_note {
	u32 band;
	u32 counted;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct bc_note);
} bc_notes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BC_BANDS);
	__type(key, u32);
	__type(value, u64);
} bc_census SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} bc_beat SEC(".maps");

/* half of the turns start at the top, one in eight at the bottom */
static const u8 bc_rhythm[8] = {0, 1, 0, 2, 0, 1, 0, 3};

static __always_inline u32 bc_band_of(u32 weight)
{
	if (weight >= 300)
		return 0;
	if (weight >= 90)
		return 1;
	if (weight >= 30)
		return 2;
	return 3;
}

static __always_inline u64 bc_slice_of(u32 band)
{
	return (2 + 2 * (u64)band) * 1000 * 1000;
}

void SEC("struct_ops/enable") BPF_PROG(bc_enable, struct task_struct *p)
{
	struct bc_note *n = bpf_task_storage_get(&bc_notes, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (n)
		n->band = bc_band_of(p->scx.weight);
}

void SEC("struct_ops/runnable") BPF_PROG(bc_runnable, struct task_struct *p, u64 enq_flags)
{
	struct bc_note *n = bpf_task_storage_get(&bc_notes, p, 0, 0);
	u64 *pop;
	u32 band;

	if (!n)
		return;
	band = n->band;
	pop = bpf_map_lookup_elem(&bc_census, &band);
	if (pop) {
		__sync_fetch_and_add(pop, 1);
		n->counted = 1;
	}
}

void SEC("struct_ops/quiescent") BPF_PROG(bc_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct bc_note *n = bpf_task_storage_get(&bc_notes, p, 0, 0);
	u64 *pop;
	u32 band;

	if (!n || !n->counted)
		return;
	n->counted = 0;
	band = n->band;
	pop = bpf_map_lookup_elem(&bc_census, &band);
	if (pop)
		__sync_fetch_and_sub(pop, 1);
}

void SEC("struct_ops/enqueue") BPF_PROG(bc_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 band = bc_band_of(p->scx.weight);
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, bc_slice_of(band), enq_flags);
		return;
	}

	scx_bpf_dsq_insert(p, BC_BASE + band, bc_slice_of(band), enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(bc_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, i, band, first = 0;
	u32 *beat = bpf_map_lookup_elem(&bc_beat, &zero);
	u64 *pop;

	if (beat) {
		first = bc_rhythm[*beat & 7];
		*beat += 1;
	}

	for (i = 0; i < BC_BANDS; i++) {
		band = (first + i) & (BC_BANDS - 1);
		pop = bpf_map_lookup_elem(&bc_census, &band);
		if (!pop || !*pop)
			continue;
		if (scx_bpf_dsq_move_to_local(BC_BASE + band))
			return;
	}
}

s32 SEC("struct_ops.s/init") BPF_PROG(bc_init)
{
	s32 ret = 0;
	u32 i;

	for (i = 0; i < BC_BANDS && !ret; i++)
		ret = scx_bpf_create_dsq(BC_BASE + i, -1);
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops bands_ops = {
	.enable = (void *)bc_enable,
	.runnable = (void *)bc_runnable,
	.quiescent = (void *)bc_quiescent,
	.enqueue = (void *)bc_enqueue,
	.dispatch = (void *)bc_dispatch,
	.init = (void *)bc_init,
	.name = "bands",
};
