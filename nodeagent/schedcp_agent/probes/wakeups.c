// SPDX-License-Identifier: GPL-2.0
/*
 * Count what threads of tracked cgroups do: wakeup latency, burst and sleep, by side, and in a
 * profile by process as well. Raw tracepoints: they need neither tracefs nor perf events, which
 * some distributions keep for CAP_SYS_ADMIN. Where the members of task_struct lie comes from the
 * kernel's BTF as macros, so that linux/sched.h need not be compiled.
 *
 * A thread's side comes from its cgroup at the moment it leaves a CPU, when it is `current`.
 * Durations, all by the same clock:
 *   latency  from sched_wakeup to the next switch-in
 *   burst    time on a CPU between a switch-in and going to sleep, preemptions added up
 *   sleep    from going to sleep to sched_wakeup
 * A thread that was never seen asleep has no stamp, so nothing is counted from half a story.
 */

/* SIDES, the ..._MAX of the maps, and TASK_PID, TASK_TGID and TASK_COMM come from the loader. */
#define SLOTS	 160
#define COMM_MAX 16

enum kind { LATENCY, BURST, SLEEP, KINDS };
enum counter { LOST_TASKS, LOST_GROUPS, COUNTERS };
enum option { BY_GROUP, BY_TGID, OPTIONS };

enum { STATE_RUNNING = 0, STATE_DEAD = 0x80 };

struct hist {
	u64 slots[SLOTS];
	u64 total_ns;
	u64 max_ns;
};

struct task {
	u64 woken_ns; /* waiting for a CPU since; 0: not waiting after a wakeup */
	u64 on_ns;    /* on a CPU since; 0: not on one, or not seen to get there */
	u64 off_ns;   /* asleep since; 0: not asleep */
	u64 burst_ns;
	u32 side;
	u32 tgid;
};

struct group_key {
	u32 side;
	u32 tgid;
};

struct group {
	struct hist hist[KINDS];
	u64 cpu_ns;
	u64 switches;
	u64 wakeups;
	char comm[COMM_MAX];
};

BPF_HASH(cgroups, u64, u32, CGROUPS_MAX);
BPF_HASH(tgids, u32, u32, TGIDS_MAX);
BPF_HASH(tasks, u32, struct task, TASKS_MAX);
BPF_HASH(groups, struct group_key, struct group, GROUPS_MAX);
BPF_PERCPU_ARRAY(sides, struct hist, SIDES *KINDS);
BPF_PERCPU_ARRAY(longest, u64, SIDES);
BPF_PERCPU_ARRAY(counters, u64, COUNTERS);
BPF_ARRAY(options, u32, OPTIONS);
BPF_ARRAY(blank, struct group, 1);

static __always_inline u32 slot_of(u64 ns)
{
	u32 octave, slot;

	if (ns < 4)
		return ns;
	octave = bpf_log2l(ns) - 1; /* bcc counts from 1 */
	slot = (octave - 1) * 4 + ((ns >> (octave - 2)) & 3);
	return slot < SLOTS ? slot : SLOTS - 1;
}

static __always_inline u32 option(u32 key)
{
	u32 *value = options.lookup(&key);

	return value ? *value : 0;
}

static __always_inline void lost(u32 key)
{
	u64 *value = counters.lookup(&key);

	if (value)
		*value += 1;
}

static __always_inline void count(struct hist *hist, u64 ns, bool shared)
{
	u64 slot = slot_of(ns);

	/* Make the compiler forget the bound, so that it checks it where the verifier can see it.
	 */
	asm volatile("" : "+r"(slot));
	if (slot >= SLOTS)
		return;
	if (shared) {
		__sync_fetch_and_add(&hist->slots[slot], 1);
		__sync_fetch_and_add(&hist->total_ns, ns);
	} else {
		hist->slots[slot] += 1;
		hist->total_ns += ns;
	}
	if (ns > hist->max_ns)
		hist->max_ns = ns;
}

static __always_inline struct group *group_of(struct task *task)
{
	struct group_key key = {.side = task->side, .tgid = task->tgid};
	struct group *group, *empty;
	u32 zero = 0;

	if (!option(BY_GROUP))
		return NULL;
	group = groups.lookup(&key);
	if (group)
		return group;
	empty = blank.lookup(&zero);
	if (!empty)
		return NULL;
	groups.insert(&key, empty);
	group = groups.lookup(&key);
	if (!group)
		lost(LOST_GROUPS);
	return group;
}

static __always_inline void record(struct task *task, struct group *group, u32 kind, u64 ns)
{
	u32 key = task->side * KINDS + kind;
	struct hist *hist = sides.lookup(&key);

	if (hist)
		count(hist, ns, false);
	if (group && kind < KINDS)
		count(&group->hist[kind], ns, true);
}

static __always_inline void note_longest(u32 side, u64 ns)
{
	u64 *value = longest.lookup(&side);

	if (value && ns > *value)
		*value = ns;
}

/* The side of the running thread: by process when asked to, else by cgroup; 0 is nobody's. */
static __always_inline u32 side_of_current(u32 tgid)
{
	u64 cgroup = bpf_get_current_cgroup_id();
	u32 *side = NULL;

	if (option(BY_TGID))
		side = tgids.lookup(&tgid);
	if (!side)
		side = cgroups.lookup(&cgroup);
	return side ? *side : 0;
}

static __always_inline void switched_in(u32 pid, u64 now)
{
	struct task *task = tasks.lookup(&pid);
	u64 waited;

	if (!task)
		return;
	if (task->woken_ns && now > task->woken_ns) {
		waited = now - task->woken_ns;
		record(task, group_of(task), LATENCY, waited);
		note_longest(task->side, waited);
	}
	task->woken_ns = 0;
	task->off_ns = 0;
	task->on_ns = now;
}

static __always_inline u32 number_of(void *task, u32 offset)
{
	u32 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), task + offset);
	return number;
}

static __always_inline void switched_out(struct task *task, void *kernel_task, u32 pid, bool sleeps,
					 u64 now)
{
	struct group *group = group_of(task);
	u64 ran = task->on_ns && now > task->on_ns ? now - task->on_ns : 0;

	task->burst_ns += ran;
	task->on_ns = 0;
	if (group) {
		__sync_fetch_and_add(&group->cpu_ns, ran);
		__sync_fetch_and_add(&group->switches, 1);
		if (pid == task->tgid || !group->comm[0])
			bpf_probe_read_kernel(group->comm, COMM_MAX, kernel_task + TASK_COMM);
	}
	if (!sleeps)
		return;
	if (task->burst_ns)
		record(task, group, BURST, task->burst_ns);
	task->burst_ns = 0;
	task->woken_ns = 0;
	task->off_ns = now;
}

/* (bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state) */
RAW_TRACEPOINT_PROBE(sched_switch)
{
	bool preempted = ctx->args[0];
	void *from = (void *)ctx->args[1];
	u32 state = ctx->args[3];
	u64 now = bpf_ktime_get_ns();
	u64 current = bpf_get_current_pid_tgid();
	u32 prev = current, tgid = current >> 32;
	u32 next = number_of((void *)ctx->args[2], TASK_PID);
	struct task *task, fresh = {};
	u32 side;

	if (next)
		switched_in(next, now);
	if (!prev)
		return 0;
	side = side_of_current(tgid);
	if (!side) {
		tasks.delete(&prev);
		return 0;
	}
	task = tasks.lookup(&prev);
	if (!task) {
		fresh.side = side;
		fresh.tgid = tgid;
		tasks.insert(&prev, &fresh);
		task = tasks.lookup(&prev);
	}
	if (!task) {
		lost(LOST_TASKS);
		return 0;
	}
	task->side = side;
	task->tgid = tgid;
	switched_out(task, from, prev, !preempted && state != STATE_RUNNING, now);
	if (state & STATE_DEAD)
		tasks.delete(&prev);
	return 0;
}

/* (struct task_struct *p) */
RAW_TRACEPOINT_PROBE(sched_wakeup)
{
	u64 now = bpf_ktime_get_ns();
	u32 pid = number_of((void *)ctx->args[0], TASK_PID);
	struct task *task = tasks.lookup(&pid);
	struct group *group;

	/* A thread that is woken before it slept is on a CPU or queued: nothing begins here. */
	if (!task || !task->off_ns)
		return 0;
	group = group_of(task);
	if (group)
		__sync_fetch_and_add(&group->wakeups, 1);
	if (now > task->off_ns)
		record(task, group, SLEEP, now - task->off_ns);
	task->off_ns = 0;
	task->woken_ns = now;
	return 0;
}

/* A new thread starts on its parent's side; its own first switch-out corrects that. */
RAW_TRACEPOINT_PROBE(sched_wakeup_new)
{
	void *child = (void *)ctx->args[0];
	u32 pid = number_of(child, TASK_PID);
	u32 side = side_of_current(bpf_get_current_pid_tgid() >> 32);
	struct task fresh = {};

	if (!side)
		return 0;
	fresh.side = side;
	fresh.tgid = number_of(child, TASK_TGID);
	fresh.woken_ns = bpf_ktime_get_ns();
	tasks.update(&pid, &fresh);
	return 0;
}
