/* Records of the topics that the broker keeps for itself. */
#include "kafka_messages.h"

#include "base/arena.h"
#include "base/errors.h"

#include <errno.h>

enum { KEY_VERSION = 0 }; /* keys have one format a type */

const struct kafka_record *kafka_record_find(int16_t type)
{
	for (size_t i = 0; i < kafka_record_count; i++) {
		if (kafka_records[i].type == type)
			return &kafka_records[i];
	}
	return NULL;
}

static int decode_key(const struct kafka_record *record, struct wire_reader *r, void **ret)
{
	void *key = arena_calloc(r->arena, 1, record->key_size);

	if (!key)
		return -ENOMEM;
	record->decode_key(r, KEY_VERSION, key);
	*ret = key;
	return r->error;
}

static int decode_value(const struct kafka_record *record, struct wire_reader *r, void **ret)
{
	int16_t version = wire_get_i16(r);
	void *value = arena_calloc(r->arena, 1, record->value_size);

	if (!value)
		return -ENOMEM;
	if (!wire_ok(r))
		return r->error;
	if (version < record->min_version || version > record->max_version)
		return -ERR_VERSION;
	record->decode_value(r, version, value);
	*ret = value;
	return r->error;
}

int kafka_decode_record(const void *key, size_t key_size, const void *value, size_t value_size,
			struct arena *arena, const struct kafka_record **ret_record, void **ret_key,
			void **ret_value)
{
	struct wire_reader keys = wire_reader_over(key, key_size, arena);
	struct wire_reader values = wire_reader_over(value, value_size, arena);
	int16_t type = wire_get_i16(&keys);

	if (!wire_ok(&keys))
		return keys.error;
	const struct kafka_record *record = kafka_record_find(type);
	if (!record)
		return -ERR_VERSION;
	*ret_record = record;
	*ret_value = NULL;
	int rc = decode_key(record, &keys, ret_key);
	if (rc == 0 && value)
		rc = decode_value(record, &values, ret_value);
	return rc;
}

int kafka_encode_record_key(const struct kafka_record *record, const void *key, struct arena *arena,
			    struct wire_writer *writer)
{
	wire_writer_init(writer, arena);
	wire_put_i16(writer, record->type);
	record->encode_key(writer, KEY_VERSION, key);
	return wire_finish(writer);
}

int kafka_encode_record_value(const struct kafka_record *record, const void *value,
			      struct arena *arena, struct wire_writer *writer)
{
	wire_writer_init(writer, arena);
	wire_put_i16(writer, record->write_version);
	record->encode_value(writer, record->write_version, value);
	return wire_finish(writer);
}
