/* dataplane/kafka/kafka.h: what holds for every message: the table of APIs, headers, frames.
 *
 * Include the generated kafka_messages.h, which includes this.  Pure bytes: no I/O, any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"
#include "dataplane/kafka/wire.h"

struct arena;

enum kafka_where { KAFKA_ON_SHARD, KAFKA_ON_CONTROL, KAFKA_ON_COORDINATOR };

struct kafka_api {
	int16_t key;
	uint16_t index; /* in kafka_apis */
	const char *name;
	int16_t min_version; /* served */
	int16_t max_version;
	int16_t advertised_min; /* below min_version only for Produce, see produce.msg */
	int16_t flexible_from;  /* first version with compact types and tagged fields */
	enum kafka_where where;
	size_t request_size; /* of the C struct */
	size_t response_size;
	void (*init_request)(void *message);
	void (*init_response)(void *message);
	void (*decode_request)(struct wire_reader *r, int16_t version, void *message);
	void (*decode_response)(struct wire_reader *r, int16_t version, void *message);
	void (*encode_request)(struct wire_writer *w, int16_t version, const void *message);
	void (*encode_response)(struct wire_writer *w, int16_t version, const void *message);
};

extern const struct kafka_api kafka_apis[]; /* by key, ascending */
extern const size_t kafka_api_count;
const struct kafka_api *kafka_api_find(int16_t key); /* null: not known */

/* A record of a topic that the broker keeps for itself, in Kafka's format: the key begins with the
 * type, the value with the version of its own format (both i16). */
struct kafka_record {
	int16_t type;
	const char *name;
	int16_t min_version; /* of values that are understood */
	int16_t max_version;
	int16_t write_version;
	size_t key_size; /* of the C struct */
	size_t value_size;
	void (*init_key)(void *key);
	void (*init_value)(void *value);
	void (*decode_key)(struct wire_reader *r, int16_t version, void *key);
	void (*decode_value)(struct wire_reader *r, int16_t version, void *value);
	void (*encode_key)(struct wire_writer *w, int16_t version, const void *key);
	void (*encode_value)(struct wire_writer *w, int16_t version, const void *value);
};

extern const struct kafka_record kafka_records[]; /* by type, ascending */
extern const size_t kafka_record_count;
const struct kafka_record *kafka_record_find(int16_t type); /* null: not known */

/* Views into `key` and `value`, arrays from the arena.  `value` null: a tombstone, *ret_value is
 * null.  -ERR_BAD_REQUEST: malformed; -ERR_VERSION: type or version not known; -ENOMEM. */
int kafka_decode_record(const void *key, size_t key_size, const void *value, size_t value_size,
			struct arena *arena, const struct kafka_record **ret_record, void **ret_key,
			void **ret_value);
/* In writer->vectors.  -ENOMEM. */
int kafka_encode_record_key(const struct kafka_record *record, const void *key, struct arena *arena,
			    struct wire_writer *writer);
int kafka_encode_record_value(const struct kafka_record *record, const void *value,
			      struct arena *arena, struct wire_writer *writer);

struct kafka_request_header {
	int16_t api_key;
	int16_t api_version;
	int32_t correlation_id;
	struct kafka_string client_id; /* any bytes, not always UTF-8 */
};

/* `frame` without its size.  *ret_request is arena memory whose views point into the frame.
 * Bytes after the message are tolerated (old clients pad).
 * -ERR_BAD_REQUEST: malformed; -ERR_VERSION: key or version not served, *ret_header is filled (but
 * for the client id) and *ret_api too where the key is known; -ENOMEM: the arena's limit. */
int kafka_decode_request(const void *frame, size_t length, struct arena *arena,
			 struct kafka_request_header *ret_header, const struct kafka_api **ret_api,
			 void **ret_request);
/* A whole frame, size included, in writer->vectors.  -ENOMEM, -ERR_TOO_LARGE. */
int kafka_encode_response(const struct kafka_api *api, int16_t version, int32_t correlation_id,
			  const void *response, struct arena *arena, struct wire_writer *writer);
/* The clients' directions. */
int kafka_encode_request(const struct kafka_api *api, int16_t version, int32_t correlation_id,
			 const char *client_id, const void *request, struct arena *arena,
			 struct wire_writer *writer);
int kafka_decode_response(const struct kafka_api *api, int16_t version, const void *frame,
			  size_t length, struct arena *arena, int32_t *ret_correlation_id,
			  void **ret_response);
