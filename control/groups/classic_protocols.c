/* What a member offers: assignors in order of preference, each with opaque metadata. */
#include "control/groups/classic_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "kafka_messages.h"

#include <assert.h>
#include <stdlib.h>

/* Copies one behind the other, `*at` moves on. */
static void put(struct classic_protocol *to, uint8_t **at, const struct kafka_string *name,
		const struct kafka_bytes *metadata)
{
	const size_t metadata_length = metadata->length > 0 ? (size_t)metadata->length : 0;

	*to = (struct classic_protocol){
		.name = {(const char *)*at, name->length},
		.metadata = {*at + name->length, (int32_t)metadata_length},
	};
	bytes_copy(*at, name->data, (size_t)name->length);
	*at += name->length;
	bytes_copy(*at, metadata->data, metadata_length);
	*at += metadata_length;
}

static size_t size_of(const struct kafka_string *name, const struct kafka_bytes *metadata)
{
	return sizeof(struct classic_protocol) + (size_t)name->length +
	       (metadata->length > 0 ? (size_t)metadata->length : 0);
}

static struct classic_protocols *new_protocols(int32_t count, size_t size)
{
	struct classic_protocols *protocols = malloc(sizeof(*protocols) + size);

	if (protocols)
		protocols->count = count;
	return protocols;
}

struct classic_protocols *classic_protocols_of(const struct classic_protocol *items, int32_t count)
{
	size_t size = 0;

	check(count > 0 && count <= CLASSIC_PROTOCOLS_MAX);
	for (int32_t i = 0; i < count; i++)
		size += size_of(&items[i].name, &items[i].metadata);
	struct classic_protocols *protocols = new_protocols(count, size);
	if (!protocols)
		return NULL;
	uint8_t *at = (uint8_t *)&protocols->items[count];
	for (int32_t i = 0; i < count; i++)
		put(&protocols->items[i], &at, &items[i].name, &items[i].metadata);
	return protocols;
}

struct classic_protocols *classic_protocols_copy(const struct kafka_join_group_request *request)
{
	static_assert(sizeof(*request->protocols) == sizeof(struct classic_protocol) &&
			      offsetof(struct classic_protocol, metadata) ==
				      offsetof(typeof(*request->protocols), metadata),
		      "one is read as the other");

	return classic_protocols_of((const void *)request->protocols, request->protocols_count);
}

struct classic_protocols *classic_protocols_one(const struct kafka_string *name,
						const struct kafka_bytes *metadata)
{
	const struct classic_protocol one = {*name, *metadata};

	return classic_protocols_of(&one, 1);
}

static bool bytes_equal(const struct kafka_bytes *a, const struct kafka_bytes *b)
{
	return a->length == b->length &&
	       bytes_compare(a->data, b->data, a->length > 0 ? (size_t)a->length : 0) == 0;
}

bool classic_protocols_equal(const struct classic_protocols *protocols,
			     const struct kafka_join_group_request *request)
{
	if (protocols->count != request->protocols_count)
		return false;
	for (int32_t i = 0; i < protocols->count; i++) {
		const struct classic_protocol *protocol = &protocols->items[i];

		if (!kafka_string_equal(&protocol->name, &request->protocols[i].name) ||
		    !bytes_equal(&protocol->metadata, &request->protocols[i].metadata))
			return false;
	}
	return true;
}

const struct classic_protocol *classic_protocols_find(const struct classic_protocols *protocols,
						      const struct kafka_string *name)
{
	for (int32_t i = 0; i < protocols->count; i++) {
		if (kafka_string_equal(&protocols->items[i].name, name))
			return &protocols->items[i];
	}
	return NULL;
}
