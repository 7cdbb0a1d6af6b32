#include "client/builder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/compressor.h"
#include "client/sluice.h"
#include "storage/batch.h"
#include "storage/records.h"

static size_t headers_bytes(const struct sluice_record *record)
{
	size_t bytes = 0;

	for (size_t i = 0; i < record->header_count; i++) {
		const struct sluice_header *header = &record->headers[i];
		bytes += batch_varint_bytes((int64_t)header->name_length) + header->name_length +
			 batch_bytes_bytes(header->value, header->value_length);
	}
	return bytes;
}

static void put_headers(uint8_t *at, const struct sluice_record *record)
{
	for (size_t i = 0; i < record->header_count; i++) {
		const struct sluice_header *header = &record->headers[i];
		at = batch_put_varint(at, (int64_t)header->name_length);
		memcpy(at, header->name, header->name_length);
		at = batch_put_bytes(at + header->name_length, header->value, header->value_length);
	}
}

static struct record format_record(const struct sluice_record *record)
{
	return (struct record){
		.key = record->key,
		.key_length = record->key_length,
		.value = record->value,
		.value_length = record->value_length,
		.header_count = (int32_t)record->header_count,
		.headers_length = headers_bytes(record),
	};
}

size_t builder_record_bytes(const struct sluice_record *record)
{
	struct record format = format_record(record);

	return batch_build_record_bytes(&format);
}

int builder_add(struct batch_build *build, const struct sluice_record *record, int64_t timestamp_ms)
{
	struct record format = format_record(record);
	uint8_t *headers;
	int rc = batch_build_add(build, &format, timestamp_ms, &headers);

	if (rc == 0)
		put_headers(headers, record);
	return rc;
}

int builder_compress(struct batch_build *build, struct compressor *compressor, unsigned codec)
{
	size_t length = build->size - BATCH_HEADER_BYTES;
	size_t room = compressor_bound(compressor, length);
	uint8_t *data = malloc(BATCH_HEADER_BYTES + room);

	if (!data)
		return -ENOMEM;
	int64_t made = compressor_run(compressor, build->data + BATCH_HEADER_BYTES, length,
				      data + BATCH_HEADER_BYTES, room);
	if (made < 0 || (size_t)made >= length) {
		free(data);
		return made < 0 ? (int)made : 0;
	}
	free(build->data);
	build->data = data;
	build->capacity = BATCH_HEADER_BYTES + room;
	build->size = BATCH_HEADER_BYTES + (size_t)made;
	build->attributes = (uint16_t)codec;
	return 0;
}
