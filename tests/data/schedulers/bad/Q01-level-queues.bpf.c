// SPDX-License-Identifier: GPL-2.0
/*
 * Q01: a modulus the wrong way round has seven of eight dispatches look first at a queue that is
 * drawn by lot. Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * One FIFO for each CPU. A CPU serves its own queue, now and then looks at some other one so that
 * all of them keep the same length, and goes round all queues before it idles.
 */
#define PF_KTHREAD 0x00200000
#define MAX_CPUS   128
#define LOOK_ASIDE 8
#define BASE_SLICE 8000000ULL

struct lq_cpu {
	u32 seed;
	u32 aside;
	u64 own;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct lq_cpu);
} lq_cpus SEC(".maps");

static u32 nr_queues = 1;

static __always_inline u32 next_draw(struct lq_cpu *c)
{
	u32 x = c->seed;

	if (!x)
		x = bpf_get_prandom_u32() | 1;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	c->seed = x;
	return x;
}

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = BASE_SLICE * p->scx.weight / 100;

	if (s < 1000000)
		s = 1000000;
	if (s > 32000000)
		s = 32000000;
	return s;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(lq_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(lq_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 q = (u32)scx_bpf_task_cpu(p) % nr_queues;
	s32 idle;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, q, slice_of(p), enq_flags);

	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(lq_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 own = (u32)cpu % nr_queues, key = 0, draw, other, i;
	struct lq_cpu *c = bpf_map_lookup_elem(&lq_cpus, &key);

	if (c) {
		draw = next_draw(c);
		if (draw % LOOK_ASIDE) {
			other = (draw >> 8) % nr_queues;
			if (other != own && scx_bpf_dsq_move_to_local(other)) {
				c->aside++;
				return;
			}
		}
		c->own++;
	}
	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr_queues)
			break;
		if (scx_bpf_dsq_move_to_local((own + i) % nr_queues))
			return;
	}
}

s32 SEC("struct_ops.s/init") BPF_PROG(lq_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 err;

	if (nr > MAX_CPUS)
		nr = MAX_CPUS;
	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr)
			break;
		err = scx_bpf_create_dsq(i, -1);
		if (err)
			return err;
	}
	nr_queues = nr;
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops lq_ops = {
	.select_cpu = (void *)lq_select_cpu,
	.enqueue = (void *)lq_enqueue,
	.dispatch = (void *)lq_dispatch,
	.init = (void *)lq_init,
	.name = "level_queues",
};
