/* client/command/record_json.h: a record as an object of JSON, as `consume -o jsonl` prints and
 * `produce --input jsonl` takes it:
 *
 *   {"topic": "t", "partition": 0, "offset": 17, "timestamp": 1767225600000, "key": null,
 *    "value": "text", "headers": [{"name": "n", "value": "text"}]}
 *
 * Bytes that are no UTF-8 are NAME_base64 instead of key, value and name.  Where a record comes
 * from (topic, offset) is read over; partition, timestamp, key and headers may be left out. */
#pragma once
#include <jansson.h>
#include <stdbool.h>

#include "client/sluice.h"

json_t *record_json_of(const struct sluice_message *message);

enum { RECORD_JSON_WHY_BYTES = 256 };

struct record_json {
	/* Views into what is below.  No partition: SLUICE_PARTITION_ANY; no timestamp: 0; no topic.
	 */
	struct sluice_record record;
	bool has_key;
	bool has_headers;
	json_t *document;
	struct sluice_header *headers;
	void **decoded; /* memory of what was base64 */
	size_t decoded_count;
};

/* -EINVAL: `why` is the sentence; -ENOMEM. */
int record_json_parse(struct record_json *ret, const char *line, size_t length,
		      char why[static RECORD_JSON_WHY_BYTES]);
void record_json_free(struct record_json *record); /* one of all zeros is fine */
