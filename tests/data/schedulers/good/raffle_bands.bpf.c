// SPDX-License-Identifier: GPL-2.0
/*
 * lottery over four weight bands; tickets depend on the band and on how many wait in it, and a
 * band that was passed over too often is served without a draw.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD  0x00200000
#define NBANDS	    4
#define NCPUS	    1024
#define BAND_Q(b)   (0x20000ULL + ((b) & (NBANDS - 1)))
#define SEAT_Q(cpu) ((u64)((u32)(cpu) & (NCPUS - 1)))

const volatile u64 slice_ns = 5000000ULL;
const volatile u32 max_passed = 24; /* draws a waiting band may lose in a row, per CPU */

struct raffle_cpu {
	u32 passed[NBANDS];
	u32 draws;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct raffle_cpu);
} raffle_cpus SEC(".maps");

/* tickets of one waiting task: roughly the mean weight of its band */
static __always_inline u32 band_tickets(u32 band)
{
	return band == 0 ? 5 : band == 1 ? 40 : band == 2 ? 120 : 500;
}

static __always_inline u32 band_of(u32 weight)
{
	return weight < 20 ? 0 : weight < 80 ? 1 : weight < 250 ? 2 : 3;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(raffle_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(raffle_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if (p->nr_cpus_allowed > 1) {
		scx_bpf_dsq_insert(p, BAND_Q(band_of(p->scx.weight)), slice_ns, enq_flags);
	} else if (p->flags & PF_KTHREAD) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
		return;
	} else {
		scx_bpf_dsq_insert(p, SEAT_Q(scx_bpf_task_cpu(p)), slice_ns, enq_flags);
	}

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

/* The band to start with. Purely random picks would leave the light bands to chance. */
static __always_inline u32 draw(struct raffle_cpu *rc)
{
	u32 tickets[NBANDS], total = 0, band, ball, winner = NBANDS;

	for (band = 0; band < NBANDS; band++) {
		s32 waiting = scx_bpf_dsq_nr_queued(BAND_Q(band));

		if (waiting > 1000)
			waiting = 1000;
		tickets[band] = waiting > 0 ? (u32)waiting * band_tickets(band) : 0;
		total += tickets[band];
	}
	if (!total)
		return 0;

	ball = bpf_get_prandom_u32() % total;
	for (band = 0; band < NBANDS; band++) {
		if (winner == NBANDS && ball < tickets[band])
			winner = band;
		ball -= tickets[band];
		if (!tickets[band])
			rc->passed[band] = 0;
		else if (winner != band)
			rc->passed[band]++;
	}
	for (band = 0; band < NBANDS; band++) {
		if (rc->passed[band] > max_passed) {
			winner = band;
			break;
		}
	}
	winner &= NBANDS - 1;
	rc->passed[winner] = 0;
	return winner;
}

void SEC("struct_ops/dispatch") BPF_PROG(raffle_dispatch, s32 cpu, struct task_struct *prev)
{
	struct raffle_cpu *rc;
	u32 zero = 0, i, first;

	rc = bpf_map_lookup_elem(&raffle_cpus, &zero);
	if (!rc)
		return;
	if ((rc->draws++ & 1) && scx_bpf_dsq_move_to_local(SEAT_Q(cpu)))
		return;
	first = draw(rc);
	for (i = 0; i < NBANDS; i++)
		if (scx_bpf_dsq_move_to_local(BAND_Q(first + i)))
			return;
	scx_bpf_dsq_move_to_local(SEAT_Q(cpu));
}

s32 SEC("struct_ops.s/init") BPF_PROG(raffle_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 ret = 0;

	for (i = 0; i < NBANDS && !ret; i++)
		ret = scx_bpf_create_dsq(BAND_Q(i), -1);
	for (i = 0; i < NCPUS && i < nr && !ret; i++)
		ret = scx_bpf_create_dsq(SEAT_Q(i), -1);
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops raffle_ops = {
	.select_cpu = (void *)raffle_select_cpu,
	.enqueue = (void *)raffle_enqueue,
	.dispatch = (void *)raffle_dispatch,
	.init = (void *)raffle_init,
	.name = "raffle_bands",
};
