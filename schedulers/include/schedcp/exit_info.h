/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a scheduler leaves behind when the kernel or its owner ends it: one entry of the array map
 * `schedcp_exit`, written in ops.exit and read by the loader. Shared by BPF and user space, so it
 * uses C's own types only.
 */
#ifndef SCHEDCP_EXIT_INFO_H
#define SCHEDCP_EXIT_INFO_H

enum schedcp_exit_bounds {
	SCHEDCP_EXIT_REASON_LEN = 128,
	SCHEDCP_EXIT_MESSAGE_LEN = 1024,
	SCHEDCP_EXIT_DUMP_LEN = 16384,
};

struct schedcp_exit_info {
	unsigned long long recorded; /* 1 once the rest is complete */
	long long kind;		     /* enum scx_exit_kind */
	long long code;		     /* bit 48: the kernel asks for a restart; bit 32: hotplug */
	char reason[SCHEDCP_EXIT_REASON_LEN];
	char message[SCHEDCP_EXIT_MESSAGE_LEN];
	char dump[SCHEDCP_EXIT_DUMP_LEN];
};

#endif
