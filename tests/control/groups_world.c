#include "tests/control/groups_world.h"

#include "base/bytes.h"
#include "storage/records.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { ARENA_BYTES_MAX = 64 << 20 };

/* ---- the log ---- */

void world_flush(struct world *world, int32_t partition)
{
	world_log_flush(&world->log, partition);
}

size_t world_appended(const struct world *world)
{
	return world_log_count(&world->log);
}

/* ---- loading ---- */

static void load(struct groups *groups, const struct world_log *log, int32_t partition)
{
	const struct world_records *records = &log->partitions[partition];

	groups_begin_load(groups, partition);
	for (size_t i = 0; i < records->durable; i++) {
		const struct world_record *from = &records->records[i];
		struct record record = world_record_read(from);
		char why[256] = "";
		int rc = groups_replay(groups, partition, &record, from->timestamp_ms, why,
				       sizeof(why));
		if (rc < 0)
			fail_msg("record %zu of partition %d: %s", i, partition, why);
	}
	groups_end_load(groups, partition);
}

void world_fail(struct world *world, int32_t partition)
{
	world_log_lose(&world->log, partition);
	load(world->groups, &world->log, partition);
}

static void answer(void *context, struct control_request *request)
{
	struct world_request *ask = container_of(request, struct world_request, request);

	assert_false(ask->answered);
	ask->answered = true;
}

static void share_answer(void *context, struct share_ask *ask)
{
	struct world_share *share = container_of(ask, struct world_share, ask);

	assert_false(share->answered);
	share->answered = true;
}

/* Groups over `to`, loaded from `from`. */
static struct groups *groups_over(struct world *world, struct world_log *to,
				  const struct world_log *from, int32_t partitions)
{
	struct groups_options options = {
		.config = &world->config,
		.clock = &world->clock,
		.log = &to->log,
		.answer = answer,
		.share_answer = share_answer,
	};
	struct groups *groups;

	assert_int_equal(groups_new(&groups, &options), 0);
	assert_int_equal(groups_set_partitions(groups, partitions), 0);
	groups_set_topics(groups, &world->topics);
	for (int32_t i = 0; i < partitions; i++)
		load(groups, from, i);
	return groups;
}

void world_restart(struct world *world)
{
	int32_t partitions = world->groups->partition_count;

	groups_stop(world->groups);
	for (int32_t i = 0; i < partitions; i++) {
		world_log_lose(&world->log, i);
	}
	groups_free(world->groups);
	world->groups = groups_over(world, &world->log, &world->log, partitions);
}

/* ---- life ---- */

static uint64_t monotonic_ns(const struct clock *clock)
{
	return container_of((void *)(uintptr_t)clock, struct world, clock)->now_ns;
}

static int64_t wall_ms(const struct clock *clock)
{
	return container_of((void *)(uintptr_t)clock, struct world, clock)->wall_ms;
}

static void load_defaults(struct config *config)
{
	char name[] = "sluiced", *argv[] = {name, NULL}, *environment[] = {NULL};
	enum config_action action;
	char why[256];

	assert_int_equal(config_load(config, 1, argv, environment, &action, NULL, why, sizeof(why)),
			 0);
}

struct world *world_new(int32_t partitions)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	assert_in_range(partitions, 1, WORLD_PARTITIONS_MAX);
	world->clock = (struct clock){monotonic_ns, wall_ms};
	world->now_ns = 1000 * NS_PER_SECOND;
	world->wall_ms = INT64_C(1750000000000);
	load_defaults(&world->config);
	world_log_init(&world->log);
	list_init(&world->requests);
	world->groups = groups_over(world, &world->log, &world->log, partitions);
	return world;
}

static void encode_answer(struct world_request *ask, struct wire_writer *writer)
{
	assert_int_equal(kafka_encode_response(ask->request.api, ask->request.version, 1,
					       ask->request.response, &ask->arena, writer),
			 0);
}

static void request_free(struct world_request *ask)
{
	struct wire_writer writer;

	if (ask->answered && ask->request.rc == 0)
		encode_answer(ask, &writer);
	arena_fini(&ask->arena);
	free(ask);
}

static void topics_fini(struct world *world)
{
	for (size_t i = 0; i < world->topics.count; i++)
		free(world->rows[i]);
	free(world->topics.by_name);
	free(world->topics.by_id);
}

void world_free(struct world *world)
{
	struct list *node;

	groups_stop(world->groups);
	for (int i = 0; i < WORLD_PARTITIONS_MAX; i++)
		world_tell_waits(&world->log.partitions[i].waits, 0);
	groups_free(world->groups);
	while ((node = list_pop_front(&world->requests)))
		request_free(container_of(node, struct world_request, link));
	world_log_fini(&world->log);
	topics_fini(world);
	config_fini(&world->config);
	free(world);
}

/* ---- topics ---- */

static int compare_names(const void *a, const void *b)
{
	const struct topic *const *x = a;
	const struct topic *const *y = b;
	return strcmp((*x)->name, (*y)->name);
}

static int compare_ids(const void *a, const void *b)
{
	const struct topic *const *x = a;
	const struct topic *const *y = b;
	return memcmp(&(*x)->id, &(*y)->id, sizeof((*x)->id));
}

/* Draws the picture anew and shows it; the former one lives until then. */
static void publish(struct world *world, size_t count)
{
	struct topics former = world->topics;
	size_t bytes = (count ? count : 1) * sizeof(struct topic *);

	world->topics.count = count;
	world->topics.version++;
	world->topics.by_name = world_copy(world->rows, bytes);
	world->topics.by_id = world_copy(world->rows, bytes);
	qsort(world->topics.by_name, count, sizeof(struct topic *), compare_names);
	qsort(world->topics.by_id, count, sizeof(struct topic *), compare_ids);
	groups_set_topics(world->groups, &world->topics);
	free(former.by_name);
	free(former.by_id);
}

static size_t row_of(const struct world *world, const char *name)
{
	size_t i = 0;

	while (i < world->topics.count && strcmp(world->rows[i]->name, name) != 0)
		i++;
	assert_true(i < world->topics.count);
	return i;
}

const struct topic *world_topic(struct world *world, const char *name, int32_t partitions)
{
	struct topic *topic = calloc(1, sizeof(*topic));
	size_t count = world->topics.count;

	assert_non_null(topic);
	assert_true(count < WORLD_TOPICS_MAX);
	snprintf(topic->name, sizeof(topic->name), "%s", name);
	topic->number = ++world->topics_made;
	store_be32(topic->id.bytes, 0x70700000 + topic->number * 7919);
	topic->partition_count = partitions;
	world->rows[count] = topic;
	publish(world, count + 1);
	return topic;
}

void world_grow_topic(struct world *world, const char *name, int32_t partitions)
{
	world->rows[row_of(world, name)]->partition_count = partitions;
	publish(world, world->topics.count);
}

void world_delete_topic(struct world *world, const char *name)
{
	size_t place = row_of(world, name);
	struct topic *topic = world->rows[place];

	world->rows[place] = world->rows[world->topics.count - 1];
	publish(world, world->topics.count - 1);
	free(topic);
}

/* ---- time ---- */

void world_advance(struct world *world, int64_t ms)
{
	uint64_t end_ns = world->now_ns + (uint64_t)ms * NS_PER_MS;
	uint64_t next_ns = groups_turn(world->groups);

	while (world->now_ns < end_ns) {
		uint64_t to_ns = next_ns < end_ns ? next_ns : end_ns;
		assert_true(to_ns > world->now_ns);
		world->wall_ms += (int64_t)(to_ns / NS_PER_MS) -
				  (int64_t)(world->now_ns / NS_PER_MS);
		world->now_ns = to_ns;
		next_ns = groups_turn(world->groups);
	}
}

/* ---- requests ---- */

static struct world_request *request_new(struct world *world, int16_t key, int16_t version)
{
	const struct kafka_api *api = kafka_api_find(key);
	struct world_request *ask = calloc(1, sizeof(*ask));

	assert_non_null(api);
	assert_non_null(ask);
	assert_in_range(version, api->min_version, api->max_version);
	arena_init(&ask->arena, ARENA_BYTES_MAX);
	ask->world = world;
	ask->request = (struct control_request){
		.api = api,
		.version = version,
		.arena = &ask->arena,
		.client_id = kafka_string_of("client"),
		.client_host = kafka_string_of("192.0.2.7"),
	};
	ask->message = world_alloc(ask, 1, api->request_size);
	ask->request.response = world_alloc(ask, 1, api->response_size);
	api->init_request(ask->message);
	api->init_response(ask->request.response);
	return ask;
}

struct world_request *world_ask(struct world *world, int16_t key, int16_t version)
{
	struct world_request *ask = request_new(world, key, version);

	list_push_back(&world->requests, &ask->link);
	return ask;
}

void *world_alloc(struct world_request *ask, size_t count, size_t size)
{
	void *memory = arena_calloc(&ask->arena, count, size);

	assert_non_null(memory);
	return memory;
}

/* A frame without its size, in one piece. */
static uint8_t *frame_of(const struct wire_writer *writer, struct arena *arena, size_t *ret_length)
{
	uint8_t *frame = arena_alloc(arena, writer->bytes);
	uint8_t *at = frame;

	assert_non_null(frame);
	for (size_t i = 0; i < writer->vector_count; i++) {
		memcpy(at, writer->vectors[i].iov_base, writer->vectors[i].iov_len);
		at += writer->vectors[i].iov_len;
	}
	*ret_length = writer->bytes - 4;
	return frame + 4;
}

static void send_to(struct groups *groups, struct world_request *ask)
{
	struct kafka_request_header header;
	const struct kafka_api *api;
	struct wire_writer writer;
	void *request;
	size_t length;

	assert_int_equal(kafka_encode_request(ask->request.api, ask->request.version, 1, "client",
					      ask->message, &ask->arena, &writer),
			 0);
	const uint8_t *frame = frame_of(&writer, &ask->arena, &length);
	assert_int_equal(kafka_decode_request(frame, length, &ask->arena, &header, &api, &request),
			 0);
	ask->request.request = request;
	groups_handle(groups, &ask->request);
}

void world_send(struct world_request *ask)
{
	send_to(ask->world->groups, ask);
}

void *world_answer(struct world_request *ask)
{
	struct wire_writer writer;
	int32_t correlation_id;
	void *response;
	size_t length;

	assert_true(ask->answered);
	assert_int_equal(ask->request.rc, 0);
	encode_answer(ask, &writer);
	const uint8_t *frame = frame_of(&writer, &ask->arena, &length);
	assert_int_equal(kafka_decode_response(ask->request.api, ask->request.version, frame,
					       length, &ask->arena, &correlation_id, &response),
			 0);
	return response;
}

/* ---- the same after a restart ---- */

/* What groups_rewrite writes of `groups`, into `ret`. */
static void rewrite(struct groups *groups, struct world_log *ret)
{
	struct state_log *own = groups->options.log;

	world_log_init(ret);
	groups->options.log = &ret->log;
	for (int32_t i = 0; i < groups->partition_count; i++) {
		assert_int_equal(groups_rewrite(groups, i), 0);
		assert_int_equal(groups_live_records(groups, i), ret->partitions[i].count);
	}
	groups->options.log = own;
}

static int compare_bytes(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
	int order = memcmp(a, b, a_size < b_size ? a_size : b_size);

	return order ? order : (a_size > b_size) - (a_size < b_size);
}

static int compare_records(const void *a, const void *b)
{
	const struct world_record *x = a;
	const struct world_record *y = b;

	return compare_bytes(x->key, x->key_size, y->key, y->key_size);
}

static void print_record(const char *which, const struct world_record *record)
{
	print_message("%s: key ", which);
	for (size_t i = 0; i < record->key_size; i++)
		print_message("%02x", record->key[i]);
	print_message(" value ");
	for (size_t i = 0; i < record->value_size; i++)
		print_message("%02x", record->value[i]);
	print_message("\n");
}

/* The same records in any order; a value never is a tombstone. */
static void check_same_records(struct world_log *before, struct world_log *now, const char *what)
{
	for (int i = 0; i < WORLD_PARTITIONS_MAX; i++) {
		struct world_records *x = &before->partitions[i];
		struct world_records *y = &now->partitions[i];
		if (x->count != y->count)
			fail_msg("%s: %zu records were %zu", what, y->count, x->count);
		if (!x->count)
			continue;
		qsort(x->records, x->count, sizeof(*x->records), compare_records);
		qsort(y->records, y->count, sizeof(*y->records), compare_records);
		for (size_t j = 0; j < x->count; j++) {
			const struct world_record *a = &x->records[j];
			const struct world_record *b = &y->records[j];
			if (compare_records(a, b) == 0 &&
			    compare_bytes(a->value, a->value_size, b->value, b->value_size) == 0)
				continue;
			print_record("before", a);
			print_record("now", b);
			fail_msg("%s: another record", what);
		}
	}
}

static struct kafka_string *ids_of(const struct groups *groups, struct world_request *ask,
				   int32_t *ret_count)
{
	struct kafka_string *ids = world_alloc(ask, groups->count, sizeof(*ids));

	*ret_count = 0;
	for (int32_t i = 0; i < groups->partition_count; i++) {
		list_foreach(node, &groups->partitions[i].groups)
			ids[(*ret_count)++] = group_id(container_of(node, struct group, link));
	}
	return ids;
}

/* What an admin request says of the groups in `of`, asked of `groups`. */
static struct world_request *view(struct groups *groups, struct world *world,
				  const struct groups *of, int16_t key)
{
	struct world_request *ask = request_new(world, key, kafka_api_find(key)->max_version);

	if (key == KAFKA_DESCRIBE_GROUPS) {
		struct kafka_describe_groups_request *asked = ask->message;
		asked->groups = ids_of(of, ask, &asked->groups_count);
	} else {
		struct kafka_consumer_group_describe_request *asked = ask->message;
		asked->group_ids = ids_of(of, ask, &asked->group_ids_count);
	}
	send_to(groups, ask);
	assert_true(ask->answered);
	return ask;
}

static void check_same_view(struct world *world, struct groups *before, struct groups *now,
			    int16_t key)
{
	struct world_request *asks[] = {view(before, world, before, key),
					view(now, world, before, key)};
	const uint8_t *frames[2];
	size_t lengths[2];

	assert_int_equal(before->count, now->count);
	for (int i = 0; i < 2; i++) {
		struct wire_writer writer;
		encode_answer(asks[i], &writer);
		frames[i] = frame_of(&writer, &asks[i]->arena, &lengths[i]);
	}
	assert_int_equal(lengths[0], lengths[1]);
	assert_memory_equal(frames[0], frames[1], lengths[0]);
	request_free(asks[0]);
	request_free(asks[1]);
}

void world_check_restart(struct world *world)
{
	int32_t partitions = world->groups->partition_count;
	struct world_log live, restarted_log, restarted, again_log, again;

	rewrite(world->groups, &live);
	world_log_init(&restarted_log);
	struct groups *second = groups_over(world, &restarted_log, &world->log, partitions);
	rewrite(second, &restarted);
	check_same_records(&live, &restarted, "after a restart");
	world_log_init(&again_log);
	struct groups *third = groups_over(world, &again_log, &restarted, partitions);
	rewrite(third, &again);
	check_same_records(&live, &again, "after a rewrite and a restart");
	check_same_view(world, second, third, KAFKA_DESCRIBE_GROUPS);
	check_same_view(world, second, third, KAFKA_CONSUMER_GROUP_DESCRIBE);
	groups_free(second);
	groups_free(third);
	world_log_fini(&live);
	world_log_fini(&restarted_log);
	world_log_fini(&restarted);
	world_log_fini(&again_log);
	world_log_fini(&again);
}
