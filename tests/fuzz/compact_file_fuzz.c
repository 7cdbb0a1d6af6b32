/* How far a log is compacted.  Each input is tried as it is, and once more with its magic, version,
 * partition, topic and checksum put right.  What is taken for good is what stands there. */
#include "base/check.h"
#include "base/errors.h"
#include "storage/compact_file.h"
#include "storage/log.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { FILE_BYTES = 48, AT_PARTITION = 12, AT_TOPIC = 16, AT_CLEAN = 32, AT_CHECKSUM = 40 };

static const struct log_identity identity = {.topic_id = {{1, 2, 3}}, .partition = 7};

static int try(const uint8_t *data, size_t size)
{
	int64_t clean = -7;
	int64_t stands;
	int rc = compact_file_parse(data, size, &identity, &clean);

	check(rc == 0 || rc == -ERR_CORRUPT || rc == -ERR_FORMAT);
	if (rc < 0) {
		check(clean == -7);
		return rc;
	}
	check(size == FILE_BYTES);
	memcpy(&stands, data + AT_CLEAN, sizeof(stands));
	check(clean == stands);
	check(clean >= 0);
	return 0;
}

static void repair(uint8_t *data)
{
	uint32_t version = 1;

	memcpy(data, "SLUICEcp", 8);
	memcpy(data + 8, &version, sizeof(version));
	memcpy(data + AT_PARTITION, &identity.partition, sizeof(identity.partition));
	memcpy(data + AT_TOPIC, &identity.topic_id, sizeof(identity.topic_id));
	uint64_t sum = XXH3_64bits(data, AT_CHECKSUM);
	memcpy(data + AT_CHECKSUM, &sum, sizeof(sum));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Of its own size, so that a step beyond is seen. */
	uint8_t *copy = malloc(size + 1);

	check(copy != NULL);
	memcpy(copy, data, size);
	try(copy, size);
	if (size >= FILE_BYTES) {
		repair(copy);
		/* Only an offset below 0 is wrong now, or its length. */
		check(try(copy, size) == 0 || size != FILE_BYTES || (copy[AT_CLEAN + 7] & 0x80));
	}
	free(copy);
	return 0;
}
