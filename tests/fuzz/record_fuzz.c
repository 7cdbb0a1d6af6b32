/* A line of JSON that `sluice produce --input jsonl` makes a record of. */
#include "base/check.h"
#include "client/command/record_json.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

/* Reads all of it, for the sanitizers to see. */
static void touch(const void *bytes, size_t length)
{
	volatile uint8_t seen;

	for (size_t i = 0; i < length; i++)
		seen = ((const uint8_t *)bytes)[i];
	(void)seen;
}

static void check_record(const struct sluice_record *record)
{
	check(record->partition >= SLUICE_PARTITION_ANY);
	check(record->timestamp_ms >= 0);
	check(record->value || record->value_length == 0);
	touch(record->key, record->key_length);
	touch(record->value, record->value_length);
	for (size_t i = 0; i < record->header_count; i++) {
		check(record->headers[i].name);
		touch(record->headers[i].name, record->headers[i].name_length);
		touch(record->headers[i].value, record->headers[i].value_length);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[RECORD_JSON_WHY_BYTES] = "";
	struct record_json told;
	int rc = record_json_parse(&told, (const char *)data, size, why);

	check(rc == 0 || rc == -EINVAL);
	if (rc < 0) {
		check(why[0] && strlen(why) < sizeof(why));
		return 0;
	}
	check_record(&told.record);
	record_json_free(&told);
	return 0;
}
