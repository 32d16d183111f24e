/* SPDX-License-Identifier: GPL-2.0 */
/* A new slice for the task that runs. */
#ifndef SCHEDCP_SLICES_BPF_H
#define SCHEDCP_SLICES_BPF_H

#include "schedcp/common.bpf.h"

/* Kernels without it let the field be written. */
bool scx_bpf_task_set_slice(struct task_struct *p, u64 slice) __ksym __weak;

static __always_inline void slice_renew(struct task_struct *p, u64 slice_ns)
{
	if (bpf_ksym_exists(scx_bpf_task_set_slice))
		scx_bpf_task_set_slice(p, slice_ns);
	else
		p->scx.slice = slice_ns;
}

#endif
