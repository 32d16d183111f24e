// SPDX-License-Identifier: GPL-2.0
#include "json.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	CLOSING_RESERVE = 64, /* room that is kept for the brackets that end a line */
	SLOW_READER_MS = 1000,
};

static void append(struct json *json, const char *format, ...)
{
	size_t room = sizeof(json->text) - json->used;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(json->text + json->used, room, format, args);
	va_end(args);
	if (n > 0)
		json->used += (size_t)n < room ? (size_t)n : room - 1;
}

/* Kernel text may hold anything: what is not printable ASCII is escaped byte by byte. */
static void append_escaped(struct json *json, const char *text)
{
	append(json, "\"");
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (json->used + CLOSING_RESERVE > sizeof(json->text))
			break;
		if (*c == '"' || *c == '\\')
			append(json, "\\%c", *c);
		else if (*c < 0x20 || *c >= 0x7f)
			append(json, "\\u%04x", *c);
		else
			append(json, "%c", *c);
	}
	append(json, "\"");
}

static void append_key(struct json *json, const char *key)
{
	if (!json->first)
		append(json, ",");
	json->first = false;
	if (key) {
		append_escaped(json, key);
		append(json, ":");
	}
}

void json_begin(struct json *json, const char *event)
{
	json->used = 0;
	json->first = true;
	append(json, "{");
	json_string(json, "event", event);
}

void json_string(struct json *json, const char *key, const char *value)
{
	append_key(json, key);
	append_escaped(json, value);
}

void json_integer(struct json *json, const char *key, long long value)
{
	append_key(json, key);
	append(json, "%lld", value);
}

void json_unsigned(struct json *json, const char *key, unsigned long long value)
{
	append_key(json, key);
	append(json, "%llu", value);
}

void json_object(struct json *json, const char *key)
{
	append_key(json, key);
	append(json, "{");
	json->first = true;
}

void json_object_end(struct json *json)
{
	append(json, "}");
	json->first = false;
}

void json_array(struct json *json, const char *key)
{
	append_key(json, key);
	append(json, "[");
	json->first = true;
}

void json_array_end(struct json *json)
{
	append(json, "]");
	json->first = false;
}

void json_output_prepare(void)
{
	int flags = fcntl(STDOUT_FILENO, F_GETFL);

	if (flags >= 0)
		fcntl(STDOUT_FILENO, F_SETFL, flags | O_NONBLOCK);
}

static long long monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

bool json_send(struct json *json, bool must_arrive)
{
	long long deadline = monotonic_ms() + SLOW_READER_MS;
	size_t sent = 0;

	if (json->broken)
		return false;
	append(json, "}\n");
	while (sent < json->used) {
		ssize_t n = write(STDOUT_FILENO, json->text + sent, json->used - sent);
		struct pollfd writable = {.fd = STDOUT_FILENO, .events = POLLOUT};
		long long left = deadline - monotonic_ms();

		if (n > 0)
			sent += (size_t)n;
		else if (n < 0 && errno != EAGAIN && errno != EINTR)
			break;
		/* Half a line must be finished, or the next one could not be read. */
		else if ((!must_arrive && !sent) || left <= 0)
			break;
		else
			poll(&writable, 1, (int)left);
	}
	json->broken = sent > 0 && sent < json->used;
	return sent == json->used;
}
