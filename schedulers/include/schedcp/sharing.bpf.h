/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Classes share each CPU by weight. A class is charged for what it was given, the one that was
 * charged least is next, and one that has nothing to do keeps no credit for it.
 */
#ifndef SCHEDCP_SHARING_BPF_H
#define SCHEDCP_SHARING_BPF_H

#include "schedcp/classes.bpf.h"

/* What a turn is worth when classes are charged by turns. */
#define TURN_COST ((u64)NSEC_PER_MSEC)

static __always_inline u32 class_next(const struct cpu_ctx *cctx, u32 classes)
{
	u64 least = cctx->vtime[0];
	u32 i, next = 0;

	for (i = 1; i < CLASSES_MAX; i++) {
		if (i >= classes || !vtime_before(cctx->vtime[i], least))
			continue;
		least = cctx->vtime[i];
		next = i;
	}
	return next;
}

static __always_inline void class_charge(struct cpu_ctx *cctx, u32 class, u64 cost, u32 weight)
{
	if (class >= CLASSES_MAX)
		return;
	cctx->vtime[class] += cost * WEIGHT_DEFAULT / (weight ?: 1);
	if (vtime_before(cctx->furthest, cctx->vtime[class]))
		cctx->furthest = cctx->vtime[class];
}

/* It was its turn, and nobody of the class waits: let the others go before it. */
static __always_inline void class_forfeit(struct cpu_ctx *cctx, u32 class)
{
	if (class < CLASSES_MAX)
		cctx->vtime[class] = cctx->furthest;
}

#endif
