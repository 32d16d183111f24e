/* SPDX-License-Identifier: GPL-2.0 */
/* SHA-256 (FIPS 180-4) of a block of memory, so that the loader needs no crypto library. */
#ifndef SCHEDCP_SHA256_H
#define SCHEDCP_SHA256_H

#include <stddef.h>

enum { SHA256_HEX_LEN = 64 };

/* Write the digest of `size` bytes at `data` to `hex` as 64 lower-case digits and a zero byte. */
void sha256_hex(const void *data, size_t size, char hex[SHA256_HEX_LEN + 1]);

#endif
