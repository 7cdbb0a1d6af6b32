/* Every change of the catalog is still there after it is closed and opened anew. */
#include "base/errors.h"
#include "control/catalog.h"
#include "tests/control/folder.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
	struct folder *folder;
	struct catalog *catalog;
};

static void open_catalog(struct fixture *f)
{
	char why[256];

	assert_int_equal(catalog_open(&f->catalog, f->folder->fd, why, sizeof(why)), 0);
}

static void reopen(struct fixture *f)
{
	catalog_close(f->catalog);
	open_catalog(f);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->folder = folder_new();
	open_catalog(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	catalog_close(f->catalog);
	folder_free(f->folder);
	free(f);
	return 0;
}

static const struct catalog_topic *find(const struct fixture *f, const char *name)
{
	return catalog_find(f->catalog, name, strlen(name));
}

static const struct catalog_topic *create(struct fixture *f, const char *name, int32_t partitions)
{
	static const struct topic_overrides none;
	const struct catalog_topic *topic = NULL;

	assert_int_equal(catalog_create_topic(f->catalog, name, partitions, &none, &topic), 0);
	assert_ptr_equal(topic, find(f, name));
	return topic;
}

static void the_cluster_id_stays(void **state)
{
	struct fixture *f = *state;
	struct uuid id = *catalog_cluster_id(f->catalog);

	assert_false(uuid_zero(&id));
	reopen(f);
	assert_true(uuid_equal(&id, catalog_cluster_id(f->catalog)));
}

static void runs_are_numbered_from_one(void **state)
{
	struct fixture *f = *state;
	int32_t epoch = 0;

	for (int32_t run = 1; run <= 3; run++) {
		assert_int_equal(catalog_begin_run(f->catalog, &epoch), 0);
		assert_int_equal(epoch, run);
		reopen(f);
	}
}

static void producer_ids_are_never_given_twice(void **state)
{
	struct fixture *f = *state;
	int64_t first = -1;

	assert_int_equal(catalog_take_producer_ids(f->catalog, 1000, &first), 0);
	assert_int_equal(first, 0);
	reopen(f);
	assert_int_equal(catalog_take_producer_ids(f->catalog, 1000, &first), 0);
	assert_int_equal(first, 1000);
}

static void producer_ids_that_are_not_left_are_refused(void **state)
{
	struct fixture *f = *state;
	int64_t first = -1;

	assert_int_equal(catalog_take_producer_ids(f->catalog, INT64_MAX - 10, &first), 0);
	assert_int_equal(catalog_take_producer_ids(f->catalog, 11, &first), -ERR_LIMIT);
	assert_int_equal(catalog_take_producer_ids(f->catalog, 10, &first), 0);
	assert_true(first == INT64_MAX - 10);
	reopen(f);
	assert_int_equal(catalog_take_producer_ids(f->catalog, 1, &first), -ERR_LIMIT);
}

static void topics_are_kept_in_order_of_name(void **state)
{
	static const char *const names[] = {"m", "a.b", "z", "a", "a-b", "zz"};
	struct fixture *f = *state;

	for (unsigned i = 0; i < 6; i++)
		create(f, names[i], (int32_t)i + 1);
	for (int twice = 0; twice < 2; twice++) {
		assert_int_equal(catalog_topic_count(f->catalog), 6);
		assert_int_equal(catalog_partition_count(f->catalog), 21);
		for (size_t i = 1; i < 6; i++)
			assert_true(strcmp(catalog_topic_at(f->catalog, i - 1)->name,
					   catalog_topic_at(f->catalog, i)->name) < 0);
		assert_int_equal(find(f, "z")->partition_count, 3);
		assert_null(find(f, "b"));
		assert_null(catalog_find(f->catalog, "a\0b", 3));
		reopen(f);
	}
}

static void a_deleted_topic_stays_deleted_and_may_come_again(void **state)
{
	struct fixture *f = *state;
	struct uuid id = create(f, "t", 2)->id;

	assert_ptr_equal(catalog_find_id(f->catalog, &id), find(f, "t"));
	assert_int_equal(catalog_delete_topic(f->catalog, find(f, "t")), 0);
	assert_null(find(f, "t"));
	reopen(f);
	assert_null(find(f, "t"));
	assert_null(catalog_find_id(f->catalog, &id));
	assert_int_equal(catalog_partition_count(f->catalog), 0);
	assert_false(uuid_equal(&id, &create(f, "t", 1)->id));
}

/* Its folder, in hexadecimal digits, as the storage names it. */
static void folder_name(const struct uuid *id, char path[static 64])
{
	char hex[UUID_HEX_BYTES];

	uuid_hex(id, hex);
	snprintf(path, 64, "topics/%s", hex);
}

static struct uuid delete_with_folder(struct fixture *f, const char *name)
{
	struct uuid id = create(f, name, 1)->id;
	char path[64];

	folder_name(&id, path);
	mkdirat(f->folder->fd, "topics", 0755);
	assert_int_equal(mkdirat(f->folder->fd, path, 0755), 0);
	assert_int_equal(catalog_delete_topic(f->catalog, find(f, name)), 0);
	return id;
}

static void a_deleted_topic_is_told_of_until_its_folder_has_gone(void **state)
{
	struct fixture *f = *state;
	struct uuid id = delete_with_folder(f, "t");
	const struct uuid *left;
	char path[64];

	create(f, "without", 1);
	assert_int_equal(catalog_delete_topic(f->catalog, find(f, "without")), 0);
	create(f, "t", 1);
	for (int life = 0; life < 2; life++) {
		reopen(f);
		assert_int_equal(catalog_deleted(f->catalog, &left), 1);
		assert_true(uuid_equal(&left[0], &id));
	}
	folder_name(&id, path);
	assert_int_equal(unlinkat(f->folder->fd, path, AT_REMOVEDIR), 0);
	reopen(f);
	assert_int_equal(catalog_deleted(f->catalog, &left), 0);
}

static void a_grown_topic_stays_grown(void **state)
{
	struct fixture *f = *state;

	create(f, "t", 2);
	assert_int_equal(catalog_grow_topic(f->catalog, find(f, "t"), 5), 0);
	assert_int_equal(catalog_partition_count(f->catalog), 5);
	reopen(f);
	assert_int_equal(find(f, "t")->partition_count, 5);
	assert_int_equal(catalog_partition_count(f->catalog), 5);
}

static void settings_are_replaced_as_a_whole(void **state)
{
	struct fixture *f = *state;
	struct topic_overrides overrides = {0};
	char why[256];

	create(f, "t", 1);
	assert_int_equal(topic_overrides_set(&overrides, "retention.ms", "1h", why, sizeof(why)),
			 0);
	assert_int_equal(catalog_configure_topic(f->catalog, find(f, "t"), &overrides), 0);
	reopen(f);
	assert_string_equal(find(f, "t")->overrides.texts[TOPIC_CONFIG_retention_ms], "3600000");
	assert_int_equal(topic_overrides_set(&overrides, "retention.ms", NULL, why, sizeof(why)),
			 0);
	assert_int_equal(topic_overrides_set(&overrides, "cleanup.policy", "compact,delete", why,
					     sizeof(why)),
			 0);
	assert_int_equal(catalog_configure_topic(f->catalog, find(f, "t"), &overrides), 0);
	reopen(f);
	assert_null(find(f, "t")->overrides.texts[TOPIC_CONFIG_retention_ms]);
	assert_string_equal(find(f, "t")->overrides.texts[TOPIC_CONFIG_cleanup_policy],
			    "delete,compact");
	topic_overrides_fini(&overrides);
}

static void settings_of_the_broker_are_kept_for_all_and_for_one(void **state)
{
	struct fixture *f = *state;
	struct broker_overrides overrides = {0};
	char why[256];

	assert_int_equal(
		broker_overrides_set(&overrides, "log.retention.ms", "1h", why, sizeof(why)), 0);
	assert_int_equal(catalog_configure_broker(f->catalog, BROKER_ALL, &overrides), 0);
	assert_int_equal(
		broker_overrides_set(&overrides, "log.retention.ms", "2h", why, sizeof(why)), 0);
	assert_int_equal(catalog_configure_broker(f->catalog, BROKER_ONE, &overrides), 0);
	broker_overrides_fini(&overrides);
	reopen(f);
	assert_string_equal(
		catalog_broker_overrides(f->catalog, BROKER_ALL)->texts[CONFIG_log_retention_ms],
		"3600000");
	assert_string_equal(
		catalog_broker_overrides(f->catalog, BROKER_ONE)->texts[CONFIG_log_retention_ms],
		"7200000");
	assert_int_equal(catalog_configure_broker(f->catalog, BROKER_ONE, &overrides), 0);
	reopen(f);
	assert_false(broker_overrides_none(catalog_broker_overrides(f->catalog, BROKER_ALL)));
	assert_true(broker_overrides_none(catalog_broker_overrides(f->catalog, BROKER_ONE)));
}

static void a_setting_that_needs_a_restart_is_not_set_by_clients(void **state)
{
	struct broker_overrides overrides = {0};
	char why[256];

	(void)state;
	assert_int_equal(broker_overrides_set(&overrides, "shards", "2", why, sizeof(why)),
			 -ERR_CONFIG);
	assert_non_null(strstr(why, "after a restart"));
	assert_int_equal(broker_overrides_set(&overrides, "shard", "2", why, sizeof(why)),
			 -ERR_CONFIG);
	assert_true(broker_overrides_none(&overrides));
}

/* Overrides that make a record of about a kilobyte. */
static void override_everything(struct topic_overrides *ret)
{
	struct config defaults = {0};
	enum config_action action;
	char why[256];
	char *arguments[] = {(char[]){"sluiced"}};

	assert_int_equal(
		config_load(&defaults, 1, arguments, NULL, &action, NULL, why, sizeof(why)), 0);
	for (int i = 0; i < TOPIC_CONFIG_COUNT; i++)
		assert_int_equal(topic_overrides_set(ret, topic_params[i].key,
						     topic_config_default(
							     &defaults, (enum topic_config_index)i),
						     why, sizeof(why)),
				 0);
	config_fini(&defaults);
}

static off_t journal_size(const struct fixture *f)
{
	struct stat info;

	assert_int_equal(fstatat(f->folder->fd, "catalog/journal", &info, 0), 0);
	return info.st_size;
}

static void an_outgrown_journal_is_rewritten_without_loss(void **state)
{
	enum { CHANGES_MAX = 10000 };
	struct fixture *f = *state;
	struct topic_overrides overrides = {0};
	off_t before = 0;
	int changes = 0;
	int64_t first;
	const struct uuid *left;

	create(f, "kept", 7);
	struct uuid deleted = delete_with_folder(f, "deleted");
	assert_int_equal(catalog_take_producer_ids(f->catalog, 5, &first), 0);
	override_everything(&overrides);
	for (off_t size = 0; size >= before && changes < CHANGES_MAX; changes++) {
		before = size;
		assert_int_equal(catalog_configure_topic(f->catalog, find(f, "kept"), &overrides),
				 0);
		size = journal_size(f);
	}
	assert_true(changes < CHANGES_MAX && before > (4 << 20) - 4096);
	assert_true(journal_size(f) < 4096);
	reopen(f);
	assert_int_equal(find(f, "kept")->partition_count, 7);
	assert_string_equal(find(f, "kept")->overrides.texts[TOPIC_CONFIG_retention_ms],
			    overrides.texts[TOPIC_CONFIG_retention_ms]);
	assert_int_equal(catalog_take_producer_ids(f->catalog, 1, &first), 0);
	assert_int_equal(first, 5);
	assert_null(find(f, "deleted"));
	assert_int_equal(catalog_deleted(f->catalog, &left), 1);
	assert_true(uuid_equal(&left[0], &deleted));
	topic_overrides_fini(&overrides);
}

static void a_journal_of_a_newer_version_is_refused(void **state)
{
	struct fixture *f = *state;
	char why[256] = "";
	size_t length;
	char *data;

	catalog_close(f->catalog);
	data = folder_read(f->folder, "catalog/journal", &length);
	data[8] = 2; /* the format version */
	folder_write(f->folder, "catalog/journal", data, length);
	assert_int_equal(catalog_open(&f->catalog, f->folder->fd, why, sizeof(why)), -ERR_FORMAT);
	assert_non_null(strstr(why, "format version 2"));
	data[8] = 1;
	folder_write(f->folder, "catalog/journal", data, length);
	free(data);
	open_catalog(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_cluster_id_stays),
		TEST(runs_are_numbered_from_one),
		TEST(producer_ids_are_never_given_twice),
		TEST(producer_ids_that_are_not_left_are_refused),
		TEST(topics_are_kept_in_order_of_name),
		TEST(a_deleted_topic_stays_deleted_and_may_come_again),
		TEST(a_deleted_topic_is_told_of_until_its_folder_has_gone),
		TEST(a_grown_topic_stays_grown),
		TEST(settings_are_replaced_as_a_whole),
		TEST(settings_of_the_broker_are_kept_for_all_and_for_one),
		TEST(a_setting_that_needs_a_restart_is_not_set_by_clients),
		TEST(an_outgrown_journal_is_rewritten_without_loss),
		TEST(a_journal_of_a_newer_version_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
