/* SPDX-License-Identifier: GPL-2.0 */
/* The task that runs gets a new slice, instead of waiting behind somebody whom it comes before. */
#ifndef SCHEDCP_SLICES_BPF_H
#define SCHEDCP_SLICES_BPF_H

#include "schedcp/queues.bpf.h"

/* Kernels without it let the field be written. */
bool scx_bpf_task_set_slice(struct task_struct *p, u64 slice) __ksym __weak;

static __always_inline void slice_renew(struct task_struct *p, u64 slice_ns)
{
	if (bpf_ksym_exists(scx_bpf_task_set_slice))
		scx_bpf_task_set_slice(p, slice_ns);
	else
		p->scx.slice = slice_ns;
}

/* Whether whoever ran until now, as ops.dispatch is told, would go on. */
static __always_inline bool wants_on(const struct task_struct *prev)
{
	return prev && (prev->scx.flags & SCX_TASK_QUEUED);
}

/* CPU time since wait_running(). */
static __always_inline u64 used_since(const struct wait_ctx *wait)
{
	u64 now = bpf_ktime_get_ns();

	return now > wait->running_at ? now - wait->running_at : 0;
}

#endif
