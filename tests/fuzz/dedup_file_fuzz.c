/* A file of ids of a dedup window.  Each input is tried as it is, and once more with its magic,
 * version, count and checksum put right, or the fuzzer would never get beyond them.  What is taken
 * for good can be searched: each id is found where it is. */
#include "base/check.h"
#include "base/errors.h"
#include "storage/dedup_file.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { HEADER_BYTES = 88, AT_COUNT = 32, AT_CHECKSUM = 80 };

static void check_good(const struct dedup_file_head *head, const struct dedup_entry *entries)
{
	struct dedup_filter filter;

	check(dedup_filter_new(&filter, entries, head->count) == 0);
	for (uint64_t i = 0; i < head->count; i++) {
		check(entries[i].offset >= head->from);
		check(entries[i].offset < head->to);
		check(dedup_filter_may_have(&filter, &entries[i].id));
	}
	dedup_filter_free(&filter);
}

static void try(const uint8_t *data, size_t size)
{
	const struct dedup_entry *entries;
	struct dedup_file_head head;
	int rc = dedup_file_parse(data, size, &head, &entries);

	check(rc == 0 || rc == -ERR_CORRUPT || rc == -ERR_FORMAT);
	if (rc == 0)
		check_good(&head, entries);
}

static void repair(uint8_t *data, size_t size)
{
	uint64_t count = (size - HEADER_BYTES) / sizeof(struct dedup_entry);
	uint32_t version = 1;

	memcpy(data, "SLUICEdw", 8);
	memcpy(data + 8, &version, sizeof(version));
	memcpy(data + AT_COUNT, &count, sizeof(count));
	uint64_t sum = XXH3_64bits_withSeed(data + HEADER_BYTES, count * sizeof(struct dedup_entry),
					    XXH3_64bits(data, AT_CHECKSUM));
	memcpy(data + AT_CHECKSUM, &sum, sizeof(sum));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Of its own size, so that a step beyond is seen; aligned, as a file is read. */
	uint8_t *copy = malloc(size + 1);

	check(copy != NULL);
	memcpy(copy, data, size);
	try(copy, size);
	if (size >= HEADER_BYTES) {
		repair(copy, size);
		try(copy, size);
	}
	free(copy);
	return 0;
}
