/* From a changed catalog to an answer, with memory and without.  This thread plays the control
 * plane, the shards and the coordinator; what these would do with a picture is left out (--wrap).
 */
#include "base/arena.h"
#include "base/bytes.h"
#include "base/check.h"
#include "control/control_internal.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/message.h"
#include "dataplane/topics.h"
#include "kafka_messages.h"
#include "storage/io.h"
#include "tests/control/folder.h"
#include "tests/failing_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

/* The linker's names (--wrap) have no header. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

enum { SHARDS = 2, THREADS = SHARDS + 3, ARENA_BYTES = 64 << 10, TURNS_MAX = 100 };

struct bench {
	struct folder *folder;
	struct config config;
	struct control control;
	struct io_backend *io;
	struct shard_publish publishes[SHARDS + 1];
	unsigned pictures; /* that a shard was sent */
	size_t topics;     /* in the last of them */
};

struct question {
	struct control_request request; /* first */
	struct arena arena;
	unsigned answers;
};

static struct bench bench;

/* ---- in place of the shards, the coordinator, and who answers ---- */

void __wrap_shard_publish_handle(struct message *message, void *shard);
void __wrap_shard_publish_handle(struct message *message, void *shard)
{
	struct shard_publish *publish = container_of(message, struct shard_publish, message);

	bench.pictures++;
	bench.topics = publish->topics->count;
	publish->message.handle = publish->published;
	mesh_send(bench.control.mesh, 0, mesh_control(bench.control.mesh), message);
	(void)shard;
}

void __wrap_coordinator_publish_handle(struct message *message, void *coordinator);
void __wrap_coordinator_publish_handle(struct message *message, void *coordinator)
{
	struct shard_publish *publish = container_of(message, struct shard_publish, message);
	struct mesh *mesh = bench.control.mesh;

	publish->message.handle = publish->published;
	mesh_send(mesh, mesh_coordinator(mesh), mesh_control(mesh), message);
	(void)coordinator;
}

void __wrap_requests_answer(struct control *control, struct control_request *request);
void __wrap_requests_answer(struct control *control, struct control_request *request)
{
	((struct question *)request)->answers++;
	(void)control;
}

/* ---- a control plane without its thread ---- */

static void load_config(struct config *ret)
{
	char name[] = "sluiced", *argv[] = {name, NULL}, *environment[] = {NULL};
	enum config_action action;
	char why[256];

	check(config_load(ret, 1, argv, environment, &action, NULL, why, sizeof(why)) == 0);
}

static int setup(void **state)
{
	const struct io_options io = {.depth = 8};
	struct control *control = &bench.control;
	char why[256];

	memset(&bench, 0, sizeof(bench));
	load_config(&bench.config);
	bench.folder = folder_new();
	check(catalog_open(&control->catalog, bench.folder->fd, why, sizeof(why)) == 0);
	check(io_sync_new(&bench.io, &io) == 0);
	check(mesh_new(&control->mesh, THREADS) == 0);
	for (unsigned i = 0; i < THREADS; i++)
		mesh_attach(control->mesh, i, bench.io,
			    i == mesh_control(control->mesh) ? control : NULL);
	control->config = &bench.config;
	control->publishes = bench.publishes;
	control->shard_count = SHARDS;
	control->ready = true;
	list_init(&control->waiting_coming);
	list_init(&control->waiting_next);
	return 0;
}

static int teardown(void **state)
{
	publish_free(&bench.control);
	mesh_free(bench.control.mesh);
	io_free(bench.io);
	catalog_close(bench.control.catalog);
	config_fini(&bench.config);
	folder_free(bench.folder);
	return 0;
}

/* As control_run: messages, then what found no memory before. */
static void turns(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		for (unsigned thread = 0; thread < THREADS; thread++)
			mesh_receive(bench.control.mesh, thread);
		publish_turn(&bench.control);
	}
}

static void create(const char *name)
{
	static const struct topic_overrides none;
	const struct catalog_topic *topic;

	check(catalog_create_topic(bench.control.catalog, name, 3, &none, &topic) == 0);
}

static void ask(struct question *question, size_t arena_bytes)
{
	const struct kafka_api *api = kafka_api_find(KAFKA_CREATE_TOPICS);

	*question = (struct question){.request.api = api, .request.arena = &question->arena};
	arena_init(&question->arena, arena_bytes);
	publish_then_answer(&bench.control, &question->request);
}

/* ---- */

static void it_is_answered_when_every_shard_knows_it(void **state)
{
	struct question question;

	create("t");
	ask(&question, ARENA_BYTES);
	assert_int_equal(question.answers, 0);
	turns(TURNS_MAX);
	assert_int_equal(question.answers, 1);
	assert_int_equal(bench.pictures, SHARDS);
	assert_int_equal(bench.topics, 1);
	arena_fini(&question.arena);
}

static void without_memory_for_a_picture_it_waits_for_that(void **state)
{
	struct question question;

	memory_fail(0, false);
	create("t");
	/* Once the request has its place to wait. */
	question = (struct question){0};
	memory_fail(2, true);
	ask(&question, ARENA_BYTES);
	turns(TURNS_MAX);
	assert_true(memory_failures() > TURNS_MAX / 2);
	memory_fail(0, false);
	assert_int_equal(question.answers, 0);
	assert_int_equal(bench.pictures, 0);
	turns(TURNS_MAX);
	assert_int_equal(question.answers, 1);
	assert_int_equal(bench.pictures, SHARDS);
	assert_int_equal(bench.topics, 1);
	arena_fini(&question.arena);
}

static void what_changes_meanwhile_is_published_with_it(void **state)
{
	struct question first, second;

	create("t");
	memory_fail(2, true);
	ask(&first, ARENA_BYTES);
	turns(2);
	memory_fail(0, false);
	create("u");
	ask(&second, ARENA_BYTES);
	turns(TURNS_MAX);
	assert_int_equal(first.answers, 1);
	assert_int_equal(second.answers, 1);
	assert_int_equal(bench.pictures, SHARDS);
	assert_int_equal(bench.topics, 2);
	arena_fini(&first.arena);
	arena_fini(&second.arena);
}

static void what_changes_during_a_publish_has_the_next(void **state)
{
	struct question first, second;

	create("t");
	ask(&first, ARENA_BYTES);
	create("u");
	memory_fail(2, true);
	ask(&second, ARENA_BYTES);
	turns(TURNS_MAX);
	memory_fail(0, false);
	assert_int_equal(first.answers, 1);
	assert_int_equal(second.answers, 0);
	assert_int_equal(bench.topics, 1);
	turns(TURNS_MAX);
	assert_int_equal(second.answers, 1);
	assert_int_equal(bench.pictures, 2 * SHARDS);
	assert_int_equal(bench.topics, 2);
	arena_fini(&first.arena);
	arena_fini(&second.arena);
}

static void who_finds_no_memory_to_wait_is_answered_at_once(void **state)
{
	struct question question;

	create("t");
	memory_fail(1, false);
	ask(&question, ARENA_BYTES);
	memory_fail(0, false);
	assert_int_equal(question.answers, 1);
	turns(TURNS_MAX);
	assert_int_equal(question.answers, 1);
	assert_int_equal(bench.pictures, SHARDS);
	assert_int_equal(bench.topics, 1);
	arena_fini(&question.arena);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(it_is_answered_when_every_shard_knows_it),
		TEST(without_memory_for_a_picture_it_waits_for_that),
		TEST(what_changes_meanwhile_is_published_with_it),
		TEST(what_changes_during_a_publish_has_the_next),
		TEST(who_finds_no_memory_to_wait_is_answered_at_once),
	};
	char why[160] = "";

	if (eal_start(THREADS, why, sizeof(why)) < 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	return failed;
}
