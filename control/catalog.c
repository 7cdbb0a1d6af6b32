/* The tables in memory and the records that make them.  A record is a JSON object whose "op" says
 * which change it is; README.md lists them.  Every change is first written, then done, by the same
 * function that replays it. */
#include "control/catalog.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "control/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	REWRITE_BYTES_MIN = 4 << 20,
	GROUPS_MAX = 100000, /* with settings of their own */
};
static const char journal_name[] = "journal";

struct catalog {
	int dir_fd;
	struct journal *journal;
	uint64_t rewritten_bytes; /* size after the last rewrite */
	struct uuid cluster_id;
	int32_t run;
	int64_t next_producer_id;
	uint32_t next_number;
	int64_t partition_count;
	struct catalog_topic **topics; /* by name */
	size_t topic_count;
	size_t topic_capacity;
	struct catalog_group *groups; /* by id */
	size_t group_count;
	size_t group_capacity;
};

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

static struct catalog_topic *topic_by_id(const struct catalog *catalog, const struct uuid *id)
{
	for (size_t i = 0; i < catalog->topic_count; i++) {
		if (uuid_equal(&catalog->topics[i]->id, id))
			return catalog->topics[i];
	}
	return NULL;
}

const struct catalog_topic *catalog_find_id(const struct catalog *catalog, const struct uuid *id)
{
	return topic_by_id(catalog, id);
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

static void topic_free(struct catalog_topic *topic)
{
	topic_overrides_fini(&topic->overrides);
	free(topic);
}

static int add_topic(struct catalog *catalog, struct catalog_topic *topic)
{
	bool found;

	if (catalog->topic_count == catalog->topic_capacity) {
		size_t capacity = catalog->topic_capacity ? catalog->topic_capacity * 2 : 16;
		struct catalog_topic **topics = realloc(catalog->topics,
							capacity * sizeof(struct catalog_topic *));
		if (!topics)
			return -ENOMEM;
		catalog->topics = topics;
		catalog->topic_capacity = capacity;
	}
	size_t place = place_of(catalog, topic->name, strlen(topic->name), &found);
	if (found)
		return -ERR_CORRUPT;
	memmove(catalog->topics + place + 1, catalog->topics + place,
		(catalog->topic_count - place) * sizeof(struct catalog_topic *));
	catalog->topics[place] = topic;
	catalog->topic_count++;
	catalog->partition_count += topic->partition_count;
	topic->number = catalog->next_number++;
	return 0;
}

static void remove_topic(struct catalog *catalog, struct catalog_topic *topic)
{
	bool found;
	size_t place = place_of(catalog, topic->name, strlen(topic->name), &found);

	check(found);
	catalog->topic_count--;
	memmove(catalog->topics + place, catalog->topics + place + 1,
		(catalog->topic_count - place) * sizeof(struct catalog_topic *));
	catalog->partition_count -= topic->partition_count;
	topic_free(topic);
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

static void group_fini(struct catalog_group *group)
{
	group_overrides_fini(&group->overrides);
	free(group->id);
}

static void remove_group(struct catalog *catalog, size_t place)
{
	group_fini(&catalog->groups[place]);
	catalog->group_count--;
	memmove(catalog->groups + place, catalog->groups + place + 1,
		(catalog->group_count - place) * sizeof(struct catalog_group));
}

static int add_group(struct catalog *catalog, size_t place, const char *id)
{
	if (catalog->group_count == catalog->group_capacity) {
		size_t capacity = catalog->group_capacity ? catalog->group_capacity * 2 : 16;
		struct catalog_group *groups = realloc(catalog->groups,
						       capacity * sizeof(struct catalog_group));
		if (!groups)
			return -ENOMEM;
		catalog->groups = groups;
		catalog->group_capacity = capacity;
	}
	char *copy = strdup(id);
	if (!copy)
		return -ENOMEM;
	memmove(catalog->groups + place + 1, catalog->groups + place,
		(catalog->group_count - place) * sizeof(struct catalog_group));
	catalog->groups[place] = (struct catalog_group){.id = copy};
	catalog->group_count++;
	return 0;
}

/* ---- records: what each op does ---- */

static const char *text_of(const json_t *record, const char *key)
{
	const char *text = json_string_value(json_object_get(record, key));
	return text ? text : "";
}

static int64_t number_of(const json_t *record, const char *key)
{
	return json_integer_value(json_object_get(record, key));
}

static int overrides_of(const json_t *record, struct topic_overrides *ret)
{
	struct topic_overrides overrides = {0};
	const char *key;
	json_t *value;
	char why[256];

	json_object_foreach(json_object_get(record, "config"), key, value)
	{
		int rc = -ERR_FORMAT;
		if (json_is_string(value))
			rc = topic_overrides_set(&overrides, key, json_string_value(value), why,
						 sizeof(why));
		if (rc < 0) {
			topic_overrides_fini(&overrides);
			return rc == -ENOMEM ? rc : -ERR_FORMAT;
		}
	}
	*ret = overrides;
	return 0;
}

static int partitions_of(const json_t *record, int32_t *ret)
{
	int64_t count = number_of(record, "partitions");

	if (count < 1 || count > INT32_MAX)
		return -ERR_FORMAT;
	*ret = (int32_t)count;
	return 0;
}

static int topic_of(const struct catalog *catalog, const json_t *record, struct catalog_topic **ret)
{
	struct uuid id;

	if (uuid_parse(&id, text_of(record, "id")) < 0)
		return -ERR_FORMAT;
	*ret = topic_by_id(catalog, &id);
	return *ret ? 0 : -ERR_CORRUPT;
}

static int apply_cluster(struct catalog *catalog, const json_t *record)
{
	return uuid_parse(&catalog->cluster_id, text_of(record, "id")) < 0 ? -ERR_FORMAT : 0;
}

static int apply_run(struct catalog *catalog, const json_t *record)
{
	int64_t number = number_of(record, "number");

	if (number < 1 || number > INT32_MAX)
		return -ERR_FORMAT;
	catalog->run = (int32_t)number;
	return 0;
}

static int apply_producer_ids(struct catalog *catalog, const json_t *record)
{
	int64_t next = number_of(record, "next");

	if (next < 0)
		return -ERR_FORMAT;
	catalog->next_producer_id = next;
	return 0;
}

static int apply_create(struct catalog *catalog, const json_t *record)
{
	struct catalog_topic *topic = calloc(1, sizeof(*topic));
	const char *name = text_of(record, "name");
	int rc = -ERR_FORMAT;

	if (!topic)
		return -ENOMEM;
	if (!topic_name_legal(name, strlen(name)) || uuid_parse(&topic->id, text_of(record, "id")))
		goto fail;
	snprintf(topic->name, sizeof(topic->name), "%s", name);
	rc = partitions_of(record, &topic->partition_count);
	if (rc == 0)
		rc = overrides_of(record, &topic->overrides);
	if (rc == 0)
		rc = add_topic(catalog, topic);
	if (rc == 0)
		return 0;
fail:
	topic_free(topic);
	return rc;
}

static int apply_delete(struct catalog *catalog, const json_t *record)
{
	struct catalog_topic *topic;
	int rc = topic_of(catalog, record, &topic);

	if (rc == 0)
		remove_topic(catalog, topic);
	return rc;
}

static int apply_grow(struct catalog *catalog, const json_t *record)
{
	struct catalog_topic *topic;
	int32_t count;
	int rc = topic_of(catalog, record, &topic);

	if (rc == 0)
		rc = partitions_of(record, &count);
	if (rc == 0) {
		catalog->partition_count += count - topic->partition_count;
		topic->partition_count = count;
	}
	return rc;
}

static int apply_configure(struct catalog *catalog, const json_t *record)
{
	struct catalog_topic *topic;
	struct topic_overrides overrides;
	int rc = topic_of(catalog, record, &topic);

	if (rc == 0)
		rc = overrides_of(record, &overrides);
	if (rc == 0) {
		topic_overrides_fini(&topic->overrides);
		topic->overrides = overrides;
	}
	return rc;
}

static int group_overrides_of(const json_t *record, struct group_overrides *ret)
{
	struct group_overrides overrides = {0};
	const char *key;
	json_t *value;
	char why[256];

	json_object_foreach(json_object_get(record, "config"), key, value)
	{
		int rc = -ERR_FORMAT;
		if (json_is_string(value))
			rc = group_overrides_set(&overrides, key, json_string_value(value), why,
						 sizeof(why));
		if (rc < 0) {
			group_overrides_fini(&overrides);
			return rc == -ENOMEM ? rc : -ERR_FORMAT;
		}
	}
	*ret = overrides;
	return 0;
}

static int apply_configure_group(struct catalog *catalog, const json_t *record)
{
	const char *id = text_of(record, "group");
	struct group_overrides overrides;
	bool found;
	size_t place = group_place(catalog, id, &found);
	int rc = group_overrides_of(record, &overrides);

	if (rc < 0)
		return rc;
	if (group_overrides_none(&overrides)) {
		if (found)
			remove_group(catalog, place);
		return 0;
	}
	rc = found ? 0 : add_group(catalog, place, id);
	if (rc < 0) {
		group_overrides_fini(&overrides);
		return rc;
	}
	group_overrides_fini(&catalog->groups[place].overrides);
	catalog->groups[place].overrides = overrides;
	return 0;
}

static int apply(struct catalog *catalog, const json_t *record)
{
	static const struct {
		const char *op;
		int (*apply)(struct catalog *catalog, const json_t *record);
	} ops[] = {
		{"cluster", apply_cluster},           {"run", apply_run},
		{"producer-ids", apply_producer_ids}, {"create-topic", apply_create},
		{"delete-topic", apply_delete},       {"grow-topic", apply_grow},
		{"configure-topic", apply_configure}, {"configure-group", apply_configure_group},
	};

	for (size_t i = 0; i < array_count(ops); i++) {
		if (strcmp(ops[i].op, text_of(record, "op")) == 0)
			return ops[i].apply(catalog, record);
	}
	return -ERR_FORMAT;
}

static int replay(void *context, const void *payload, size_t length)
{
	json_t *record = json_loadb(payload, length, 0, NULL);
	int rc = record ? apply(context, record) : -ERR_FORMAT;

	json_decref(record);
	return rc;
}

/* ---- records: making and writing them; a null record (out of memory) is passed through ---- */

static json_t *config_object(const struct topic_overrides *overrides)
{
	json_t *config = json_object();

	for (size_t i = 0; i < TOPIC_CONFIG_COUNT; i++) {
		if (overrides->texts[i])
			json_object_set_new(config, topic_params[i].key,
					    json_string(overrides->texts[i]));
	}
	return config;
}

static json_t *create_record(const char *name, const struct uuid *id, int32_t partition_count,
			     const struct topic_overrides *overrides)
{
	char id_text[UUID_TEXT_BYTES];

	uuid_text(id, id_text);
	return json_pack("{s:s, s:s, s:s, s:i, s:o}", "op", "create-topic", "name", name, "id",
			 id_text, "partitions", partition_count, "config",
			 config_object(overrides));
}

static json_t *cluster_record(const struct uuid *id)
{
	char id_text[UUID_TEXT_BYTES];

	uuid_text(id, id_text);
	return json_pack("{s:s, s:s}", "op", "cluster", "id", id_text);
}

static json_t *run_record(int32_t number)
{
	return json_pack("{s:s, s:i}", "op", "run", "number", number);
}

static json_t *producer_ids_record(int64_t next)
{
	return json_pack("{s:s, s:I}", "op", "producer-ids", "next", (json_int_t)next);
}

static json_t *group_record(const char *id, const struct group_overrides *overrides)
{
	json_t *config = json_object();

	for (size_t i = 0; i < GROUP_CONFIG_COUNT; i++) {
		if (overrides->texts[i])
			json_object_set_new(config, group_params[i].key,
					    json_string(overrides->texts[i]));
	}
	return json_pack("{s:s, s:s, s:o}", "op", "configure-group", "group", id, "config", config);
}

/* Takes over `record`. */
static int append(struct journal *journal, json_t *record)
{
	char *text = record ? json_dumps(record, JSON_COMPACT) : NULL;
	int rc = text ? journal_append(journal, text, strlen(text)) : -ENOMEM;

	free(text);
	json_decref(record);
	return rc;
}

static int fill(void *context, struct journal *fresh)
{
	const struct catalog *catalog = context;
	int rc = append(fresh, cluster_record(&catalog->cluster_id));

	if (rc == 0 && catalog->run)
		rc = append(fresh, run_record(catalog->run));
	if (rc == 0)
		rc = append(fresh, producer_ids_record(catalog->next_producer_id));
	for (size_t i = 0; rc == 0 && i < catalog->topic_count; i++) {
		const struct catalog_topic *topic = catalog->topics[i];
		rc = append(fresh, create_record(topic->name, &topic->id, topic->partition_count,
						 &topic->overrides));
	}
	for (size_t i = 0; rc == 0 && i < catalog->group_count; i++)
		rc = append(fresh,
			    group_record(catalog->groups[i].id, &catalog->groups[i].overrides));
	return rc;
}

/* A failed rewrite costs nothing but room: the journal goes on. */
static void rewrite_outgrown(struct catalog *catalog)
{
	uint64_t bytes = journal_bytes(catalog->journal);

	if (bytes < REWRITE_BYTES_MIN || bytes < 2 * catalog->rewritten_bytes)
		return;
	journal_rewrite(catalog->journal, fill, catalog);
	catalog->rewritten_bytes = journal_bytes(catalog->journal);
}

/* Writes the change, then does it.  Takes over `record`. */
static int change(struct catalog *catalog, json_t *record)
{
	int rc = append(catalog->journal, json_incref(record));

	if (rc == 0) {
		rc = apply(catalog, record);
		/* Written but impossible, or without memory: what is kept must not differ from it.
		 */
		check(rc == 0);
		rewrite_outgrown(catalog);
	}
	json_decref(record);
	return rc;
}

/* ---- opening ---- */

static int open_folder(struct catalog *catalog, int data_fd)
{
	if (mkdirat(data_fd, "catalog", 0755) < 0 && errno != EEXIST)
		return -errno;
	catalog->dir_fd = openat(data_fd, "catalog", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (catalog->dir_fd < 0 || fsync(data_fd) < 0)
		return -errno;
	return 0;
}

int catalog_open(struct catalog **ret, int data_fd, char *why, size_t why_bytes)
{
	struct catalog *catalog = calloc(1, sizeof(*catalog));
	int rc;

	if (!catalog)
		return -ENOMEM;
	catalog->dir_fd = -1;
	snprintf(why, why_bytes, "catalog");
	rc = open_folder(catalog, data_fd);
	if (rc == 0)
		rc = journal_open(&catalog->journal, catalog->dir_fd, journal_name, replay, catalog,
				  why, why_bytes);
	if (rc == 0 && uuid_zero(&catalog->cluster_id)) {
		struct uuid id = uuid_random();
		rc = change(catalog, cluster_record(&id));
	}
	if (rc < 0) {
		catalog_close(catalog);
		return rc;
	}
	*ret = catalog;
	return 0;
}

void catalog_close(struct catalog *catalog)
{
	if (!catalog)
		return;
	for (size_t i = 0; i < catalog->topic_count; i++)
		topic_free(catalog->topics[i]);
	free(catalog->topics);
	for (size_t i = 0; i < catalog->group_count; i++)
		group_fini(&catalog->groups[i]);
	free(catalog->groups);
	journal_close(catalog->journal);
	if (catalog->dir_fd >= 0)
		close(catalog->dir_fd);
	free(catalog);
}

/* ---- changes ---- */

int catalog_begin_run(struct catalog *catalog, int32_t *ret_epoch)
{
	if (catalog->run == INT32_MAX)
		return -ERR_LIMIT;
	int rc = change(catalog, run_record(catalog->run + 1));
	if (rc == 0)
		*ret_epoch = catalog->run;
	return rc;
}

int catalog_create_topic(struct catalog *catalog, const char *name, int32_t partition_count,
			 const struct topic_overrides *overrides, const struct catalog_topic **ret)
{
	struct uuid id = uuid_random();

	check(topic_name_legal(name, strlen(name)) && !catalog_find(catalog, name, strlen(name)));
	int rc = change(catalog, create_record(name, &id, partition_count, overrides));
	if (rc == 0)
		*ret = catalog_find(catalog, name, strlen(name));
	return rc;
}

static json_t *topic_record(const char *op, const struct catalog_topic *topic)
{
	char id_text[UUID_TEXT_BYTES];

	uuid_text(&topic->id, id_text);
	return json_pack("{s:s, s:s}", "op", op, "id", id_text);
}

int catalog_delete_topic(struct catalog *catalog, const struct catalog_topic *topic)
{
	return change(catalog, topic_record("delete-topic", topic));
}

int catalog_grow_topic(struct catalog *catalog, const struct catalog_topic *topic,
		       int32_t partition_count)
{
	json_t *record = topic_record("grow-topic", topic);

	check(partition_count > topic->partition_count);
	json_object_set_new(record, "partitions", json_integer(partition_count));
	return change(catalog, record);
}

int catalog_configure_topic(struct catalog *catalog, const struct catalog_topic *topic,
			    const struct topic_overrides *overrides)
{
	json_t *record = topic_record("configure-topic", topic);

	json_object_set_new(record, "config", config_object(overrides));
	return change(catalog, record);
}

int catalog_configure_group(struct catalog *catalog, const char *id,
			    const struct group_overrides *overrides)
{
	if (catalog->group_count >= GROUPS_MAX && !catalog_find_group(catalog, id))
		return -ERR_LIMIT;
	return change(catalog, group_record(id, overrides));
}

int catalog_take_producer_ids(struct catalog *catalog, int64_t count, int64_t *ret_first)
{
	int64_t first = catalog->next_producer_id;

	if (count > INT64_MAX - first)
		return -ERR_LIMIT;
	int rc = change(catalog, producer_ids_record(first + count));
	if (rc == 0)
		*ret_first = first;
	return rc;
}
