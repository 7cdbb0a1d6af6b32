#include "tests/control/transactions_world.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "dataplane/shard_log.h"
#include "storage/batch.h"
#include "storage/records.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { ARENA_BYTES_MAX = 64 << 20, IDS_IN_BLOCK = 3 };

/* ---- the log ---- */

void world_flush(struct world *world, int32_t partition)
{
	world_log_flush(&world->log, partition);
}

size_t world_appended(const struct world *world)
{
	return world_log_count(&world->log);
}

static void replay_all(struct transactions *transactions, const struct world_record *from,
		       size_t count, int32_t partition)
{
	transactions_begin_load(transactions, partition);
	for (size_t i = 0; i < count; i++) {
		struct record record = world_record_read(&from[i]);
		char why[256] = "";
		if (transactions_replay(transactions, partition, &record, from[i].timestamp_ms, why,
					sizeof(why)) < 0)
			fail_msg("record %zu of partition %d: %s", i, partition, why);
	}
}

static void load(struct world *world, int32_t partition)
{
	const struct world_records *records = &world->log.partitions[partition];

	replay_all(world->transactions, records->records, records->durable, partition);
	transactions_end_load(world->transactions, partition);
}

void world_fail(struct world *world, int32_t partition)
{
	world_log_lose(&world->log, partition);
	load(world, partition);
}

/* ---- the owners of partitions, the groups ---- */

static void note_told(struct world *world, const char *topic, int32_t partition,
		      const struct control_marker *marker)
{
	struct world_told *told = &world->told[world->told_count++];

	assert_true(world->told_count <= WORLD_TOLD_MAX);
	snprintf(told->topic, sizeof(told->topic), "%s", topic);
	told->partition = partition;
	told->producer_id = marker->producer_id;
	told->producer_epoch = marker->producer_epoch;
	told->commit = marker->type == CONTROL_COMMIT;
}

static const struct topic *numbered(const struct world *world, uint32_t number)
{
	for (size_t i = 0; i < world->topics.count; i++) {
		if (world->rows[i]->number == number)
			return world->rows[i];
	}
	return NULL;
}

static void take_marker(struct world *world, struct message *message)
{
	struct shard_append *append = container_of(message, struct shard_append, log.message);
	const struct topic *topic = numbered(world, append->log.topic_number);
	struct control_marker marker;
	struct batch batch;

	assert_int_equal(append->size, CONTROL_BATCH_BYTES);
	assert_int_equal(batch_parse(&batch, append->data, append->size), 0);
	assert_int_equal(control_batch_read(&marker, append->data, &batch), 0);
	assert_int_equal(marker.coordinator_epoch, world->topics.leader_epoch);
	append->log.rc = topic ? world->marker_rc : -ERR_UNKNOWN_PARTITION;
	if (append->log.rc >= 0)
		note_told(world, topic->name, append->log.partition, &marker);
	append->log.done(message, NULL);
}

void world_take_markers(struct world *world)
{
	size_t count = world->sent_count;

	for (size_t i = 0; i < count; i++) {
		struct message *message = world->sent[0];
		world->sent_count--;
		memmove(world->sent, world->sent + 1, world->sent_count * sizeof(struct message *));
		take_marker(world, message);
	}
}

static void send_marker(void *context, unsigned shard, struct message *message)
{
	struct world *world = context;

	assert_in_range(shard, 0, WORLD_SHARDS - 1);
	assert_true(world->sent_count < WORLD_TOLD_MAX);
	assert_false(world->transactions->stopping);
	world->sent[world->sent_count++] = message;
	size_t in_flight = world->transactions->shards[shard].in_flight;
	if (world->sent_most[shard] < in_flight)
		world->sent_most[shard] = in_flight;
	if (!world->hold_markers)
		world_take_markers(world);
}

static int32_t offsets_partition(void *context, const struct kafka_string *group_id)
{
	return group_id->length % 3;
}

static int end_offsets(void *context, int32_t partition, int64_t producer_id, bool commit,
		       struct state_wait *wait)
{
	struct world *world = context;
	const struct control_marker marker = {
		.type = commit ? CONTROL_COMMIT : CONTROL_ABORT,
		.producer_id = producer_id,
		.producer_epoch = -1,
	};

	if (world->offsets_rc < 0)
		return world->offsets_rc;
	note_told(world, OFFSETS_TOPIC, partition, &marker);
	if (world->hold_offsets)
		list_push_back(&world->offset_waits, &wait->link);
	else
		wait->done(wait, 0);
	return 0;
}

void world_take_offsets(struct world *world, int rc)
{
	world_tell_waits(&world->offset_waits, rc);
}

/* ---- producer ids ---- */

void world_give_ids(struct world *world, int64_t count, int rc)
{
	int64_t first = world->next_id;

	assert_true(world->ids_wanted);
	world->ids_wanted = false;
	world->next_id += count;
	transactions_give_producer_ids(world->transactions, first, count, rc);
}

static void want_ids(void *context)
{
	struct world *world = context;

	assert_false(world->ids_wanted);
	world->ids_wanted = true;
	if (!world->hold_ids)
		world_give_ids(world, IDS_IN_BLOCK, 0);
}

/* ---- life ---- */

static void answer(void *context, struct control_request *request)
{
	struct world_request *ask = container_of(request, struct world_request, request);

	assert_false(ask->answered);
	assert_false(ask->admitted);
	ask->answered = true;
}

static void ask_answer(void *context, struct transaction_ask *ask)
{
	struct world_ask *own = container_of(ask, struct world_ask, ask);

	assert_false(own->answered);
	own->answered = true;
}

static struct transactions_options options_of(struct world *world, struct world_log *log)
{
	return (struct transactions_options){
		.config = &world->config,
		.clock = &world->clock,
		.log = &log->log,
		.shard_count = WORLD_SHARDS,
		.sender = WORLD_SHARDS,
		.send = send_marker,
		.answer = answer,
		.ask_answer = ask_answer,
		.want_producer_ids = want_ids,
		.offsets_partition = offsets_partition,
		.end_offsets = end_offsets,
		.context = world,
	};
}

static void start(struct world *world, int32_t partitions)
{
	struct transactions_options options = options_of(world, &world->log);

	assert_int_equal(transactions_new(&world->transactions, &options), 0);
	assert_int_equal(transactions_set_partitions(world->transactions, partitions), 0);
	transactions_set_topics(world->transactions, &world->topics);
	for (int32_t i = 0; i < partitions; i++)
		load(world, i);
}

/* All that is out comes home, to nobody's use. */
static void stop(struct world *world)
{
	transactions_stop(world->transactions);
	for (int i = 0; i < WORLD_PARTITIONS_MAX; i++) {
		world_log_lose(&world->log, i);
	}
	world_take_markers(world);
	world_take_offsets(world, -ERR_CLOSING);
	assert_true(transactions_idle(world->transactions));
	transactions_free(world->transactions);
	world->transactions = NULL;
	world->ids_wanted = false;
}

void world_restart(struct world *world)
{
	int32_t partitions = world->transactions->partition_count;

	stop(world);
	world->topics.leader_epoch++;
	start(world, partitions);
}

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
	world->next_id = 1000;
	load_defaults(&world->config);
	world_log_init(&world->log);
	list_init(&world->requests);
	list_init(&world->offset_waits);
	start(world, partitions);
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

void world_free(struct world *world)
{
	struct list *node;

	stop(world);
	while ((node = list_pop_front(&world->requests))) {
		struct world_request *ask = container_of(node, struct world_request, link);
		assert_true(ask->answered || ask->admitted);
		request_free(ask);
	}
	world_log_fini(&world->log);
	for (size_t i = 0; i < world->topics.count; i++)
		free(world->rows[i]);
	free(world->topics.by_name);
	free(world->topics.by_id);
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

/* Draws the picture anew and shows it; the former one lives until then. */
static void publish(struct world *world, size_t count)
{
	struct topics former = world->topics;
	size_t bytes = count * sizeof(struct topic *);

	world->topics.count = count;
	world->topics.by_name = world_copy(world->rows, bytes);
	world->topics.by_id = world_copy(world->rows, bytes);
	qsort(world->topics.by_name, count, sizeof(struct topic *), compare_names);
	transactions_set_topics(world->transactions, &world->topics);
	free(former.by_name);
	free(former.by_id);
}

const struct topic *world_topic(struct world *world, const char *name, int32_t partitions)
{
	struct topic *topic = calloc(1, sizeof(*topic));
	size_t count = world->topics.count;

	assert_non_null(topic);
	assert_true(count < WORLD_TOPICS_MAX);
	snprintf(topic->name, sizeof(topic->name), "%s", name);
	topic->number = ++world->topics_made;
	topic->partition_count = partitions;
	topic->internal = topic_name_internal(name, strlen(name));
	world->rows[count] = topic;
	publish(world, count + 1);
	return topic;
}

void world_delete_topic(struct world *world, const char *name)
{
	size_t place = 0;

	while (place < world->topics.count && strcmp(world->rows[place]->name, name) != 0)
		place++;
	assert_true(place < world->topics.count);
	struct topic *topic = world->rows[place];
	world->rows[place] = world->rows[world->topics.count - 1];
	publish(world, world->topics.count - 1);
	free(topic);
}

/* ---- time ---- */

void world_advance(struct world *world, int64_t ms)
{
	uint64_t end_ns = world->now_ns + (uint64_t)ms * NS_PER_MS;
	uint64_t next_ns = transactions_turn(world->transactions);

	while (world->now_ns < end_ns) {
		uint64_t to_ns = next_ns < end_ns ? next_ns : end_ns;
		assert_true(to_ns > world->now_ns);
		world->wall_ms += (int64_t)(to_ns / NS_PER_MS) -
				  (int64_t)(world->now_ns / NS_PER_MS);
		world->now_ns = to_ns;
		next_ns = transactions_turn(world->transactions);
	}
}

/* ---- requests ---- */

void *world_alloc(struct world_request *ask, size_t count, size_t size)
{
	void *memory = arena_calloc(&ask->arena, count, size);

	assert_non_null(memory);
	return memory;
}

struct world_request *world_ask(struct world *world, int16_t key, int16_t version)
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
	list_push_back(&world->requests, &ask->link);
	return ask;
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

static void admitted(void *context, struct control_request *request)
{
	struct world *world = context;
	struct world_request *ask = container_of(request, struct world_request, request);

	assert_false(ask->answered);
	assert_false(ask->admitted);
	ask->admitted = true;
	world->admitted++;
}

void world_send(struct world_request *ask)
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
	if (api->key == KAFKA_TXN_OFFSET_COMMIT)
		transactions_admit_offsets(ask->world->transactions, &ask->request, admitted);
	else
		transactions_handle(ask->world->transactions, &ask->request);
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

static void rewrite(struct transactions *transactions, struct world_log *ret)
{
	struct state_log *own = transactions->options.log;

	world_log_init(ret);
	transactions->options.log = &ret->log;
	for (int32_t i = 0; i < transactions->partition_count; i++) {
		assert_int_equal(transactions_rewrite(transactions, i), 0);
		assert_int_equal(transactions_live_records(transactions, i),
				 ret->partitions[i].count);
	}
	transactions->options.log = own;
}

static void check_same(const struct world_log *one, const struct world_log *other)
{
	for (int i = 0; i < WORLD_PARTITIONS_MAX; i++) {
		const struct world_records *x = &one->partitions[i];
		const struct world_records *y = &other->partitions[i];
		assert_int_equal(x->count, y->count);
		for (size_t j = 0; j < x->count; j++) {
			const struct world_record *a = &x->records[j];
			const struct world_record *b = &y->records[j];
			assert_int_equal(a->key_size, b->key_size);
			assert_memory_equal(a->key, b->key, a->key_size);
			assert_int_equal(a->value_size, b->value_size);
			assert_memory_equal(a->value, b->value, a->value_size);
		}
	}
}

void world_check_rewrite(struct world *world)
{
	struct world_log live, again_log, again;
	struct transactions_options options = options_of(world, &again_log);
	int32_t partitions = world->transactions->partition_count;
	struct transactions *second;

	rewrite(world->transactions, &live);
	world_log_init(&again_log);
	assert_int_equal(transactions_new(&second, &options), 0);
	assert_int_equal(transactions_set_partitions(second, partitions), 0);
	for (int32_t i = 0; i < partitions; i++)
		replay_all(second, live.partitions[i].records, live.partitions[i].count, i);
	rewrite(second, &again);
	check_same(&live, &again);
	transactions_stop(second);
	transactions_free(second);
	world_log_fini(&live);
	world_log_fini(&again);
	world_log_fini(&again_log);
}
