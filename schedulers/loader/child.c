// SPDX-License-Identifier: GPL-2.0
/*
 * A program that loads its scheduler by itself, held as an object's link would be: it is started
 * from the very bytes that were digested, dies with this process, and is ended by it.
 */
#include "loader.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

enum { TERM_MS = 5000, TIMEOUT_TEXT_MAX = 32 };

/* What kept a program from being started, and whether its exec was reached. */
struct start_error {
	int number; /* an errno; 0: none */
	bool of_exec;
};

static const char no_copy[] = "the program cannot be copied into memory to be run: %s";
static const char no_start[] = "the program cannot be started: %s";

static bool write_all(int fd, const char *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, data + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* A copy that nobody can change any more: a file of that name could be another by now. */
static int sealed_copy(const struct object_file *file)
{
	int fd = (int)syscall(SYS_memfd_create, "scheduler",
			      MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

	if (fd < 0)
		return -1;
	if (write_all(fd, file->data, file->size) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return fd;
	close(fd);
	return -1;
}

/* Never returns. The program is as ordinary as it was when it was proven. */
static void become_program(const struct options *options, pid_t parent, int program, int told)
{
	struct sched_param ordinary = {};
	char timeout[TIMEOUT_TEXT_MAX];
	char *environment[] = {"PATH=/usr/bin:/bin", "LC_ALL=C",
			       options->timeout_ms ? timeout : NULL, NULL};
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct start_error error = {};
	sigset_t none;

	snprintf(timeout, sizeof(timeout), "SCX_TIMEOUT_MS=%u", options->timeout_ms);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(OUTCOME_PARENT_GONE);
	/* Events alone go to standard output; what the program says goes where complaints go. */
	error.of_exec = nothing >= 0 && dup2(nothing, STDIN_FILENO) >= 0 &&
			dup2(STDERR_FILENO, STDOUT_FILENO) >= 0 &&
			!sched_setscheduler(0, SCHED_OTHER, &ordinary);
	if (error.of_exec)
		fexecve(program, options->words, environment);
	error.number = errno;
	if (!write_all(told, (const char *)&error, sizeof(error)))
		_exit(OUTCOME_INTERNAL);
	_exit(OUTCOME_ATTACH_FAILED);
}

/* What the child says through a pipe that its exec closes: nothing, or why there was no exec. */
static struct start_error error_heard(int heard)
{
	struct start_error error = {};
	ssize_t n;

	do
		n = read(heard, &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	return n == sizeof(error) ? error : (struct start_error){};
}

/* Only what lies in the program itself is its fault; all else may be otherwise the next time. */
static enum outcome start_outcome(const struct start_error *error)
{
	bool refused = error->number == ENOEXEC || error->number == EACCES ||
		       error->number == ENOENT || error->number == EPERM;

	return error->of_exec && refused ? OUTCOME_OBJECT_INVALID : OUTCOME_INTERNAL;
}

bool child_start(struct holding *holding, const struct object_file *file, struct failure *failure)
{
	int program = sealed_copy(file), pipe_fds[2];
	struct start_error error = {};
	pid_t parent = getpid();

	if (program < 0)
		return fail(failure, OUTCOME_INTERNAL, no_copy, strerror(errno));
	if (pipe2(pipe_fds, O_CLOEXEC)) {
		close(program);
		return fail(failure, OUTCOME_INTERNAL, no_start, strerror(errno));
	}
	holding->child = fork();
	if (!holding->child)
		become_program(holding->options, parent, program, pipe_fds[1]);
	error.number = holding->child < 0 ? errno : 0;
	close(pipe_fds[1]);
	close(program);
	if (holding->child > 0)
		error = error_heard(pipe_fds[0]);
	close(pipe_fds[0]);
	if (holding->child > 0 && !error.number) {
		holding->child_fd = (int)syscall(SYS_pidfd_open, holding->child, 0);
		error.number = holding->child_fd < 0 ? errno : 0;
	}
	if (!error.number)
		return true;
	child_end(holding);
	return fail(failure, start_outcome(&error), no_start, strerror(error.number));
}

/*
 * A scheduler that starves its own program keeps it from dying, too: lift it. Ask first, because
 * programs put back what they have set beside their scheduler.
 */
void child_end(struct holding *holding)
{
	struct pollfd ended = {.fd = holding->child_fd, .events = POLLIN};
	int status = 0;

	if (holding->child <= 0)
		return;
	if (holding->options->rt_priority)
		process_schedule(holding->child, SCHED_FIFO, holding->options->rt_priority);
	kill(-holding->child, SIGTERM);
	if (holding->child_fd >= 0)
		poll(&ended, 1, TERM_MS);
	kill(-holding->child, SIGKILL);
	while (waitpid(holding->child, &status, 0) < 0 && errno == EINTR)
		;
	if (holding->child_fd >= 0)
		close(holding->child_fd);
	snprintf(holding->child_said, sizeof(holding->child_said),
		 WIFSIGNALED(status) ? "was ended by signal %d" : "ended with status %d",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	holding->child = 0;
	holding->child_fd = -1;
}
