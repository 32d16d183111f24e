// SPDX-License-Identifier: GPL-2.0
/*
 * Count what threads of tracked cgroups do: wakeup latency, burst and sleep, by side, and in a
 * profile by process as well. Three tracepoints, no kernel headers beyond bcc's own: it compiles
 * in a fraction of the time that linux/sched.h takes.
 *
 * A thread's side comes from its cgroup at the moment it leaves a CPU, when it is `current`.
 * Durations, all by the same clock:
 *   latency  from sched_wakeup to the next switch-in
 *   burst    time on a CPU between a switch-in and going to sleep, preemptions added up
 *   sleep    from going to sleep to sched_wakeup
 * A thread that was never seen asleep has no stamp, so nothing is counted from half a story.
 */

/* SIDES, CGROUPS_MAX, TASKS_MAX, GROUPS_MAX and TGIDS_MAX come from the loader. */
#define SLOTS 160
#define COMM_MAX 16

enum kind { LATENCY, BURST, SLEEP, KINDS };
enum counter { LOST_TASKS, LOST_GROUPS, COUNTERS };
enum option { BY_GROUP, BY_TGID, OPTIONS };

/* Bits of prev_state as the tracepoint shows it; 0x100 marks a preemption. */
enum { STATE_SLEEPS = 0xff, STATE_DEAD = 0x30 };

struct hist {
	u64 slots[SLOTS];
	u64 total_ns;
	u64 max_ns;
};

struct task {
	u64 woken_ns; /* waiting for a CPU since; 0: not waiting after a wakeup */
	u64 on_ns; /* on a CPU since; 0: not on one, or not seen to get there */
	u64 off_ns; /* asleep since; 0: not asleep */
	u64 burst_ns;
	u32 side;
	u32 tgid; /* 0 until the thread has left a CPU once */
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
BPF_PERCPU_ARRAY(sides, struct hist, SIDES * KINDS);
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

	/* Make the compiler forget the bound, so that it checks it where the verifier can see it. */
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

	if (!task->tgid || !option(BY_GROUP))
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

static __always_inline void switched_out(struct task *task, const char *comm, u32 pid, long state,
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
			__builtin_memcpy(group->comm, comm, COMM_MAX);
	}
	if (!(state & STATE_SLEEPS))
		return;
	if (task->burst_ns)
		record(task, group, BURST, task->burst_ns);
	task->burst_ns = 0;
	task->woken_ns = 0;
	task->off_ns = now;
}

TRACEPOINT_PROBE(sched, sched_switch)
{
	u64 now = bpf_ktime_get_ns();
	u32 prev = args->prev_pid, next = args->next_pid;
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct task *task, fresh = {};
	char comm[COMM_MAX];
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
	__builtin_memcpy(comm, args->prev_comm, COMM_MAX);
	switched_out(task, comm, prev, args->prev_state, now);
	if (args->prev_state & STATE_DEAD)
		tasks.delete(&prev);
	return 0;
}

TRACEPOINT_PROBE(sched, sched_wakeup)
{
	u64 now = bpf_ktime_get_ns();
	u32 pid = args->pid;
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
TRACEPOINT_PROBE(sched, sched_wakeup_new)
{
	u32 pid = args->pid;
	u32 side = side_of_current(bpf_get_current_pid_tgid() >> 32);
	struct task fresh = {};

	if (!side)
		return 0;
	fresh.side = side;
	fresh.woken_ns = bpf_ktime_get_ns();
	tasks.update(&pid, &fresh);
	return 0;
}
