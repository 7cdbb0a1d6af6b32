/* Each allocation of each change of the catalog fails once: the change happens or it does not, in
 * memory as on the disk, and can be made afterwards. */
#include "base/bytes.h"
#include "control/catalog.h"
#include "tests/control/folder.h"
#include "tests/failing_memory.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { ALLOCATIONS_MAX = 1000, TOPICS = 16 /* what the table has room for at first */ };

/* Jansson's come from a library that nothing wraps. */
static void *allocate(size_t size)
{
	return malloc(size);
}

static void open_catalog(const struct folder *folder, struct catalog **ret)
{
	char why[256];

	if (catalog_open(ret, folder->fd, why, sizeof(why)) < 0)
		fail_msg("%s", why);
}

static const struct catalog_topic *find(const struct catalog *catalog, const char *name)
{
	return catalog_find(catalog, name, strlen(name));
}

static int create(struct catalog *catalog, const char *name)
{
	struct topic_overrides overrides = {0};
	const struct catalog_topic *topic;
	char why[256];

	/* What it is told with is the test's, and may fail as well. */
	int rc = topic_overrides_set(&overrides, "segment.bytes", "2097152", why, sizeof(why));
	if (rc == 0)
		rc = catalog_create_topic(catalog, name, 3, &overrides, &topic);
	topic_overrides_fini(&overrides);
	return rc;
}

static unsigned count(char *const *texts, size_t most)
{
	unsigned set = 0;

	for (size_t i = 0; i < most; i++)
		set += texts[i] != NULL;
	return set;
}

/* ---- changes, and whether they have happened ---- */

struct change {
	int (*make)(struct catalog *catalog);
	bool (*happened)(const struct catalog *catalog);
};

static int create_topic(struct catalog *catalog)
{
	return create(catalog, "new");
}

static bool is_created(const struct catalog *catalog)
{
	const struct catalog_topic *topic = find(catalog, "new");

	if (!topic) {
		assert_int_equal(catalog_topic_count(catalog), TOPICS);
		assert_int_equal(catalog_partition_count(catalog), 3 * TOPICS);
		return false;
	}
	assert_int_equal(topic->partition_count, 3);
	assert_int_equal(count(topic->overrides.texts, TOPIC_CONFIG_COUNT), 1);
	assert_int_equal(catalog_topic_count(catalog), TOPICS + 1);
	return true;
}

static int delete_topic(struct catalog *catalog)
{
	return catalog_delete_topic(catalog, find(catalog, "topic0"));
}

static bool is_deleted(const struct catalog *catalog)
{
	return !find(catalog, "topic0");
}

static int grow_topic(struct catalog *catalog)
{
	return catalog_grow_topic(catalog, find(catalog, "topic0"), 7);
}

static bool is_grown(const struct catalog *catalog)
{
	int32_t count = find(catalog, "topic0")->partition_count;

	assert_true(count == 3 || count == 7);
	assert_int_equal(catalog_partition_count(catalog), 3 * TOPICS + count - 3);
	return count == 7;
}

static int configure_topic(struct catalog *catalog)
{
	static const char *const settings[][2] = {{"retention.ms", "3600000"},
						  {"segment.bytes", "4194304"},
						  {"cleanup.policy", "compact"}};
	struct topic_overrides overrides = {0};
	char why[256];
	int rc = 0;

	for (size_t i = 0; i < array_count(settings) && rc == 0; i++)
		rc = topic_overrides_set(&overrides, settings[i][0], settings[i][1], why,
					 sizeof(why));
	if (rc == 0)
		rc = catalog_configure_topic(catalog, find(catalog, "topic0"), &overrides);
	topic_overrides_fini(&overrides);
	return rc;
}

/* One before, all three behind. */
static bool is_configured(const struct catalog *catalog)
{
	unsigned set = count(find(catalog, "topic0")->overrides.texts, TOPIC_CONFIG_COUNT);

	assert_true(set == 1 || set == 3);
	return set == 3;
}

static int take_producer_ids(struct catalog *catalog)
{
	int64_t first;

	return catalog_take_producer_ids(catalog, 1000, &first);
}

/* No question tells. */
static bool are_taken(const struct catalog *catalog)
{
	(void)catalog;
	return true;
}

static int begin_run(struct catalog *catalog)
{
	int32_t epoch;

	return catalog_begin_run(catalog, &epoch);
}

static int configure_group(struct catalog *catalog)
{
	struct group_overrides overrides = {0};
	char why[256];

	int rc = group_overrides_set(&overrides, "share.session.timeout.ms", "50000", why,
				     sizeof(why));
	if (rc == 0)
		rc = catalog_configure_group(catalog, "group", &overrides);
	group_overrides_fini(&overrides);
	return rc;
}

static bool group_is_configured(const struct catalog *catalog)
{
	return catalog_find_group(catalog, "group") != NULL;
}

/* ---- each of their allocations ---- */

static struct catalog *catalog_with_topics(const struct folder *folder)
{
	struct catalog *catalog;
	char name[16];

	open_catalog(folder, &catalog);
	for (unsigned i = 0; i < TOPICS; i++) {
		snprintf(name, sizeof(name), "topic%u", i);
		assert_int_equal(create(catalog, name), 0);
	}
	return catalog;
}

/* False: there was no such allocation. */
static bool fails_at(const struct change *change, unsigned number)
{
	struct folder *folder = folder_new();
	struct catalog *catalog = catalog_with_topics(folder);

	memory_fail(number, false);
	int rc = change->make(catalog);
	bool failed = memory_failures() > 0;
	memory_fail(0, false);
	assert_true(rc == 0 || (failed && rc == -ENOMEM));
	for (int life = 0; life < 2; life++) {
		assert_true(change->happened == are_taken ||
			    change->happened(catalog) == (rc == 0));
		catalog_close(catalog);
		open_catalog(folder, &catalog);
	}
	if (rc < 0)
		assert_int_equal(change->make(catalog), 0);
	assert_true(change->happened(catalog));
	catalog_close(catalog);
	folder_free(folder);
	return failed;
}

static void each_fails(const struct change *change)
{
	unsigned number = 1;

	json_set_alloc_funcs(allocate, free);
	while (number < ALLOCATIONS_MAX && fails_at(change, number))
		number++;
	assert_in_range(number, 2, ALLOCATIONS_MAX - 1);
}

static void a_topic_is_created_or_not(void **state)
{
	each_fails(&(struct change){create_topic, is_created});
}

static void a_topic_is_deleted_or_not(void **state)
{
	each_fails(&(struct change){delete_topic, is_deleted});
}

static void a_topic_is_grown_or_not(void **state)
{
	each_fails(&(struct change){grow_topic, is_grown});
}

static void a_topic_is_configured_or_not(void **state)
{
	each_fails(&(struct change){configure_topic, is_configured});
}

static void a_group_is_configured_or_not(void **state)
{
	each_fails(&(struct change){configure_group, group_is_configured});
}

static void producer_ids_are_taken_or_not(void **state)
{
	each_fails(&(struct change){take_producer_ids, are_taken});
}

static void a_run_begins_or_not(void **state)
{
	each_fails(&(struct change){begin_run, are_taken});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_topic_is_created_or_not),
		cmocka_unit_test(a_topic_is_deleted_or_not),
		cmocka_unit_test(a_topic_is_grown_or_not),
		cmocka_unit_test(a_topic_is_configured_or_not),
		cmocka_unit_test(a_group_is_configured_or_not),
		cmocka_unit_test(producer_ids_are_taken_or_not),
		cmocka_unit_test(a_run_begins_or_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
