// SPDX-License-Identifier: GPL-2.0
/*
 * metronome: sharpen virtual time.
 *
 * On a virtual clock that counts instructions, a virtual CPU's turn lasts until the next timer of
 * the machine, so that an interrupt to another CPU can come a millisecond late whatever the
 * scheduler does. The periodic timer of the real-time clock bounds that: 8192 times a second, the
 * fastest that it has. Nobody listens to its interrupt, which the HPET keeps from the CPUs while it
 * stands in for the old timers; no CPU loses time by it, and no task is disturbed.
 */
#include "guest_common.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>

enum {
	CMOS_INDEX = 0x70,
	CMOS_DATA = 0x71,
	CMOS_PORTS = 2,
	REGISTER_A = 10,
	REGISTER_B = 11,
	DIVIDER_AND_RATE = 0x23, /* 32768 Hz, of which each fourth */
	PERIODIC_ENABLE = 0x40,
};

static const char help_text[] =
	"usage: metronome\n"
	"\n"
	"Set the machine's real-time clock ticking 8192 times a second from now on. Needs root.\n";

static unsigned char cmos_read(unsigned char number)
{
	outb(number, CMOS_INDEX);
	return inb(CMOS_DATA);
}

static void cmos_write(unsigned char number, unsigned char value)
{
	outb(number, CMOS_INDEX);
	outb(value, CMOS_DATA);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--help"))
		return fputs(help_text, stdout) < 0;
	if (argc != 1)
		die(EXIT_USAGE, "%s", help_text);
	if (ioperm(CMOS_INDEX, CMOS_PORTS, 1))
		die(EXIT_BROKEN, "cannot reach the real-time clock: %s", strerror(errno));
	cmos_write(REGISTER_A, DIVIDER_AND_RATE);
	cmos_write(REGISTER_B, cmos_read(REGISTER_B) | PERIODIC_ENABLE);
	if (!(cmos_read(REGISTER_B) & PERIODIC_ENABLE))
		die(EXIT_BROKEN, "the real-time clock does not tick");
	return 0;
}
