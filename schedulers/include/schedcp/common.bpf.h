/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every scheduler here starts from: the kernel's types, the struct_ops section macros,
 * statistics by name, the recorded exit, queues for tasks bound to one CPU, and idle wake-ups.
 *
 * It needs a vmlinux.h of the target kernel with kfunc prototypes. Nothing here asks for a
 * kernel version: what may be missing is a weak symbol or a BTF check.
 */
#ifndef SCHEDCP_COMMON_BPF_H
#define SCHEDCP_COMMON_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "schedcp/exit_info.h"

/* A compiler that narrows 64-bit enums would make these zero, and every insert would go astray. */
_Static_assert(SCX_DSQ_LOCAL == (1ULL << 63 | 2), "SCX_DSQ_LOCAL was truncated");
_Static_assert(SCX_DSQ_LOCAL_ON == 3ULL << 62, "SCX_DSQ_LOCAL_ON was truncated");
_Static_assert(SCX_ENQ_PREEMPT == 1ULL << 32, "SCX_ENQ_PREEMPT was truncated");

#define SCHEDCP_OPS(name, args...)	     SEC("struct_ops/" #name) BPF_PROG(name, ##args)
#define SCHEDCP_OPS_SLEEPABLE(name, args...) SEC("struct_ops.s/" #name) BPF_PROG(name, ##args)

/* The iterator inside bpf_for_each(), which scx_bpf_dsq_move() wants. */
#ifndef BPF_FOR_EACH_ITER
#define BPF_FOR_EACH_ITER (&___it)
#endif

#define SCHEDCP_LICENSE char _license[] SEC("license") = "GPL"

/*
 * Queue ids. Each CPU also has PINNED_DSQ_BASE + cpu for tasks that may run nowhere else, and
 * FIRST_DSQ_BASE + cpu for those of them that go before everybody: its kernel threads, and whoever
 * has waited too long.
 */
enum schedcp_dsq {
	SHARED_DSQ = 0,
	LATENCY_DSQ = 1,
	AGED_DSQ = 2,
	PINNED_DSQ_BASE = 0x10000,
	FIRST_DSQ_BASE = 0x20000,
};

enum schedcp_consts {
	NSEC_PER_USEC = 1000ULL,
	NSEC_PER_MSEC = 1000000ULL,
	NSEC_PER_SEC = 1000000000ULL,
	WEIGHT_DEFAULT = 100ULL,      /* weight of nice 0, as in p->scx.weight */
	TASK_IS_KTHREAD = 0x00200000, /* PF_KTHREAD, a macro in the kernel */
	NO_SUCH_TASK = 3,	      /* ESRCH, a macro in the kernel */
	NO_MEMORY = 12,		      /* ENOMEM, a macro in the kernel */
};

/* Counters that the loader reports once a second, by the names of the members. */
struct schedcp_stats {
	u64 idle_dispatches;	/* put straight on an idle CPU */
	u64 shared_dispatches;	/* queued where any CPU may take it */
	u64 latency_dispatches; /* queued among latency-sensitive tasks */
	u64 pinned_dispatches;	/* queued for the one CPU it may run on */
	u64 aged_dispatches;	/* moved ahead because it had waited too long */
	u64 preemptions;	/* a running task was asked to leave its CPU */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct schedcp_stats);
} stats SEC(".maps");

#define STAT_INC(member)                                                                           \
	do {                                                                                       \
		u32 __zero = 0;                                                                    \
		struct schedcp_stats *__stats = bpf_map_lookup_elem(&stats, &__zero);              \
		if (__stats)                                                                       \
			__stats->member++;                                                         \
	} while (0)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct schedcp_exit_info);
} schedcp_exit SEC(".maps");

/* Copy the kernel's account of the end to where the loader reads it. Call it from ops.exit. */
static __always_inline void exit_record(const struct scx_exit_info *ei)
{
	u32 zero = 0;
	struct schedcp_exit_info *info = bpf_map_lookup_elem(&schedcp_exit, &zero);

	if (!info)
		return;
	info->kind = ei->kind;
	info->code = ei->exit_code;
	bpf_probe_read_kernel_str(info->reason, sizeof(info->reason), ei->reason);
	bpf_probe_read_kernel_str(info->message, sizeof(info->message), ei->msg);
	bpf_probe_read_kernel_str(info->dump, sizeof(info->dump), ei->dump);
	__sync_fetch_and_add(&info->recorded, 1);
}

static __always_inline bool vtime_before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

static __always_inline bool is_kthread(const struct task_struct *p)
{
	return p->flags & TASK_IS_KTHREAD;
}

/* True when no other CPU may take the task, so that it must not wait in a shared queue. */
static __always_inline bool is_pinned(const struct task_struct *p)
{
	return p->nr_cpus_allowed == 1;
}

/*
 * The kernel ejects a scheduler that moves a task by name to where it may not run, and a task that
 * must not migrate at present still has its old mask.
 */
static __always_inline bool may_run_on(const struct task_struct *p, s32 cpu)
{
	return !p->migration_disabled && bpf_cpumask_test_cpu(cpu, p->cpus_ptr);
}

static __always_inline u64 pinned_dsq(s32 cpu)
{
	return PINNED_DSQ_BASE + (u64)cpu;
}

static __always_inline u64 first_dsq(s32 cpu)
{
	return FIRST_DSQ_BASE + (u64)cpu;
}

/* Create the queues of each possible CPU. Call it from ops.init, which may sleep. */
static __always_inline s32 pinned_dsqs_create(void)
{
	s32 cpu, err;

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(pinned_dsq(cpu), -1)
			      ?: scx_bpf_create_dsq(first_dsq(cpu), -1);
		if (err)
			return err;
	}
	return 0;
}

/*
 * Wake an idle CPU for a task that is in a shared queue by now. Also when select_cpu has just found
 * none (so `enq_flags` does not matter): a CPU that fell idle before the insert has looked into an
 * empty queue, and the task would wait beside it.
 */
static __always_inline void kick_idle_for(const struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

#endif
