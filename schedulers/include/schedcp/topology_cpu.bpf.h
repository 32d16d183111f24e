/* SPDX-License-Identifier: GPL-2.0 */
/* Queues of classes: one for each class and CPU. */
#ifndef SCHEDCP_TOPOLOGY_CPU_BPF_H
#define SCHEDCP_TOPOLOGY_CPU_BPF_H

#include "schedcp/common.bpf.h"

static __always_inline void homes_find(void)
{
}

static __always_inline s32 home_of(s32 cpu)
{
	return cpu;
}

#include "schedcp/topology_homes.bpf.h"

#endif
