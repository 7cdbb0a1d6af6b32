/* The catalog's journal: a byte of choice, then the file as it is, or { u16 length, payload } and
 * so on, each of which becomes a record with its checksum.  What cannot be read is refused and left
 * as it is.  What has opened takes every kind of change, and says the same when it is opened anew.
 */
#include "base/errors.h"
#include "control/catalog.h"
#include "control/config.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input.h"
#include "tests/storage/support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum {
	AS_IT_IS = 0x01,
	TORN = 0x02, /* the last record lacks its last byte */
	FILE_HEADER_BYTES = 16,
	RECORD_HEADER_BYTES = 16,
	GROWTH = 9, /* empty records: sixteen bytes of header for two of input */
};

struct bytes {
	uint8_t *data;
	size_t size;
};

static struct {
	char path[128];
	char journal[160];
	int fd;
	struct config config;
} world;

static void remove_world(void)
{
	remove_folder(world.path);
}

static void start_world(void)
{
	char name[] = "sluiced", *argv[] = {name, NULL}, *environment[] = {NULL};
	enum config_action action;
	char why[256], folder[160];

	check(config_load(&world.config, 1, argv, environment, &action, NULL, why, sizeof(why)) ==
	      0);
	make_folder(world.path, true);
	snprintf(folder, sizeof(folder), "%s/catalog", world.path);
	check(mkdir(folder, 0700) == 0);
	snprintf(world.journal, sizeof(world.journal), "%s/catalog/journal", world.path);
	world.fd = open(world.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(world.fd >= 0);
	atexit(remove_world);
}

/* ---- the file ---- */

static void put_record(struct bytes *file, const uint8_t *payload, uint32_t length)
{
	uint64_t sum = XXH3_64bits(payload, length);

	memcpy(file->data + file->size, &length, sizeof(length));
	memcpy(file->data + file->size + 8, &sum, sizeof(sum));
	memcpy(file->data + file->size + RECORD_HEADER_BYTES, payload, length);
	file->size += RECORD_HEADER_BYTES + length;
}

static struct bytes make_journal(struct input input)
{
	uint8_t choice = input_u8(&input);
	struct bytes file = {.data = calloc(GROWTH, input.left + RECORD_HEADER_BYTES)};

	check(file.data != NULL);
	if (choice & AS_IT_IS) {
		file.size = input.left;
		memcpy(file.data, input.at, input.left);
		return file;
	}
	memcpy(file.data, "SLUICEjl\1", 9);
	file.size = FILE_HEADER_BYTES;
	while (input.left > 0) {
		size_t length = input_u16(&input);
		const uint8_t *payload = input_take(&input, &length);
		put_record(&file, payload, (uint32_t)length);
	}
	if (choice & TORN && file.size > FILE_HEADER_BYTES)
		file.size--;
	return file;
}

static void check_untouched(const struct bytes *file)
{
	size_t size;
	uint8_t *found = load_file(world.journal, &size);

	check(size == file->size);
	check(memcmp(found, file->data, size) == 0);
	free(found);
}

/* ---- what has to come of it ---- */

static void check_tables(const struct catalog *catalog)
{
	int64_t partitions = 0;

	for (size_t i = 0; i < catalog_topic_count(catalog); i++) {
		const struct catalog_topic *topic = catalog_topic_at(catalog, i);
		check(catalog_find(catalog, topic->name, strlen(topic->name)) == topic);
		check(catalog_find_id(catalog, &topic->id) != NULL);
		check(topic->partition_count > 0);
		partitions += topic->partition_count;
		topic_config_resolve(&world.config, &topic->overrides);
	}
	check(partitions == catalog_partition_count(catalog));
	for (size_t i = 0; i < catalog_group_count(catalog); i++) {
		const struct catalog_group *group = catalog_group_at(catalog, i);
		check(catalog_find_group(catalog, group->id) == group);
		check(!group_overrides_none(&group->overrides));
		group_config_resolve(&world.config, &group->overrides);
	}
}

static void change_topics(struct catalog *catalog)
{
	static const char name[] = "fuzz.of.the.catalog";
	struct topic_overrides overrides = {0};
	const struct catalog_topic *topic;
	char why[256];

	check(topic_overrides_set(&overrides, "retention.ms", "1h", why, sizeof(why)) == 0);
	if (catalog_topic_count(catalog) > 0) {
		topic = catalog_topic_at(catalog, 0);
		check(catalog_configure_topic(catalog, topic, &overrides) == 0);
		if (topic->partition_count < INT32_MAX)
			check(catalog_grow_topic(catalog, topic, topic->partition_count + 1) == 0);
		check(catalog_delete_topic(catalog, topic) == 0);
	}
	if (!catalog_find(catalog, name, sizeof(name) - 1))
		check(catalog_create_topic(catalog, name, 3, &overrides, &topic) == 0);
	topic_overrides_fini(&overrides);
}

static void change_groups(struct catalog *catalog)
{
	struct group_overrides overrides = {0};
	char why[256];

	check(group_overrides_set(&overrides, "share.auto.offset.reset", "earliest", why,
				  sizeof(why)) == 0);
	check(catalog_configure_group(catalog, "fuzz", &overrides) == 0);
	group_overrides_fini(&overrides);
	if (catalog_group_count(catalog) > 1) {
		char *id = strdup(catalog_group_at(catalog, 0)->id);
		check(catalog_configure_group(catalog, id, &overrides) == 0);
		free(id);
	}
}

static void change_broker(struct catalog *catalog)
{
	struct broker_overrides overrides = {0};
	char why[256];

	check(broker_overrides_copy(&overrides, catalog_broker_overrides(catalog, BROKER_ONE)) ==
	      0);
	check(broker_overrides_set(&overrides, "num.partitions", "3", why, sizeof(why)) == 0);
	check(catalog_configure_broker(catalog, BROKER_ONE, &overrides) == 0);
	broker_overrides_fini(&overrides);
	check(catalog_configure_broker(catalog, BROKER_ALL, &overrides) == 0);
}

static void check_broker(const struct catalog *catalog)
{
	check(strcmp(catalog_broker_overrides(catalog, BROKER_ONE)->texts[CONFIG_num_partitions],
		     "3") == 0);
	check(broker_overrides_none(catalog_broker_overrides(catalog, BROKER_ALL)));
}

static void use(struct catalog *catalog)
{
	struct catalog *again;
	int32_t epoch;
	int64_t first, next;
	char why[256];

	check_tables(catalog);
	int rc = catalog_begin_run(catalog, &epoch);
	check(rc == -ERR_LIMIT || (rc == 0 && epoch > 0));
	rc = catalog_take_producer_ids(catalog, 1000, &first);
	check(rc == -ERR_LIMIT || (rc == 0 && first >= 0));
	change_topics(catalog);
	change_groups(catalog);
	change_broker(catalog);
	check_tables(catalog);
	check(catalog_open(&again, world.fd, why, sizeof(why)) == 0);
	check(catalog_topic_count(again) == catalog_topic_count(catalog));
	check(catalog_group_count(again) == catalog_group_count(catalog));
	check(uuid_equal(catalog_cluster_id(again), catalog_cluster_id(catalog)));
	check_tables(again);
	check_broker(again);
	if (rc == 0) {
		check(catalog_take_producer_ids(again, 0, &next) == 0);
		check(next == first + 1000);
	}
	catalog_close(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct catalog *catalog;
	char why[256] = "";

	if (!world.journal[0])
		start_world();
	struct bytes file = make_journal((struct input){data, size});
	save_file(world.journal, file.data, file.size);
	int rc = catalog_open(&catalog, world.fd, why, sizeof(why));
	if (rc == 0) {
		use(catalog);
		catalog_close(catalog);
	} else {
		check(rc == -ERR_CORRUPT || rc == -ERR_FORMAT);
		check(why[0]);
		check_untouched(&file);
	}
	free(file.data);
	return 0;
}
