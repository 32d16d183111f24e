/* SPDX-License-Identifier: GPL-2.0 */
/* Which CPUs share a last-level cache. */
#ifndef SCHEDCP_CACHES_BPF_H
#define SCHEDCP_CACHES_BPF_H

#include "schedcp/common.bpf.h"

enum llc_consts {
	LLC_CPUS_MAX = 8192, /* more than the kernel has */
};

/* The first CPU of the cache that a CPU uses, as the kernel's scheduling domains say. */
extern const int sd_llc_id __ksym;

s32 llc_of_cpu[LLC_CPUS_MAX];

/* A changed domain is seen when the scheduler is loaded again: the kernel asks for that. */
static __always_inline void caches_find(void)
{
	s32 cpu;

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		const int *first = bpf_per_cpu_ptr(&sd_llc_id, cpu);

		if (first)
			llc_of_cpu[cpu & (LLC_CPUS_MAX - 1)] = *first;
	}
}

static __always_inline s32 llc_of(s32 cpu)
{
	return (u32)llc_of_cpu[cpu & (LLC_CPUS_MAX - 1)] % (scx_bpf_nr_cpu_ids() ?: 1);
}

static __always_inline bool same_cache(s32 cpu, s32 other)
{
	return llc_of(cpu) == llc_of(other);
}

#endif
