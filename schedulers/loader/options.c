// SPDX-License-Identifier: GPL-2.0
/* The command line, and the table of outcomes that is both --help and the exit-code contract. */
#include "loader.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The kernel accepts no longer watchdog time-out (SCX_WATCHDOG_MAX_TIMEOUT). */
enum { TIMEOUT_MAX_MS = 30000, RT_PRIORITY_MAX = 99 };

struct outcome_row {
	enum outcome outcome;
	const char *name;
	const char *meaning;
};

static const struct outcome_row outcomes[] = {
	{OUTCOME_DETACHED, "Detached", "ended by SIGTERM or SIGINT"},
	{OUTCOME_INTERNAL, "Internal", "the loader itself failed"},
	{OUTCOME_DIGEST_MISMATCH, "DigestMismatch", "the object is not the one that was approved"},
	{OUTCOME_OBJECT_INVALID, "ObjectInvalid", "unreadable, or not a BPF object"},
	{OUTCOME_PROGRAM_REFUSED, "ProgramRefused", "a program that is not struct_ops"},
	{OUTCOME_MAP_REFUSED, "MapRefused", "a map type that no scheduler needs, or a pinned map"},
	{OUTCOME_STRUCT_OPS_REFUSED, "StructOpsRefused", "not exactly one linked sched_ext table"},
	{OUTCOME_KNOB_REFUSED, "KnobRefused", "unknown knob, or a value that does not fit"},
	{OUTCOME_FOREIGN_SCHEDULER, "ForeignScheduler", "another scheduler is attached"},
	{OUTCOME_LOAD_FAILED, "LoadFailed", "the kernel refused the programs or maps"},
	{OUTCOME_ATTACH_FAILED, "AttachFailed", "the kernel refused to enable the scheduler"},
	{OUTCOME_UNSUPPORTED, "Unsupported", "this kernel has no sched_ext"},
	{OUTCOME_EJECTED, "Ejected", "the kernel ended the scheduler"},
	{OUTCOME_RESTART_REQUESTED, "RestartRequested",
	 "the kernel ended it and asks for a restart"},
	{OUTCOME_LEASE_EXPIRED, "LeaseExpired", "nothing arrived on standard input in time"},
	{OUTCOME_PARENT_GONE, "ParentGone", "standard input was closed"},
	{OUTCOME_PROGRAM_ENDED, "ProgramEnded", "the program ended by itself"},
	{OUTCOME_USAGE, "Usage", "wrong command line"},
};

static const struct option long_options[] = {
	{"object", required_argument, NULL, 'o'},
	{"program", required_argument, NULL, 'p'},
	{"ops", required_argument, NULL, 'n'},
	{"digest", required_argument, NULL, 'd'},
	{"knob", required_argument, NULL, 'k'},
	{"timeout-ms", required_argument, NULL, 't'},
	{"lease-ms", required_argument, NULL, 'l'},
	{"rt-priority", required_argument, NULL, 'r'},
	{"expected-file", required_argument, NULL, 'e'},
	{"target-cgroups-file", required_argument, NULL, 'c'},
	{"help", no_argument, NULL, 'h'},
	{},
};

static const char help_text[] =
	"usage: schedcp-loader --object FILE --digest sha256:HEX --lease-ms N [OPTION]...\n"
	"       schedcp-loader --program FILE --ops NAME --digest sha256:HEX --lease-ms N\n"
	"                      [OPTION]... [-- WORD...]\n"
	"\n"
	"Attach one verified sched_ext scheduler and hold its only link. Nothing is pinned: when\n"
	"this process ends, for whatever reason, the kernel's own scheduler is back. Events go to\n"
	"standard output as JSON lines: opened, loaded, attached, stats, warning, exit, error,\n"
	"detached.\n"
	"\n"
	"A program that loads its scheduler by itself is run with the words behind --, as an\n"
	"ordinary task in a process group of its own; it dies with this process.\n"
	"\n"
	"  --object FILE               the BPF object\n"
	"  --program FILE              in its place: the program\n"
	"  --ops NAME                  what the program's scheduler must call itself\n"
	"  --digest sha256:HEX         what FILE must be; anything else is refused\n"
	"  --lease-ms N                detach unless something arrives on standard input every N "
	"ms,\n"
	"                              or when it is closed; 0 holds until a signal\n"
	"  --knob NAME=VALUE           set a global of .rodata; may be repeated\n"
	"  --timeout-ms N              the kernel watchdog's time-out, at most 30000\n"
	"  --rt-priority N             run as SCHED_FIFO at this priority, when allowed; so does "
	"the\n"
	"                              parent while a third of its lease passes unrenewed\n"
	"  --expected-file FILE        lines `CGROUP_ID NANOSECONDS` for the map expected_runtime\n"
	"  --target-cgroups-file FILE  lines `CGROUP_ID` for the map target_cgroups\n"
	"                              (a file whose map the scheduler lacks is not read)\n"
	"\n"
	"SIGTERM and SIGINT detach. SIGHUP reads the two files again.\n"
	"\n"
	"Exit codes:\n";

const char *outcome_name(enum outcome outcome)
{
	for (size_t i = 0; i < sizeof(outcomes) / sizeof(*outcomes); i++)
		if (outcomes[i].outcome == outcome)
			return outcomes[i].name;
	return "Unknown";
}

bool fail(struct failure *failure, enum outcome outcome, const char *format, ...)
{
	va_list args;

	failure->outcome = outcome;
	va_start(args, format);
	vsnprintf(failure->message, sizeof(failure->message), format, args);
	va_end(args);
	return false;
}

static void help_print(void)
{
	fputs(help_text, stdout);
	for (size_t i = 0; i < sizeof(outcomes) / sizeof(*outcomes); i++)
		printf("  %2d  %-17s %s\n", outcomes[i].outcome, outcomes[i].name,
		       outcomes[i].meaning);
}

static bool number_parse(const char *name, const char *text, unsigned long maximum,
			 unsigned long *value, struct failure *failure)
{
	char *end;

	errno = 0;
	*value = strtoul(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || *value > maximum)
		return fail(failure, OUTCOME_USAGE,
			    "--%s '%s' is not a whole number from 0 to %lu: correct it", name, text,
			    maximum);
	return true;
}

static bool digest_parse(struct options *options, const char *text, struct failure *failure)
{
	static const char prefix[] = "sha256:";
	const char *hex = text + sizeof(prefix) - 1;

	if (strncmp(text, prefix, sizeof(prefix) - 1) || strlen(hex) != 64 ||
	    strspn(hex, "0123456789abcdef") != 64)
		return fail(failure, OUTCOME_USAGE,
			    "--digest '%s' is not sha256: and 64 lower-case hex digits", text);
	options->digest = hex;
	return true;
}

static bool option_apply(struct options *options, int letter, const char *value,
			 struct failure *failure)
{
	unsigned long number;

	switch (letter) {
	case 'o':
		options->object_path = value;
		return true;
	case 'p':
		options->program_path = value;
		return true;
	case 'n':
		options->ops = value;
		return true;
	case 'd':
		return digest_parse(options, value, failure);
	case 'k':
		if (options->knob_count == KNOBS_MAX)
			return fail(failure, OUTCOME_USAGE, "more than %d knobs", KNOBS_MAX);
		options->knobs[options->knob_count++] = value;
		return true;
	case 't':
		if (!number_parse("timeout-ms", value, TIMEOUT_MAX_MS, &number, failure))
			return false;
		options->timeout_ms = (uint32_t)number;
		return true;
	case 'l':
		if (!number_parse("lease-ms", value, INT_MAX, &number, failure))
			return false;
		options->lease_ms = (uint32_t)number;
		return true;
	case 'r':
		if (!number_parse("rt-priority", value, RT_PRIORITY_MAX, &number, failure))
			return false;
		options->rt_priority = (int)number;
		return true;
	case 'e':
		options->expected_file = value;
		return true;
	case 'c':
		options->target_cgroups_file = value;
		return true;
	case 'h':
		help_print();
		exit(OUTCOME_DETACHED);
	default:
		return fail(failure, OUTCOME_USAGE, "unknown option or missing value: see --help");
	}
}

/* The list of arguments that the program gets takes its own place in ours, its name in front. */
static bool program_options_check(struct options *options, int argc, char **argv,
				  struct failure *failure)
{
	if (!options->ops || options->knob_count)
		return fail(failure, OUTCOME_USAGE, "--program needs --ops, and has no knobs");
	if (optind < argc && strcmp(argv[optind - 1], "--"))
		return fail(failure, OUTCOME_USAGE, "unexpected argument '%s': see --help",
			    argv[optind]);
	options->words = argv + optind - 1;
	options->words[0] = (char *)options->program_path;
	return true;
}

bool options_parse(struct options *options, int argc, char **argv, struct failure *failure)
{
	bool lease_given = false;
	int letter;

	opterr = 0;
	while ((letter = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
		lease_given |= letter == 'l';
		if (!option_apply(options, letter, optarg, failure))
			return false;
	}
	if (!options->digest || !lease_given || !options->object_path == !options->program_path)
		return fail(failure, OUTCOME_USAGE,
			    "--object or --program, and --digest and --lease-ms are required: see "
			    "--help");
	if (options->program_path)
		return program_options_check(options, argc, argv, failure);
	if (optind < argc)
		return fail(failure, OUTCOME_USAGE, "unexpected argument '%s': see --help",
			    argv[optind]);
	return true;
}
