#include "client/membership.h"

#include <errno.h>
#include <string.h>

#include "base/arena.h"
#include "base/errors.h"

enum { NAME_BYTES_LEAST = 2, TOPIC_BYTES_LEAST = 6, INDEX_BYTES = 4, ASSIGNED_FIRST = 16 };

struct sluice_assigned *assigned_list_add(struct assigned_list *list, size_t more,
					  struct arena *arena)
{
	size_t capacity = list->capacity ? list->capacity : ASSIGNED_FIRST;

	while (capacity < list->count + more)
		capacity *= 2;
	if (capacity != list->capacity) {
		struct sluice_assigned *at = arena_calloc(arena, capacity, sizeof(*at));
		if (!at)
			return NULL;
		if (list->count)
			memcpy(at, list->at, list->count * sizeof(*at));
		list->at = at;
		list->capacity = capacity;
	}
	list->count += more;
	return list->at + list->count - more;
}

/* A count of things that take so many bytes each at least; -1 with the reader's error set. */
static int32_t read_count(struct wire_reader *reader, size_t least)
{
	int32_t count = wire_get_i32(reader);

	if (wire_ok(reader) &&
	    (count < 0 || (size_t)count > (size_t)(reader->end - reader->at) / least))
		wire_fail(reader, -ERR_BAD_REQUEST);
	return wire_ok(reader) ? count : -1;
}

static const char *read_name(struct wire_reader *reader)
{
	struct kafka_string name = wire_get_string(reader, false, false);

	if (!wire_ok(reader))
		return NULL;
	/* Names are text of C from here on. */
	if (name.length > 0 && memchr(name.data, 0, (size_t)name.length)) {
		wire_fail(reader, -ERR_BAD_REQUEST);
		return NULL;
	}
	const char *copy = arena_strndup(reader->arena, name.data, (size_t)name.length);
	if (!copy)
		wire_fail(reader, -ENOMEM);
	return copy;
}

static struct wire_reader reader_over(const struct kafka_bytes *bytes, struct arena *arena)
{
	struct wire_reader reader =
		wire_reader_over(bytes->data, bytes->length > 0 ? (size_t)bytes->length : 0, arena);

	if (wire_get_i16(&reader) < 0)
		wire_fail(&reader, -ERR_BAD_REQUEST);
	return reader;
}

int membership_read_topics(const struct kafka_bytes *metadata, struct arena *arena,
			   const char *const **ret_topics, size_t *ret_count)
{
	struct wire_reader reader = reader_over(metadata, arena);
	int32_t count = read_count(&reader, NAME_BYTES_LEAST);

	if (count < 0)
		return reader.error;
	const char **topics = arena_calloc(arena, (size_t)count, sizeof(char *));
	if (!topics)
		return -ENOMEM;
	for (int32_t i = 0; wire_ok(&reader) && i < count; i++)
		topics[i] = read_name(&reader);
	if (!wire_ok(&reader))
		return reader.error;
	*ret_topics = topics;
	*ret_count = (size_t)count;
	return 0;
}

static void read_topic(struct wire_reader *reader, struct assigned_list *list)
{
	const char *name = read_name(reader);
	int32_t count = read_count(reader, INDEX_BYTES);

	if (count <= 0)
		return;
	struct sluice_assigned *added = assigned_list_add(list, (size_t)count, reader->arena);
	if (!added) {
		wire_fail(reader, -ENOMEM);
		return;
	}
	for (int32_t i = 0; i < count; i++)
		added[i] = (struct sluice_assigned){name, wire_get_i32(reader)};
}

int membership_read_assignment(const struct kafka_bytes *assignment, struct arena *arena,
			       struct assigned_list *ret)
{
	struct wire_reader reader = reader_over(assignment, arena);
	int32_t topics = read_count(&reader, TOPIC_BYTES_LEAST);
	struct assigned_list list = {0};

	for (int32_t i = 0; wire_ok(&reader) && i < topics; i++)
		read_topic(&reader, &list);
	if (!wire_ok(&reader))
		return reader.error;
	*ret = list;
	return 0;
}
