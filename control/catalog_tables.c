/* The catalog's tables: topics and groups with settings of their own, each in order of name, and
 * deleted topics.
 *
 * Additions cannot fail: room is reserved before a change is written (catalog.c). */
#include "control/catalog_internal.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- the table of topics ---- */

static int compare_name(const char *name, size_t length, const struct catalog_topic *topic)
{
	int order = strncmp(name, topic->name, length);
	return order ? order : topic->name[length] ? -1 : 0;
}

/* Where `name` is or would be. */
static size_t place_of(const struct catalog *catalog, const char *name, size_t length,
		       bool *ret_found)
{
	size_t low = 0;
	size_t high = catalog->topic_count;

	*ret_found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare_name(name, length, catalog->topics[middle]);
		if (order == 0) {
			*ret_found = true;
			return middle;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

const struct catalog_topic *catalog_find(const struct catalog *catalog, const char *name,
					 size_t length)
{
	bool found;

	if (length == 0 || length > TOPIC_NAME_MAX || memchr(name, 0, length))
		return NULL;
	size_t place = place_of(catalog, name, length, &found);
	return found ? catalog->topics[place] : NULL;
}

struct catalog_topic *catalog_topic_by_id(const struct catalog *catalog, const struct uuid *id)
{
	for (size_t i = 0; i < catalog->topic_count; i++) {
		if (uuid_equal(&catalog->topics[i]->id, id))
			return catalog->topics[i];
	}
	return NULL;
}

const struct catalog_topic *catalog_find_id(const struct catalog *catalog, const struct uuid *id)
{
	return catalog_topic_by_id(catalog, id);
}

size_t catalog_topic_count(const struct catalog *catalog)
{
	return catalog->topic_count;
}

const struct catalog_topic *catalog_topic_at(const struct catalog *catalog, size_t index)
{
	check(index < catalog->topic_count);
	return catalog->topics[index];
}

int64_t catalog_partition_count(const struct catalog *catalog)
{
	return catalog->partition_count;
}

uint32_t catalog_next_number(const struct catalog *catalog)
{
	return catalog->next_number;
}

const struct uuid *catalog_cluster_id(const struct catalog *catalog)
{
	return &catalog->cluster_id;
}

void catalog_topic_free(struct catalog_topic *topic)
{
	topic_overrides_fini(&topic->overrides);
	free(topic);
}

int catalog_reserve_topic(struct catalog *catalog)
{
	if (catalog->topic_count < catalog->topic_capacity)
		return 0;
	size_t capacity = catalog->topic_capacity ? catalog->topic_capacity * 2 : 16;
	struct catalog_topic **topics = realloc(catalog->topics,
						capacity * sizeof(struct catalog_topic *));
	if (!topics)
		return -ENOMEM;
	catalog->topics = topics;
	catalog->topic_capacity = capacity;
	return 0;
}

void catalog_add_topic(struct catalog *catalog, struct catalog_topic *topic)
{
	bool found;
	size_t place = place_of(catalog, topic->name, strlen(topic->name), &found);

	check(!found && catalog->topic_count < catalog->topic_capacity);
	memmove(catalog->topics + place + 1, catalog->topics + place,
		(catalog->topic_count - place) * sizeof(struct catalog_topic *));
	catalog->topics[place] = topic;
	catalog->topic_count++;
	catalog->partition_count += topic->partition_count;
	topic->number = catalog->next_number++;
}

void catalog_remove_topic(struct catalog *catalog, struct catalog_topic *topic)
{
	bool found;
	size_t place = place_of(catalog, topic->name, strlen(topic->name), &found);

	check(found);
	catalog->topic_count--;
	memmove(catalog->topics + place, catalog->topics + place + 1,
		(catalog->topic_count - place) * sizeof(struct catalog_topic *));
	catalog->partition_count -= topic->partition_count;
	catalog_topic_free(topic);
}

/* ---- deleted topics ---- */

int catalog_reserve_deleted(struct catalog *catalog)
{
	if (catalog->deleted_count < catalog->deleted_capacity)
		return 0;
	size_t capacity = catalog->deleted_capacity ? catalog->deleted_capacity * 2 : 16;
	struct uuid *deleted = realloc(catalog->deleted, capacity * sizeof(struct uuid));
	if (!deleted)
		return -ENOMEM;
	catalog->deleted = deleted;
	catalog->deleted_capacity = capacity;
	return 0;
}

void catalog_add_deleted(struct catalog *catalog, const struct uuid *id)
{
	check(catalog->deleted_count < catalog->deleted_capacity);
	catalog->deleted[catalog->deleted_count++] = *id;
}

/* What cannot be looked at may be there. */
static bool folder_is_gone(const struct catalog *catalog, const struct uuid *id)
{
	char topic[UUID_HEX_BYTES];
	char path[sizeof(topic) + sizeof("topics/")];
	struct stat info;

	uuid_hex(id, topic);
	snprintf(path, sizeof(path), "topics/%s", topic);
	return fstatat(catalog->data_fd, path, &info, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

void catalog_drop_removed(struct catalog *catalog)
{
	size_t kept = 0;

	for (size_t i = 0; i < catalog->deleted_count; i++) {
		if (!folder_is_gone(catalog, &catalog->deleted[i]))
			catalog->deleted[kept++] = catalog->deleted[i];
	}
	catalog->deleted_count = kept;
}

size_t catalog_deleted(const struct catalog *catalog, const struct uuid **ret)
{
	*ret = catalog->deleted;
	return catalog->deleted_count;
}

/* ---- the table of groups ---- */

/* Where `id` is or would be. */
static size_t group_place(const struct catalog *catalog, const char *id, bool *ret_found)
{
	size_t low = 0, high = catalog->group_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(catalog->groups[middle].id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_found = low < catalog->group_count && strcmp(catalog->groups[low].id, id) == 0;
	return low;
}

size_t catalog_group_count(const struct catalog *catalog)
{
	return catalog->group_count;
}

const struct catalog_group *catalog_group_at(const struct catalog *catalog, size_t index)
{
	check(index < catalog->group_count);
	return &catalog->groups[index];
}

const struct catalog_group *catalog_find_group(const struct catalog *catalog, const char *id)
{
	bool found;
	size_t place = group_place(catalog, id, &found);

	return found ? &catalog->groups[place] : NULL;
}

void catalog_group_fini(struct catalog_group *group)
{
	group_overrides_fini(&group->overrides);
	free(group->id);
}

void catalog_remove_group(struct catalog *catalog, const char *id)
{
	bool found;
	size_t place = group_place(catalog, id, &found);

	if (!found)
		return;
	catalog_group_fini(&catalog->groups[place]);
	catalog->group_count--;
	memmove(catalog->groups + place, catalog->groups + place + 1,
		(catalog->group_count - place) * sizeof(struct catalog_group));
}

int catalog_reserve_group(struct catalog *catalog)
{
	if (catalog->group_count < catalog->group_capacity)
		return 0;
	size_t capacity = catalog->group_capacity ? catalog->group_capacity * 2 : 16;
	struct catalog_group *groups = realloc(catalog->groups,
					       capacity * sizeof(struct catalog_group));
	if (!groups)
		return -ENOMEM;
	catalog->groups = groups;
	catalog->group_capacity = capacity;
	return 0;
}

const struct broker_overrides *catalog_broker_overrides(const struct catalog *catalog,
							enum broker_scope scope)
{
	return &catalog->broker[scope];
}

void catalog_put_group(struct catalog *catalog, const struct catalog_group *group)
{
	bool found;
	size_t place = group_place(catalog, group->id, &found);

	if (found) {
		catalog_group_fini(&catalog->groups[place]);
	} else {
		check(catalog->group_count < catalog->group_capacity);
		memmove(catalog->groups + place + 1, catalog->groups + place,
			(catalog->group_count - place) * sizeof(struct catalog_group));
		catalog->group_count++;
	}
	catalog->groups[place] = *group;
}
