// SPDX-License-Identifier: GPL-2.0
/* Read the object once, digest those very bytes, and open them. */
#include "loader.h"
#include "sha256.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OBJECT_MAX_BYTES = 64 << 20, REASON_MAX = 128 };

static bool read_all(int fd, char *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = read(fd, data + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

bool object_file_read(struct object_file *file, const char *path, struct failure *failure)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	bool complete = false;

	if (fd < 0 || fstat(fd, &status)) {
		fail(failure, OUTCOME_OBJECT_INVALID, "cannot open %s: %s", path, strerror(errno));
	} else if (!S_ISREG(status.st_mode) || !status.st_size ||
		   status.st_size > OBJECT_MAX_BYTES) {
		fail(failure, OUTCOME_OBJECT_INVALID,
		     "%s is not a regular file of 1 byte to %d MiB: give the object that was built",
		     path, OBJECT_MAX_BYTES >> 20);
	} else {
		file->size = (size_t)status.st_size;
		file->data = malloc(file->size);
		complete = file->data && read_all(fd, file->data, file->size);
		if (complete)
			sha256_hex(file->data, file->size, file->digest);
		else
			fail(failure, OUTCOME_OBJECT_INVALID,
			     "cannot read all of %s: fetch it again", path);
	}
	if (fd >= 0)
		close(fd);
	return complete;
}

struct bpf_object *object_open(const struct object_file *file, struct failure *failure)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "schedcp");
	char reason[REASON_MAX];
	struct bpf_object *object = bpf_object__open_mem(file->data, file->size, &options);

	if (!object) {
		libbpf_strerror(errno, reason, sizeof(reason));
		fail(failure, OUTCOME_OBJECT_INVALID,
		     "libbpf cannot open the object (%s): it must be ELF for BPF with BTF", reason);
	}
	return object;
}
