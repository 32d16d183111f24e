// SPDX-License-Identifier: GPL-2.0
/* The kernel's own account of sched_ext: sysfs, and its log for schedulers that record no exit. */
#include "loader.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSFS_ROOT "/sys/kernel/sched_ext/"

enum { LOG_RECORD_MAX = 2048 };

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

int kernel_log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

void kernel_log_read(int kmsg, char *text, size_t size)
{
	char record[LOG_RECORD_MAX];
	size_t used = 0;
	ssize_t n;

	text[0] = '\0';
	if (kmsg < 0)
		return;
	while ((n = read(kmsg, record, sizeof(record) - 1)) > 0 && used + 1 < size) {
		const char *message;

		record[n] = '\0';
		record[strcspn(record, "\n")] = '\0';
		message = strchr(record, ';');
		if (!message || strncmp(message + 1, "sched_ext:", strlen("sched_ext:")))
			continue;
		used += (size_t)snprintf(text + used, size - used, "%s%s", used ? "\n" : "",
					 message + 1);
	}
}
