// SPDX-License-Identifier: GPL-2.0
/*
 * Why the kernel ended a scheduler that records nothing itself: from the kernel's log, read with
 * syslog(2), which takes the capability SYSLOG and no device.
 */
#include "loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>

#define LOG_PREFIX "sched_ext: "

enum { SYSLOG_ACTION_READ_ALL = 3, SYSLOG_ACTION_SIZE_BUFFER = 10 };

/* kernel/sched/ext.c, scx_exit_reason() */
static const struct {
	const char *reason;
	int kind;
} exit_reasons[] = {
	{"unregistered from user space", EXIT_KIND_BY_USER},
	{"unregistered from BPF", 65},
	{"unregistered from the main kernel", EXIT_KIND_BY_KERNEL},
	{"disabled by sysrq-S", 67},
	{"runtime error", 1024},
	{"scx_bpf_error", 1025},
	{"runnable task stall", 1026},
};

static char *log_copy(void)
{
	int size = klogctl(SYSLOG_ACTION_SIZE_BUFFER, NULL, 0);
	char *text = size > 0 ? malloc((size_t)size + 1) : NULL;
	int length = text ? klogctl(SYSLOG_ACTION_READ_ALL, text, size) : -1;

	if (length < 0) {
		free(text);
		return NULL;
	}
	text[length] = '\0';
	return text;
}

bool kernel_log_mark(char mark[LOG_LINE_MAX])
{
	char *log = log_copy(), *rest = log, *line;
	bool readable = log != NULL;

	mark[0] = '\0';
	while (rest && (line = strsep(&rest, "\n")))
		if (strstr(line, LOG_PREFIX))
			snprintf(mark, LOG_LINE_MAX, "%s", line);
	free(log);
	return readable;
}

void kernel_log_read(const char *mark, char *text, size_t size)
{
	char *log = log_copy(), *rest = log, *line;
	size_t used = 0;

	text[0] = '\0';
	while (rest && (line = strsep(&rest, "\n"))) {
		const char *message = strstr(line, LOG_PREFIX);

		if (!message)
			continue;
		if (*mark && !strncmp(line, mark, LOG_LINE_MAX - 1)) {
			text[0] = '\0';
			used = 0;
		} else if (used < size) {
			used += (size_t)snprintf(text + used, size - used, "%s%s", used ? "\n" : "",
						 message);
		}
	}
	free(log);
}

int kernel_log_reason(const char *log, const char *ops, char *reason, size_t size)
{
	char wanted[OPS_NAME_MAX + 64];
	const char *found;

	snprintf(wanted, sizeof(wanted), "BPF scheduler \"%s\" disabled (", ops);
	found = strstr(log, wanted);
	if (!found)
		return EXIT_KIND_UNKNOWN;
	found += strlen(wanted);
	snprintf(reason, size, "%.*s", (int)strcspn(found, ")\n"), found);
	for (size_t i = 0; i < sizeof(exit_reasons) / sizeof(*exit_reasons); i++)
		if (!strcmp(exit_reasons[i].reason, reason))
			return exit_reasons[i].kind;
	return EXIT_KIND_UNKNOWN;
}
