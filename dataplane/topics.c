#include "dataplane/topics.h"

#include <string.h>

/* strcmp order, for a name that does not end in NUL. */
static int compare_name(const char *name, size_t length, const struct topic *topic)
{
	int order = strncmp(name, topic->name, length);
	return order ? order : topic->name[length] ? -1 : 0;
}

const struct topic *topics_find(const struct topics *topics, const char *name, size_t length)
{
	size_t low = 0;
	size_t high = topics->count;

	/* A NUL inside the name would end the comparison early. */
	if (length > TOPIC_NAME_MAX || memchr(name, 0, length))
		return NULL;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare_name(name, length, topics->by_name[middle]);
		if (order == 0)
			return topics->by_name[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

const struct topic *topics_find_id(const struct topics *topics, const struct uuid *id)
{
	size_t low = 0;
	size_t high = topics->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = memcmp(id, &topics->by_id[middle]->id, sizeof(*id));
		if (order == 0)
			return topics->by_id[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static bool legal_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

bool topic_name_legal(const char *name, size_t length)
{
	if (length == 0 || length > TOPIC_NAME_MAX)
		return false;
	if (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.')))
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!legal_character(name[i]))
			return false;
	}
	return true;
}

static bool is_named(const char *name, size_t length, const char *wanted)
{
	return length == strlen(wanted) && memcmp(name, wanted, length) == 0;
}

bool topic_name_internal(const char *name, size_t length)
{
	return is_named(name, length, OFFSETS_TOPIC) || is_named(name, length, TRANSACTIONS_TOPIC);
}

static int compare_group(const char *group, size_t length, const struct share_group_settings *row)
{
	size_t shorter = length < row->group_length ? length : row->group_length;
	int order = shorter ? memcmp(group, row->group, shorter) : 0;

	return order ? order : (length > row->group_length) - (length < row->group_length);
}

const struct share_settings *topics_share_settings(const struct topics *topics, const char *group,
						   size_t length)
{
	size_t low = 0;
	size_t high = topics->share_group_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare_group(group, length, &topics->share_groups[middle]);
		if (order == 0)
			return &topics->share_groups[middle].settings;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return &topics->share.settings;
}
