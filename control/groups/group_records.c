#include "control/groups/group_records.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/errors.h"
#include "control/state_log.h"
#include "storage/records.h"

#include <errno.h>

int group_record_decode(const struct record *record, int64_t timestamp_ms, struct arena *arena,
			struct group_record *ret)
{
	const struct kafka_record *kind;
	void *key, *value;
	int rc = kafka_decode_record(record->key, record->key ? record->key_length : 0,
				     record->value, record->value_length, arena, &kind, &key,
				     &value);

	if (rc < 0)
		return rc == -ERR_VERSION       ? -ERR_FORMAT
		       : rc == -ERR_BAD_REQUEST ? -ERR_CORRUPT
						: rc;
	*ret = (struct group_record){
		.type = (enum kafka_record_type)kind->type,
		.timestamp_ms = timestamp_ms,
		.key = key,
		.value = value,
	};
	return 0;
}

/* What the writer holds, in one piece. */
static int flatten(struct wire_writer *writer, struct arena *arena, const void **ret,
		   size_t *ret_size)
{
	uint8_t *bytes = arena_alloc(arena, writer->bytes);

	if (!bytes)
		return -ENOMEM;
	*ret = bytes;
	*ret_size = writer->bytes;
	for (size_t i = 0; i < writer->vector_count; i++) {
		memcpy(bytes, writer->vectors[i].iov_base, writer->vectors[i].iov_len);
		bytes += writer->vectors[i].iov_len;
	}
	return 0;
}

int group_record_append(struct state_log *log, int32_t partition, struct arena *scratch,
			const struct group_record *record)
{
	const struct kafka_record *kind = kafka_record_find((int16_t)record->type);
	const void *key = NULL, *value = NULL;
	size_t key_size = 0, value_size = 0;
	struct wire_writer writer;

	check(kind);
	arena_reset(scratch);
	int rc = kafka_encode_record_key(kind, record->key, scratch, &writer);
	if (rc == 0)
		rc = flatten(&writer, scratch, &key, &key_size);
	if (rc == 0 && record->value) {
		rc = kafka_encode_record_value(kind, record->value, scratch, &writer);
		if (rc == 0)
			rc = flatten(&writer, scratch, &value, &value_size);
	}
	if (rc < 0)
		return rc;
	return log->ops->append(log, partition, key, key_size, value, value_size,
				record->timestamp_ms);
}
