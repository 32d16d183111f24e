/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Events on standard output: one JSON object a line, written so that a reader that hangs can
 * never hold the loader up. A line that cannot be handed over in time is dropped whole or ends
 * the output for good; the scheduler's fate never depends on it.
 */
#ifndef SCHEDCP_JSON_H
#define SCHEDCP_JSON_H

#include <stdbool.h>
#include <stddef.h>

enum { JSON_LINE_MAX = 131072 };

struct json {
	size_t used;
	bool first;
	bool broken; /* half a line is out: nothing more can be said */
	char text[JSON_LINE_MAX];
};

/* Start {"event":NAME}; the buffer is the caller's and is used again for each event. */
void json_begin(struct json *json, const char *event);
void json_string(struct json *json, const char *key, const char *value);
void json_integer(struct json *json, const char *key, long long value);
void json_unsigned(struct json *json, const char *key, unsigned long long value);
/* Open and close a member that is an object or, with json_array, a list of objects. */
void json_object(struct json *json, const char *key);
void json_object_end(struct json *json);
void json_array(struct json *json, const char *key);
void json_array_end(struct json *json);

/* Make standard output non-blocking. Call it once, before the first event. */
void json_output_prepare(void);
/*
 * Finish the line and write it. `must_arrive` waits up to a second for a slow reader; otherwise
 * the line is dropped when the pipe is full. Returns false when it was not written.
 */
bool json_send(struct json *json, bool must_arrive);

#endif
