// SPDX-License-Identifier: GPL-2.0
/*
 * Q17: a queue of woken tasks, the newest first, with a rescue after 400 ms: a better mean, and
 * 400 ms at p99.9. Stopped at Bytecode or Dynamic or Replay. Replayed as a service with long
 * requests.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * What has just been woken has the warmest caches and goes first; used-up slices wait in a FIFO
 * that has every fourth turn; nobody waits in the first queue for longer than a bound.
 */
#define PF_KTHREAD 0x00200000
#define WOKENQ	   0x81ULL
#define TAILQ	   0x82ULL
#define RESCUEQ	   0x83ULL
#define ORIGIN	   (1ULL << 62)
#define BASE_SLICE 5000000ULL
#define MAX_WAIT   400000000ULL
#define MAX_RESCUE 8

struct ff_cpu {
	u32 turn;
	u32 rescued;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct ff_cpu);
} ff_cpus SEC(".maps");

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = BASE_SLICE * p->scx.weight / 100;

	return s < 1000000 ? 1000000 : s > 20000000 ? 20000000 : s;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(ff_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(ff_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	if (enq_flags & SCX_ENQ_WAKEUP)
		scx_bpf_dsq_insert_vtime(p, WOKENQ, slice_of(p), ORIGIN - scx_bpf_now(), enq_flags);
	else
		scx_bpf_dsq_insert(p, TAILQ, slice_of(p), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

/* move those that have waited for too long, from the far end of the queue, to where they are served
 * next */
static __always_inline u32 rescue(void)
{
	u64 limit = ORIGIN - scx_bpf_now() + MAX_WAIT;
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	u32 n = 0;

	bpf_iter_scx_dsq_new(&it, WOKENQ, SCX_DSQ_ITER_REV);
	while ((p = bpf_iter_scx_dsq_next(&it))) {
		if ((s64)(p->scx.dsq_vtime - limit) < 0 || n >= MAX_RESCUE)
			break;
		if (scx_bpf_dsq_move(&it, p, RESCUEQ, 0))
			n++;
	}
	bpf_iter_scx_dsq_destroy(&it);
	return n;
}

void SEC("struct_ops/dispatch") BPF_PROG(ff_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 key = 0, turn = 0;
	struct ff_cpu *c = bpf_map_lookup_elem(&ff_cpus, &key);

	if (scx_bpf_dsq_nr_queued(WOKENQ) > 0) {
		u32 n = rescue();

		if (c)
			c->rescued += n;
	}
	if (scx_bpf_dsq_move_to_local(RESCUEQ))
		return;
	if (c)
		turn = ++c->turn;
	if (!(turn & 3) && scx_bpf_dsq_move_to_local(TAILQ))
		return;
	if (!scx_bpf_dsq_move_to_local(WOKENQ))
		scx_bpf_dsq_move_to_local(TAILQ);
}

s32 SEC("struct_ops.s/init") BPF_PROG(ff_init)
{
	s32 err = scx_bpf_create_dsq(WOKENQ, -1);

	if (!err)
		err = scx_bpf_create_dsq(TAILQ, -1);
	if (!err)
		err = scx_bpf_create_dsq(RESCUEQ, -1);
	return err;
}

SEC(".struct_ops.link")
struct sched_ext_ops ff_ops = {
	.select_cpu = (void *)ff_select_cpu,
	.enqueue = (void *)ff_enqueue,
	.dispatch = (void *)ff_dispatch,
	.init = (void *)ff_init,
	.name = "fresh_first",
};
