/* SPDX-License-Identifier: GPL-2.0 */
/* Queues of classes: one for each class and last-level cache. */
#ifndef SCHEDCP_TOPOLOGY_LLC_BPF_H
#define SCHEDCP_TOPOLOGY_LLC_BPF_H

#include "schedcp/caches.bpf.h"

static __always_inline void homes_find(void)
{
	caches_find();
}

static __always_inline s32 home_of(s32 cpu)
{
	return llc_of(cpu);
}

#include "schedcp/topology_homes.bpf.h"

#endif
