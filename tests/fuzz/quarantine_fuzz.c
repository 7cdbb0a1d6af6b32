/* The files of what a log has lost and of how far its scrub is: a byte that chooses, then the text.
 * It is tried as it is, and with its checksum put right.  What is accepted is written the same; its
 * ranges are in order, bar nobody who is outside of them, and take up more as ever. */
#include "base/check.h"
#include "base/errors.h"
#include "storage/quarantine.h"
#include "storage/scrub.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static void check_order(const struct quarantine *q)
{
	for (size_t i = 0; i < q->count; i++) {
		const struct damage *range = &q->ranges[i];
		check(range->from < range->to);
		check(range->committed_from <= range->from);
		check(i == 0 || range->from >= q->ranges[i - 1].to);
		check(quarantine_limit(q, range->from, false) <= range->from);
		check(quarantine_limit(q, range->to - 1, true) < range->to);
		check(quarantine_limit(q, range->to, false) >= range->to);
	}
}

static void check_written_the_same(const struct quarantine *q, const char *text, size_t length)
{
	char *written = malloc(QUARANTINE_FILE_BYTES);

	check(written);
	check(quarantine_format(q, written) == length);
	check(memcmp(written, text, length) == 0);
	free(written);
}

/* A range that may meet any of those that there are. */
static void take_one_more(struct quarantine *q, uint8_t choice)
{
	struct damage more = {.from = choice, .to = 2 * choice + 1, .committed_from = choice / 2};

	if (q->count) {
		more.from = q->ranges[choice % q->count].from / 2;
		more.to = q->ranges[choice % q->count].to;
		more.committed_from = more.from;
		more.segment = q->ranges[0].segment;
	}
	check(quarantine_add(q, &more) >= 0);
	check_order(q);
	check(quarantine_limit(q, more.from, false) <= more.from);
	quarantine_trim(q, more.to);
	check(quarantine_limit(q, more.to - 1, false) >= more.to);
}

static void try_progress(const char *text, size_t length)
{
	struct scrub_progress progress = {-1, -1, -1};
	char written[SCRUB_FILE_BYTES];
	int rc = scrub_parse(&progress, text, length);

	check(rc == 0 || rc == -ERR_CORRUPT);
	check(rc == 0 || progress.begun_ms == -1);
	check(rc < 0 || scrub_format(&progress, written) == length);
	check(rc < 0 || memcmp(written, text, length) == 0);
}

static void try_text(const char *text, size_t length, uint8_t choice)
{
	struct quarantine q = {0};
	int rc = quarantine_parse(&q, text, length);

	check(rc == 0 || rc == -ERR_CORRUPT || rc == -ERR_FORMAT || rc == -ENOMEM);
	check(rc == 0 || !q.count);
	if (rc == 0) {
		check(q.count <= QUARANTINE_RANGES_MAX);
		check_order(&q);
		check_written_the_same(&q, text, length);
		take_one_more(&q, choice);
	}
	quarantine_fini(&q);
	try_progress(text, length);
}

/* No fuzzer finds a checksum. */
static void try_repaired(const char *text, size_t length, uint8_t choice)
{
	char *repaired = malloc(length + 32);

	check(repaired);
	memcpy(repaired, text, length);
	repaired[length] = '\0';
	char *sum = strstr(repaired, "\nsum ");
	size_t head = sum ? (size_t)(sum + 1 - repaired) : length;
	int more = snprintf(repaired + head, 32, "sum %016llx\n",
			    (unsigned long long)XXH3_64bits(repaired, head));
	try_text(repaired, head + (size_t)more, choice);
	free(repaired);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	try_text((const char *)data + 1, size - 1, data[0]);
	try_repaired((const char *)data + 1, size - 1, data[0]);
	return 0;
}
