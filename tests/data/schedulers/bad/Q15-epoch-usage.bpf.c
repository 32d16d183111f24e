// SPDX-License-Identifier: GPL-2.0
/*
 * Q15: the cleaner asks once a second for the same epoch, so that nearly all entries stay for
 * ever. Stopped at Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * Processes compete by what they have used in the current and the last epoch: the more, the later
 * their tasks are queued, within a bound. Weights scale the usage.
 */
#define PF_KTHREAD	0x00200000
#define CLOCK_MONOTONIC 1
#define QUEUE		0x41ULL
#define SLICE_NS	6000000ULL
#define EPOCH_SHIFT	27
#define KEEP_EPOCHS	4
#define MAX_DELAY	150000000ULL
#define CLEAN_NS	1000000000ULL

struct eu_key {
	u32 tgid;
	u32 epoch;
};

struct eu_use {
	u64 ran;
	u64 runs;
	u64 first;
	u64 last;
};

struct eu_task {
	u64 began;
};

struct eu_clean {
	struct bpf_timer timer;
	u64 removed;
};

struct eu_age {
	u32 expired;
	u32 removed;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1000000);
	__type(key, struct eu_key);
	__type(value, struct eu_use);
} eu_usage SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct eu_task);
} eu_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct eu_clean);
} eu_cleaners SEC(".maps");

static __always_inline u64 used_in(u32 tgid, u32 epoch)
{
	struct eu_key k = {.tgid = tgid, .epoch = epoch};
	struct eu_use *u = bpf_map_lookup_elem(&eu_usage, &k);

	return u ? u->ran : 0;
}

static long eu_expire(void *map, struct eu_key *k, struct eu_use *u, struct eu_age *age)
{
	struct eu_key key = *k;

	if (key.epoch == age->expired) {
		bpf_map_delete_elem(&eu_usage, &key);
		age->removed++;
	}
	return 0;
}

static int eu_clean_fn(void *map, u32 *key, struct eu_clean *c)
{
	struct eu_age age = {
		.expired = (u32)(scx_bpf_now() >> EPOCH_SHIFT) - KEEP_EPOCHS,
	};

	bpf_for_each_map_elem(&eu_usage, eu_expire, &age, 0);
	c->removed += age.removed;
	bpf_timer_start(&c->timer, CLEAN_NS, 0);
	return 0;
}

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = SLICE_NS * p->scx.weight / 100;

	if (s < 2ULL * 1000000)
		return 2ULL * 1000000;
	return s > 20ULL * 1000000 ? 20ULL * 1000000 : s;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(eu_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(eu_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 now = scx_bpf_now(), delay;
	u32 epoch = now >> EPOCH_SHIFT, weight = p->scx.weight;
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	delay = used_in(p->tgid, epoch) + used_in(p->tgid, epoch - 1);
	if (weight)
		delay = delay * 100 / weight;
	if (delay > MAX_DELAY)
		delay = MAX_DELAY;
	scx_bpf_dsq_insert_vtime(p, QUEUE, slice_of(p), now + delay, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(eu_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

void SEC("struct_ops/running") BPF_PROG(eu_running, struct task_struct *p)
{
	struct eu_task *t = bpf_task_storage_get(&eu_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (t)
		t->began = scx_bpf_now();
}

void SEC("struct_ops/stopping") BPF_PROG(eu_stopping, struct task_struct *p, bool runnable)
{
	struct eu_task *t = bpf_task_storage_get(&eu_tasks, p, 0, 0);
	u64 now = scx_bpf_now(), ran;
	struct eu_use *u, fresh = {};
	struct eu_key k = {.tgid = p->tgid, .epoch = now >> EPOCH_SHIFT};

	if (!t || !t->began || (p->flags & PF_KTHREAD))
		return;
	ran = now - t->began;
	u = bpf_map_lookup_elem(&eu_usage, &k);
	if (u) {
		__sync_fetch_and_add(&u->ran, ran);
		__sync_fetch_and_add(&u->runs, 1);
		u->last = now;
		return;
	}
	fresh.ran = ran;
	fresh.runs = 1;
	fresh.first = now;
	fresh.last = now;
	bpf_map_update_elem(&eu_usage, &k, &fresh, BPF_ANY);
}

s32 SEC("struct_ops.s/init") BPF_PROG(eu_init)
{
	struct eu_clean *c;
	u32 key = 0;
	s32 err = scx_bpf_create_dsq(QUEUE, -1);

	if (err)
		return err;
	c = bpf_map_lookup_elem(&eu_cleaners, &key);
	if (!c)
		return -2;
	bpf_timer_init(&c->timer, &eu_cleaners, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&c->timer, eu_clean_fn);
	return bpf_timer_start(&c->timer, CLEAN_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops eu_ops = {
	.select_cpu = (void *)eu_select_cpu,
	.enqueue = (void *)eu_enqueue,
	.dispatch = (void *)eu_dispatch,
	.running = (void *)eu_running,
	.stopping = (void *)eu_stopping,
	.init = (void *)eu_init,
	.name = "epoch_usage",
};
