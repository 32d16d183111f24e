// SPDX-License-Identifier: GPL-2.0
/*
 * metronome: sharpen virtual time.
 *
 * On a virtual clock that counts instructions, a virtual CPU's turn lasts until the next virtual
 * timer, so that an interrupt to another CPU can come a millisecond late whatever the scheduler
 * does. One real-time thread that sleeps 100 us at a time bounds that. It runs until it is killed.
 */
#include "guest_common.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

enum { DEFAULT_PERIOD_NS = 100000, DEFAULT_PRIORITY = 50, CPU_MAX = 1023, PRIORITY_MAX = 99 };

static const char help_text[] =
	"usage: metronome [--cpu N] [--period-ns N] [--priority N]\n"
	"\n"
	"Sleep N ns at a time (100000) as SCHED_FIFO (50) on one CPU (0), until killed.\n";

static const struct option long_options[] = {
	{"cpu", required_argument, NULL, 'c'},
	{"period-ns", required_argument, NULL, 'n'},
	{"priority", required_argument, NULL, 'p'},
	{"help", no_argument, NULL, 'h'},
	{},
};

int main(int argc, char **argv)
{
	uint64_t cpu = 0, period_ns = DEFAULT_PERIOD_NS, priority = DEFAULT_PRIORITY, due;
	cpu_set_t cpus;
	int letter;

	while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (letter == 'c')
			cpu = parse_number("--cpu", optarg, 0, CPU_MAX);
		else if (letter == 'n')
			period_ns = parse_number("--period-ns", optarg, 1, NSEC_PER_SEC);
		else if (letter == 'p')
			priority = parse_number("--priority", optarg, 1, PRIORITY_MAX);
		else if (letter == 'h')
			return fputs(help_text, stdout) < 0;
		else
			die(EXIT_USAGE, "%s", help_text);
	}
	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		die(EXIT_BROKEN, "cannot run on CPU %d: %s", (int)cpu, strerror(errno));
	become_observer((int)priority);
	for (due = clock_ns(CLOCK_MONOTONIC);; due = clock_ns(CLOCK_MONOTONIC) + period_ns)
		sleep_until(due);
}
