// SPDX-License-Identifier: GPL-2.0
/*
 * Q09: a table of levels is filled with microseconds and used as nanoseconds: slices of 10 to 40
 * us. Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * Multi-level feedback: a task that uses up its slice sinks a level and gets longer slices there,
 * one that sleeps rises. Levels are served in order, but a level that was passed over too often
 * goes first.
 */
#define PF_KTHREAD 0x00200000
#define NR_LEVELS  4
#define LEVELQ(l)  (0x30ULL + (l))
#define BASE_LEN   10000
#define PATIENCE   6

struct fb_level {
	u64 len;
	u64 picks;
};

struct fb_task {
	u32 level;
	u32 rounds;
};

struct fb_cpu {
	u32 passed[NR_LEVELS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NR_LEVELS);
	__type(key, u32);
	__type(value, struct fb_level);
} fb_levels SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct fb_task);
} fb_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct fb_cpu);
} fb_cpus SEC(".maps");

static __always_inline u64 length_of(struct task_struct *p, u32 level)
{
	struct fb_level *lv = bpf_map_lookup_elem(&fb_levels, &level);
	u64 len = lv ? lv->len : SCX_SLICE_DFL;

	/* nice stretches or shrinks the slice, at most fourfold */
	if (p->scx.weight >= 400)
		return len * 4;
	if (p->scx.weight <= 25)
		return len / 4;
	return len * p->scx.weight / 100;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(fb_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct fb_task *t = bpf_task_storage_get(&fb_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, length_of(p, t ? t->level : 0), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(fb_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct fb_task *t = bpf_task_storage_get(&fb_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	u32 level = t && t->level < NR_LEVELS ? t->level : 0;
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, length_of(p, 0), enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, LEVELQ(level), length_of(p, level), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

static __always_inline bool serve(struct fb_cpu *c, u32 level)
{
	struct fb_level *lv;

	if (!scx_bpf_dsq_move_to_local(LEVELQ(level)))
		return false;
	if (level < NR_LEVELS)
		c->passed[level] = 0;
	lv = bpf_map_lookup_elem(&fb_levels, &level);
	if (lv)
		__sync_fetch_and_add(&lv->picks, 1);
	return true;
}

void SEC("struct_ops/dispatch") BPF_PROG(fb_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 i, key = 0;
	struct fb_cpu *c = bpf_map_lookup_elem(&fb_cpus, &key);

	if (!c)
		return;
	for (i = 1; i < NR_LEVELS; i++) {
		if (c->passed[i] >= PATIENCE && serve(c, i))
			return;
	}
	for (i = 0; i < NR_LEVELS; i++) {
		if (serve(c, i))
			break;
	}
	/* all below the level that was served have been passed over once more */
	for (i = i + 1; i < NR_LEVELS; i++)
		c->passed[i]++;
}

void SEC("struct_ops/stopping") BPF_PROG(fb_stopping, struct task_struct *p, bool runnable)
{
	struct fb_task *t = bpf_task_storage_get(&fb_tasks, p, 0, 0);

	if (!t)
		return;
	if (runnable) {
		if (!p->scx.slice && ++t->rounds > 2 && t->level < NR_LEVELS - 1) {
			t->level++;
			t->rounds = 0;
		}
	} else if (t->level) {
		t->level--;
		t->rounds = 0;
	}
}

s32 SEC("struct_ops.s/init") BPF_PROG(fb_init)
{
	struct fb_level *lv;
	u32 i, k;
	s32 err;

	for (i = 0; i < NR_LEVELS; i++) {
		k = i;
		lv = bpf_map_lookup_elem(&fb_levels, &k);
		if (lv)
			lv->len = BASE_LEN * (i + 1);
		err = scx_bpf_create_dsq(LEVELQ(i), -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops fb_ops = {
	.select_cpu = (void *)fb_select_cpu,
	.enqueue = (void *)fb_enqueue,
	.dispatch = (void *)fb_dispatch,
	.stopping = (void *)fb_stopping,
	.init = (void *)fb_init,
	.name = "feedback_table",
};
