/* The records that make the catalog's tables (catalog_tables.c).  A record is a JSON object whose
 * "op" says which change it is; README.md lists them.  Every change is prepared, then written, then
 * done, by the same functions that replay it. */
#include "control/catalog_internal.h"

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
static const char *const broker_scopes[BROKER_SCOPE_COUNT] = {"all", "one"};

/* ---- records: what each op does ----
 *
 * A change is prepared, written, and committed: what can fail, and all memory, is in the first
 * step, so that nothing is written that is not done then. */

struct change {
	const struct op *op;
	struct uuid id;
	int64_t number;
	struct catalog_topic *topic; /* new where `fresh`, else the catalog's */
	bool fresh;                  /* the topic goes with a change that does not happen */
	struct topic_overrides overrides;
	struct catalog_group group;
	enum broker_scope scope;
	struct broker_overrides broker;
};

struct op {
	const char *name;
	int (*prepare)(struct catalog *catalog, const json_t *record, struct change *change);
	void (*commit)(struct catalog *catalog, struct change *change);
};

static const char *text_of(const json_t *record, const char *key)
{
	const char *text = json_string_value(json_object_get(record, key));
	return text ? text : "";
}

static int64_t number_of(const json_t *record, const char *key)
{
	return json_integer_value(json_object_get(record, key));
}

/* The record's "config", by the table of `params`; `texts` is all null before, and after a failure.
 */
static int overrides_of(const json_t *record, const struct param *params, size_t count,
			char **texts)
{
	const char *key;
	json_t *value;
	char why[256];

	json_object_foreach(json_object_get(record, "config"), key, value)
	{
		int rc = -ERR_FORMAT;
		if (json_is_string(value))
			rc = params_set_text(params, count, "", texts, key,
					     json_string_value(value), why, sizeof(why));
		if (rc < 0) {
			params_free_texts(texts, count);
			return rc == -ENOMEM ? rc : -ERR_FORMAT;
		}
	}
	return 0;
}

static int topic_overrides_of(const json_t *record, struct topic_overrides *ret)
{
	return overrides_of(record, topic_params, TOPIC_CONFIG_COUNT, ret->texts);
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
	*ret = catalog_topic_by_id(catalog, &id);
	return *ret ? 0 : -ERR_CORRUPT;
}

static int prepare_cluster(struct catalog *catalog, const json_t *record, struct change *change)
{
	(void)catalog;
	return uuid_parse(&change->id, text_of(record, "id")) < 0 ? -ERR_FORMAT : 0;
}

static void commit_cluster(struct catalog *catalog, struct change *change)
{
	catalog->cluster_id = change->id;
}

static int prepare_run(struct catalog *catalog, const json_t *record, struct change *change)
{
	(void)catalog;
	change->number = number_of(record, "number");
	return change->number < 1 || change->number > INT32_MAX ? -ERR_FORMAT : 0;
}

static void commit_run(struct catalog *catalog, struct change *change)
{
	catalog->run = (int32_t)change->number;
}

static int prepare_producer_ids(struct catalog *catalog, const json_t *record,
				struct change *change)
{
	(void)catalog;
	change->number = number_of(record, "next");
	return change->number < 0 ? -ERR_FORMAT : 0;
}

static void commit_producer_ids(struct catalog *catalog, struct change *change)
{
	catalog->next_producer_id = change->number;
}

static int prepare_create(struct catalog *catalog, const json_t *record, struct change *change)
{
	const char *name = text_of(record, "name");

	if (!topic_name_legal(name, strlen(name)))
		return -ERR_FORMAT;
	change->topic = calloc(1, sizeof(*change->topic));
	change->fresh = true;
	if (!change->topic)
		return -ENOMEM;
	snprintf(change->topic->name, sizeof(change->topic->name), "%s", name);
	if (uuid_parse(&change->topic->id, text_of(record, "id")) < 0)
		return -ERR_FORMAT;
	int rc = partitions_of(record, &change->topic->partition_count);
	if (rc == 0)
		rc = topic_overrides_of(record, &change->topic->overrides);
	if (rc == 0)
		rc = catalog_reserve_topic(catalog);
	return rc == 0 && catalog_find(catalog, name, strlen(name)) ? -ERR_CORRUPT : rc;
}

static void commit_create(struct catalog *catalog, struct change *change)
{
	catalog_add_topic(catalog, change->topic);
	change->fresh = false;
}

static int prepare_delete(struct catalog *catalog, const json_t *record, struct change *change)
{
	int rc = topic_of(catalog, record, &change->topic);

	return rc == 0 ? catalog_reserve_deleted(catalog) : rc;
}

static void commit_delete(struct catalog *catalog, struct change *change)
{
	catalog_add_deleted(catalog, &change->topic->id);
	catalog_remove_topic(catalog, change->topic);
}

static int prepare_deleted(struct catalog *catalog, const json_t *record, struct change *change)
{
	if (uuid_parse(&change->id, text_of(record, "id")) < 0)
		return -ERR_FORMAT;
	return catalog_reserve_deleted(catalog);
}

static void commit_deleted(struct catalog *catalog, struct change *change)
{
	catalog_add_deleted(catalog, &change->id);
}

static int prepare_grow(struct catalog *catalog, const json_t *record, struct change *change)
{
	int32_t count = 0;
	int rc = topic_of(catalog, record, &change->topic);

	if (rc == 0)
		rc = partitions_of(record, &count);
	change->number = count;
	return rc;
}

static void commit_grow(struct catalog *catalog, struct change *change)
{
	catalog->partition_count += change->number - change->topic->partition_count;
	change->topic->partition_count = (int32_t)change->number;
}

static int prepare_configure(struct catalog *catalog, const json_t *record, struct change *change)
{
	int rc = topic_of(catalog, record, &change->topic);

	return rc == 0 ? topic_overrides_of(record, &change->overrides) : rc;
}

/* What the topic had goes with the change. */
static void commit_configure(struct catalog *catalog, struct change *change)
{
	struct topic_overrides former = change->topic->overrides;

	(void)catalog;
	change->topic->overrides = change->overrides;
	change->overrides = former;
}

static int prepare_configure_group(struct catalog *catalog, const json_t *record,
				   struct change *change)
{
	int rc = overrides_of(record, group_params, GROUP_CONFIG_COUNT,
			      change->group.overrides.texts);

	if (rc < 0)
		return rc;
	change->group.id = strdup(text_of(record, "group"));
	return change->group.id ? catalog_reserve_group(catalog) : -ENOMEM;
}

static void commit_configure_group(struct catalog *catalog, struct change *change)
{
	if (group_overrides_none(&change->group.overrides)) {
		catalog_remove_group(catalog, change->group.id);
	} else {
		catalog_put_group(catalog, &change->group);
		change->group = (struct catalog_group){0};
	}
}

static int prepare_configure_broker(struct catalog *catalog, const json_t *record,
				    struct change *change)
{
	int scope = 0;

	(void)catalog;
	while (scope < BROKER_SCOPE_COUNT &&
	       strcmp(broker_scopes[scope], text_of(record, "scope")) != 0)
		scope++;
	if (scope == BROKER_SCOPE_COUNT)
		return -ERR_FORMAT;
	change->scope = (enum broker_scope)scope;
	return overrides_of(record, config_params, CONFIG_COUNT, change->broker.texts);
}

/* What there was goes with the change. */
static void commit_configure_broker(struct catalog *catalog, struct change *change)
{
	struct broker_overrides former = catalog->broker[change->scope];

	catalog->broker[change->scope] = change->broker;
	change->broker = former;
}

static const struct op *op_of(const json_t *record)
{
	static const struct op ops[] = {
		{"cluster", prepare_cluster, commit_cluster},
		{"run", prepare_run, commit_run},
		{"producer-ids", prepare_producer_ids, commit_producer_ids},
		{"create-topic", prepare_create, commit_create},
		{"delete-topic", prepare_delete, commit_delete},
		{"deleted-topic", prepare_deleted, commit_deleted},
		{"grow-topic", prepare_grow, commit_grow},
		{"configure-topic", prepare_configure, commit_configure},
		{"configure-group", prepare_configure_group, commit_configure_group},
		{"configure-broker", prepare_configure_broker, commit_configure_broker},
	};

	for (size_t i = 0; i < array_count(ops); i++) {
		if (strcmp(ops[i].name, text_of(record, "op")) == 0)
			return &ops[i];
	}
	return NULL;
}

/* Whatever it returns, `change` is to be ended. */
static int prepare(struct catalog *catalog, const json_t *record, struct change *change)
{
	*change = (struct change){.op = op_of(record)};
	return change->op ? change->op->prepare(catalog, record, change) : -ERR_FORMAT;
}

static void end_change(struct change *change)
{
	if (change->fresh && change->topic)
		catalog_topic_free(change->topic);
	topic_overrides_fini(&change->overrides);
	catalog_group_fini(&change->group);
	broker_overrides_fini(&change->broker);
}

static int replay(void *context, const void *payload, size_t length)
{
	json_error_t error;
	json_t *record = json_loadb(payload, length, 0, &error);
	struct change change;

	if (!record)
		return json_error_code(&error) == json_error_out_of_memory ? -ENOMEM : -ERR_FORMAT;
	int rc = prepare(context, record, &change);
	if (rc == 0)
		change.op->commit(context, &change);
	end_change(&change);
	json_decref(record);
	return rc;
}

/* ---- records: making and writing them; a null record (out of memory) is passed through ---- */

/* Takes over both, and gives the first with the other in it. */
static json_t *with(json_t *record, const char *key, json_t *value)
{
	if (json_object_set_new(record, key, value) == 0)
		return record;
	json_decref(record);
	return NULL;
}

static json_t *config_object(const struct param *params, char *const *texts, size_t count)
{
	json_t *config = json_object();

	for (size_t i = 0; i < count; i++) {
		if (texts[i])
			config = with(config, params[i].key, json_string(texts[i]));
	}
	return config;
}

static json_t *topic_config_object(const struct topic_overrides *overrides)
{
	return config_object(topic_params, overrides->texts, TOPIC_CONFIG_COUNT);
}

static json_t *create_record(const char *name, const struct uuid *id, int32_t partition_count,
			     const struct topic_overrides *overrides)
{
	char id_text[UUID_TEXT_BYTES];

	uuid_text(id, id_text);
	return json_pack("{s:s, s:s, s:s, s:i, s:o}", "op", "create-topic", "name", name, "id",
			 id_text, "partitions", partition_count, "config",
			 topic_config_object(overrides));
}

static json_t *id_record(const char *op, const struct uuid *id)
{
	char id_text[UUID_TEXT_BYTES];

	uuid_text(id, id_text);
	return json_pack("{s:s, s:s}", "op", op, "id", id_text);
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
	json_t *config = config_object(group_params, overrides->texts, GROUP_CONFIG_COUNT);

	return json_pack("{s:s, s:s, s:o}", "op", "configure-group", "group", id, "config", config);
}

static json_t *broker_record(enum broker_scope scope, const struct broker_overrides *overrides)
{
	json_t *config = config_object(config_params, overrides->texts, CONFIG_COUNT);

	return json_pack("{s:s, s:s, s:o}", "op", "configure-broker", "scope", broker_scopes[scope],
			 "config", config);
}

/* Takes over `record`.  With memory that is there before: where json_dumps finds none for a key it
 * leaves that out and says nothing (Jansson 2.14). */
static int append(struct journal *journal, json_t *record)
{
	size_t length = record ? json_dumpb(record, NULL, 0, JSON_COMPACT) : 0;
	char *text = length ? malloc(length) : NULL;
	int rc = -ENOMEM;

	if (text && json_dumpb(record, text, length, JSON_COMPACT) == length)
		rc = journal_append(journal, text, length);
	free(text);
	json_decref(record);
	return rc;
}

static int fill(void *context, struct journal *fresh)
{
	const struct catalog *catalog = context;
	int rc = append(fresh, id_record("cluster", &catalog->cluster_id));

	if (rc == 0 && catalog->run)
		rc = append(fresh, run_record(catalog->run));
	if (rc == 0)
		rc = append(fresh, producer_ids_record(catalog->next_producer_id));
	for (size_t i = 0; rc == 0 && i < catalog->topic_count; i++) {
		const struct catalog_topic *topic = catalog->topics[i];
		rc = append(fresh, create_record(topic->name, &topic->id, topic->partition_count,
						 &topic->overrides));
	}
	for (size_t i = 0; rc == 0 && i < catalog->deleted_count; i++)
		rc = append(fresh, id_record("deleted-topic", &catalog->deleted[i]));
	for (size_t i = 0; rc == 0 && i < catalog->group_count; i++)
		rc = append(fresh,
			    group_record(catalog->groups[i].id, &catalog->groups[i].overrides));
	for (int i = 0; rc == 0 && i < BROKER_SCOPE_COUNT; i++) {
		if (!broker_overrides_none(&catalog->broker[i]))
			rc = append(fresh,
				    broker_record((enum broker_scope)i, &catalog->broker[i]));
	}
	return rc;
}

/* A failed rewrite costs nothing but room: the journal goes on. */
static void rewrite_outgrown(struct catalog *catalog)
{
	uint64_t bytes = journal_bytes(catalog->journal);

	if (bytes < REWRITE_BYTES_MIN || bytes < 2 * catalog->rewritten_bytes)
		return;
	catalog_drop_removed(catalog);
	journal_rewrite(catalog->journal, fill, catalog);
	catalog->rewritten_bytes = journal_bytes(catalog->journal);
}

/* Takes over `record`; null: out of memory. */
static int change(struct catalog *catalog, json_t *record)
{
	struct change change;

	if (!record)
		return -ENOMEM;
	int rc = prepare(catalog, record, &change);
	if (rc == 0)
		rc = append(catalog->journal, json_incref(record));
	if (rc == 0) {
		change.op->commit(catalog, &change);
		rewrite_outgrown(catalog);
	}
	end_change(&change);
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
	catalog->data_fd = data_fd;
	catalog->dir_fd = -1;
	snprintf(why, why_bytes, "catalog");
	rc = open_folder(catalog, data_fd);
	if (rc == 0)
		rc = journal_open(&catalog->journal, catalog->dir_fd, journal_name, replay, catalog,
				  why, why_bytes);
	if (rc == 0 && uuid_zero(&catalog->cluster_id)) {
		struct uuid id = uuid_random();
		rc = change(catalog, id_record("cluster", &id));
	}
	if (rc < 0) {
		catalog_close(catalog);
		return rc;
	}
	catalog_drop_removed(catalog);
	*ret = catalog;
	return 0;
}

void catalog_close(struct catalog *catalog)
{
	if (!catalog)
		return;
	for (size_t i = 0; i < catalog->topic_count; i++)
		catalog_topic_free(catalog->topics[i]);
	free(catalog->topics);
	free(catalog->deleted);
	for (size_t i = 0; i < catalog->group_count; i++)
		catalog_group_fini(&catalog->groups[i]);
	free(catalog->groups);
	for (int i = 0; i < BROKER_SCOPE_COUNT; i++)
		broker_overrides_fini(&catalog->broker[i]);
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

int catalog_delete_topic(struct catalog *catalog, const struct catalog_topic *topic)
{
	return change(catalog, id_record("delete-topic", &topic->id));
}

int catalog_grow_topic(struct catalog *catalog, const struct catalog_topic *topic,
		       int32_t partition_count)
{
	json_t *record = id_record("grow-topic", &topic->id);

	check(partition_count > topic->partition_count);
	return change(catalog, with(record, "partitions", json_integer(partition_count)));
}

int catalog_configure_topic(struct catalog *catalog, const struct catalog_topic *topic,
			    const struct topic_overrides *overrides)
{
	json_t *record = id_record("configure-topic", &topic->id);

	return change(catalog, with(record, "config", topic_config_object(overrides)));
}

int catalog_configure_group(struct catalog *catalog, const char *id,
			    const struct group_overrides *overrides)
{
	if (catalog->group_count >= GROUPS_MAX && !catalog_find_group(catalog, id))
		return -ERR_LIMIT;
	return change(catalog, group_record(id, overrides));
}

int catalog_configure_broker(struct catalog *catalog, enum broker_scope scope,
			     const struct broker_overrides *overrides)
{
	return change(catalog, broker_record(scope, overrides));
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
