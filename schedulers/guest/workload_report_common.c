// SPDX-License-Identifier: GPL-2.0
/* Sum a group's workers up: exact order statistics over all samples that were kept. */
#include "workload.h"
#include "guest_common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PER_MILLE = 1000 };

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Nearest rank: the smallest sample that at least `per_mille` of all samples do not exceed. */
static uint64_t quantile(const uint64_t *sorted, size_t count, unsigned int per_mille)
{
	size_t rank = (count * per_mille + PER_MILLE - 1) / PER_MILLE;

	return sorted[rank ? rank - 1 : 0];
}

static void quantiles_print(const char *name, uint64_t *samples, size_t count)
{
	qsort(samples, count, sizeof(*samples), compare);
	printf(",\"%sP50Ns\":%llu,\"%sP99Ns\":%llu,\"%sP999Ns\":%llu,\"%sMaxNs\":%llu", name,
	       (unsigned long long)quantile(samples, count, 500), name,
	       (unsigned long long)quantile(samples, count, 990), name,
	       (unsigned long long)quantile(samples, count, 999), name,
	       (unsigned long long)samples[count - 1]);
}

static size_t kept(const struct worker *worker)
{
	return worker->samples_seen < SAMPLES_MAX ? worker->samples_seen : SAMPLES_MAX;
}

static void samples_print(const struct group *group, const struct worker *workers, size_t count)
{
	uint64_t *lateness = calloc(count, sizeof(*lateness));
	uint64_t *response = calloc(count, sizeof(*response));
	size_t used = 0;

	if (!lateness || !response)
		die(EXIT_BROKEN, "out of memory for %zu samples", count);
	for (unsigned int i = 0; i < group->threads; i++) {
		size_t n = kept(workers + i);

		memcpy(lateness + used, workers[i].lateness_ns, n * sizeof(*lateness));
		memcpy(response + used, workers[i].response_ns, n * sizeof(*response));
		used += n;
		if (workers[i].open_response_ns) {
			lateness[used] = workers[i].open_lateness_ns;
			response[used++] = workers[i].open_response_ns;
		}
	}
	quantiles_print("wakeup", lateness, used);
	quantiles_print("response", response, used);
	free(lateness);
	free(response);
}

void group_report(const struct group *group, const struct worker *workers, uint64_t started_ns)
{
	uint64_t cpu_ns = 0, wakeups = 0, makespan_ns = 0, finished = 0, turnaround_ns = 0;
	uint64_t longest_ns = 0;
	size_t samples = 0, open = 0;

	for (unsigned int i = 0; i < group->threads; i++) {
		const struct worker *worker = workers + i;

		uint64_t used_ns = worker->cpu_end_ns - worker->cpu_begin_ns;

		cpu_ns += used_ns;
		if (used_ns > longest_ns)
			longest_ns = used_ns;
		wakeups += worker->samples_seen;
		samples += kept(worker);
		open += worker->open_response_ns > 0;
		if (!worker->finished_ns)
			continue;
		finished++;
		turnaround_ns += worker->finished_ns - worker->began_ns;
		if (worker->finished_ns - started_ns > makespan_ns)
			makespan_ns = worker->finished_ns - started_ns;
	}
	printf("{\"group\":\"%s\",\"threads\":%u,\"cpuTimeNs\":%llu,\"finished\":%llu", group->name,
	       group->threads, (unsigned long long)cpu_ns, (unsigned long long)finished);
	printf(",\"longestNs\":%llu", (unsigned long long)longest_ns);
	if (group->total_cpu_ns && finished == group->threads)
		printf(",\"makespanNs\":%llu,\"turnaroundMeanNs\":%llu",
		       (unsigned long long)makespan_ns,
		       (unsigned long long)(turnaround_ns / finished));
	printf(",\"wakeups\":%llu,\"samplesDropped\":%llu", (unsigned long long)wakeups,
	       (unsigned long long)(wakeups - samples));
	if (samples + open)
		samples_print(group, workers, samples + open);
	printf("}\n");
}
