/* SPDX-License-Identifier: GPL-2.0 */
/* What the guest programs share: clocks, real-time observers, and ends with a reason. */
#ifndef SCHEDCP_GUEST_COMMON_H
#define SCHEDCP_GUEST_COMMON_H

#include <stdint.h>
#include <time.h>

#define NSEC_PER_SEC 1000000000ULL

uint64_t clock_ns(clockid_t clock);
/* Sleep on CLOCK_MONOTONIC until `due_ns`, also across signals. */
void sleep_until(uint64_t due_ns);
/*
 * Become SCHED_FIFO with memory locked and timer slack of 1 ns; children start in the ordinary
 * class again. Whoever observes a scheduler must not be scheduled by it.
 */
void become_observer(int priority);
/* Parse a whole number in [minimum, maximum], or end with exit code 64 and a message. */
uint64_t parse_number(const char *what, const char *text, uint64_t minimum, uint64_t maximum);
/* Print the message to standard error and exit: 64 for wrong usage, 1 for a broken machine. */
void die(int code, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

enum { EXIT_BROKEN = 1, EXIT_USAGE = 64 };

#endif
