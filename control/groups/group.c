/* The table of groups: chains by hash of the id.  A group is in the list of its partition too. */
#include "base/bytes.h"
#include "base/check.h"
#include "control/config.h"
#include "control/groups/groups_internal.h"
#include "control/groups/pending_offsets.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { TABLE_SIZE_MIN = 64 };

/* ---- the partition ---- */

/* The character at `at`, which is valid UTF-8; moves on. */
static uint32_t next_character(const uint8_t **at, const uint8_t *end)
{
	uint8_t first = *(*at)++;
	unsigned more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
	uint32_t character = more ? first & (0x3fU >> more) : first;

	for (; more && *at < end; more--)
		character = character << 6 | (*(*at)++ & 0x3fU);
	return character;
}

/* String.hashCode: over UTF-16 code units. */
static int32_t java_hash(const struct kafka_string *text)
{
	const uint8_t *at = (const uint8_t *)text->data;
	const uint8_t *end = text->length > 0 ? at + text->length : at; /* which may be null */
	uint32_t hash = 0;

	while (at < end) {
		uint32_t character = next_character(&at, end);
		if (character >= 0x10000) {
			hash = hash * 31 + 0xd7c0 + (character >> 10);
			character = 0xdc00 | (character & 0x3ff);
		}
		hash = hash * 31 + character;
	}
	return (int32_t)hash;
}

int32_t group_partition_of(const struct kafka_string *id, int32_t count)
{
	int32_t hash = java_hash(id);

	if (hash == INT32_MIN) /* has no absolute value: Kafka takes 0 */
		return 0;
	return (hash < 0 ? -hash : hash) % count;
}

/* ---- the table ---- */

static struct group **place_of(const struct groups *groups, const char *id, size_t length)
{
	uint64_t hash = XXH3_64bits_withSeed(id, length, groups->hash_seed);

	return &groups->table[hash % groups->table_size];
}

/* Where that fails the chains stay longer. */
static void grow(struct groups *groups)
{
	struct groups larger = *groups;

	larger.table_size = groups->table_size ? groups->table_size * 2 : TABLE_SIZE_MIN;
	larger.table = calloc(larger.table_size, sizeof(struct group *));
	if (!larger.table)
		return;
	for (size_t i = 0; i < groups->table_size; i++) {
		while (groups->table[i]) {
			struct group *group = groups->table[i];
			struct group **place = place_of(&larger, group->id, group->id_length);
			groups->table[i] = group->chain;
			group->chain = *place;
			*place = group;
		}
	}
	free(groups->table);
	groups->table = larger.table;
	groups->table_size = larger.table_size;
}

struct kafka_string group_id(const struct group *group)
{
	return (struct kafka_string){group->id, (int32_t)group->id_length};
}

struct group *group_find(const struct groups *groups, const struct kafka_string *id)
{
	if (!groups->table_size)
		return NULL;
	struct group *group = *place_of(groups, id->data, (size_t)id->length);
	for (; group; group = group->chain) {
		struct kafka_string own = group_id(group);
		if (kafka_string_equal(&own, id))
			break;
	}
	return group;
}

static struct group *make(struct groups *groups, const struct kafka_string *id, int32_t partition)
{
	size_t length = (size_t)id->length;
	struct group *group = calloc(1, sizeof(*group));
	char *copy = malloc(length + 1);

	if (groups->count >= groups->table_size)
		grow(groups);
	if (!group || !copy || !groups->table_size) {
		free(group);
		free(copy);
		return NULL;
	}
	bytes_copy(copy, id->data, length);
	copy[length] = 0;
	group->groups = groups;
	group->id = copy;
	group->id_length = length;
	group->partition = partition;
	offsets_init(&group->offsets);
	list_init(&group->pending);
	struct group **place = place_of(groups, copy, length);
	group->chain = *place;
	*place = group;
	list_push_back(&groups->partitions[partition].groups, &group->link);
	groups->count++;
	return group;
}

struct group *group_obtain(struct groups *groups, const struct kafka_string *id,
			   enum kafka_error *ret_error)
{
	struct group *group = group_find(groups, id);

	if (group)
		return group;
	int32_t partition = group_partition_of(id, groups->partition_count);
	bool loaded = groups->partitions[partition].phase == GROUP_PARTITION_LOADED;
	if (loaded && groups->count >= (size_t)groups->options.config->group_max_groups) {
		*ret_error = KAFKA_GROUP_MAX_SIZE_REACHED;
		return NULL;
	}
	group = make(groups, id, partition);
	if (!group)
		*ret_error = KAFKA_COORDINATOR_NOT_AVAILABLE;
	return group;
}

bool group_has_offsets(const struct group *group)
{
	return group->offsets.count > 0 || !list_empty(&group->pending);
}

bool group_empty(const struct group *group)
{
	return !group->kind || group->kind->member_count(group) == 0;
}

bool group_vacant(const struct group *group)
{
	return group_empty(group) &&
	       !(group->kind && group->kind->keeps && group->kind->keeps(group));
}

void group_drop(struct group *group, enum kafka_error error)
{
	struct groups *groups = group->groups;
	struct group **place = place_of(groups, group->id, group->id_length);

	if (group->kind)
		group->kind->forget(group, error);
	while (*place != group)
		place = &(*place)->chain;
	*place = group->chain;
	list_remove(&group->link);
	groups->count--;
	offsets_fini(&group->offsets);
	list_foreach_safe(node, after, &group->pending)
		pending_offsets_free(container_of(node, struct pending_offsets, link));
	free(group->id);
	free(group);
}

int group_delete(struct group *group)
{
	int rc = offsets_erase(group);

	if (rc == 0 && group->kind)
		rc = group->kind->erase(group);
	if (rc == 0)
		group_drop(group, KAFKA_GROUP_ID_NOT_FOUND);
	return rc;
}

void group_delete_if_idle(struct group *group)
{
	if (group_vacant(group) && !group_has_offsets(group))
		group_delete(group); /* out of memory: idle still, and tried again */
}
