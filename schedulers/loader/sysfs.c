// SPDX-License-Identifier: GPL-2.0
/* The kernel's own account of sched_ext, in sysfs. */
#include "loader.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSFS_ROOT "/sys/kernel/sched_ext/"

static bool file_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return n >= 0;
}

static unsigned long long number_read(const char *path)
{
	char text[32];

	file_read(path, text, sizeof(text));
	return strtoull(text, NULL, 10);
}

void kernel_state_read(struct kernel_state *state)
{
	state->supported = file_read(SYSFS_ROOT "state", state->state, sizeof(state->state));
	file_read(SYSFS_ROOT "root/ops", state->ops, sizeof(state->ops));
	state->enable_seq = number_read(SYSFS_ROOT "enable_seq");
	state->nr_rejected = number_read(SYSFS_ROOT "nr_rejected");
	state->hotplug_seq = number_read(SYSFS_ROOT "hotplug_seq");
}
