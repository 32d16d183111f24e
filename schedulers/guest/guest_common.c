// SPDX-License-Identifier: GPL-2.0
#include "guest_common.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now))
		die(EXIT_BROKEN, "cannot read clock %d: %s", (int)clock, strerror(errno));
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

void sleep_until(uint64_t due_ns)
{
	struct timespec due = {
		.tv_sec = (time_t)(due_ns / NSEC_PER_SEC),
		.tv_nsec = (long)(due_ns % NSEC_PER_SEC),
	};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
		;
}

void become_observer(int priority)
{
	struct sched_param parameters = {.sched_priority = priority};

	if (mlockall(MCL_CURRENT))
		die(EXIT_BROKEN, "cannot lock memory (%s): run as root", strerror(errno));
	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameters))
		die(EXIT_BROKEN, "cannot become real-time (%s): run as root", strerror(errno));
	prctl(PR_SET_TIMERSLACK, 1);
}

uint64_t parse_number(const char *what, const char *text, uint64_t minimum, uint64_t maximum)
{
	uint64_t value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value < minimum || value > maximum)
		die(EXIT_USAGE, "%s '%s' is not a whole number from %llu to %llu", what, text,
		    (unsigned long long)minimum, (unsigned long long)maximum);
	return value;
}

void die(int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(code);
}
