/* The coordinator's log on a fake shard: one partition in memory that answers when it is told to,
 * and can fail.  The state is a handful of named numbers; a record sets one, a tombstone removes
 * it. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "control/coordinator_log.h"
#include "control/state_log.h"
#include "dataplane/shard_log.h"
#include "storage/batch_build.h"
#include "storage/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCHES_MAX = 512, NAMES = 16, REWRITE_BYTES = 2000, LETTER_BYTES = 32 };

struct stored {
	uint8_t *data;
	size_t size;
	int64_t base_offset;
	int32_t count;
};

struct world {
	struct clock clock;
	uint64_t now_ns;
	struct coordinator_log *log;

	/* The shard. */
	struct message *sent[64];
	size_t sent_count;
	struct stored batches[BATCHES_MAX];
	size_t batch_count;
	int64_t start_offset;
	int64_t end_offset;
	int fail; /* what everything is answered */
	bool reads_nothing;
	unsigned trims;

	/* The control plane. */
	unsigned wishes;

	/* The state. */
	int64_t values[NAMES]; /* 0: none */
	int loads_begun;
	int loads_ended;
	bool loaded;
	int rewrites;
	int64_t refused; /* a value that replay cannot read */
};

static struct world *world;

/* ---- clock ---- */

static uint64_t monotonic_ns(const struct clock *clock)
{
	assert_ptr_equal(clock, &world->clock);
	return world->now_ns;
}

static int64_t wall_ms(const struct clock *clock)
{
	return (int64_t)(monotonic_ns(clock) / NS_PER_MS);
}

/* ---- the state ---- */

static void begin_load(void *context, int32_t partition)
{
	assert_int_equal(partition, 0);
	world->loads_begun++;
	world->loaded = false;
	memset(world->values, 0, sizeof(world->values));
}

static int replay(void *context, int32_t partition, const struct record *record,
		  int64_t timestamp_ms, char *why, size_t why_bytes)
{
	assert_int_equal(record->key_length, 1);
	int64_t *value = &world->values[record->key[0] - 'a'];

	assert_false(world->loaded);
	*value = record->value ? (int64_t)load_be64(record->value) : 0;
	if (*value && *value == world->refused) {
		snprintf(why, why_bytes, "not a number");
		*value = 0;
		return -ERR_CORRUPT;
	}
	return 0;
}

static void end_load(void *context, int32_t partition)
{
	world->loads_ended++;
	world->loaded = true;
}

static int append(char name, int64_t value)
{
	struct state_log *log = coordinator_log_seam(world->log);
	uint8_t bytes[LETTER_BYTES] = {0};

	store_be64(bytes, (uint64_t)value);
	return log->ops->append(log, 0, &name, 1, value ? bytes : NULL, value ? sizeof(bytes) : 0,
				1000);
}

/* One call that sets one number. */
static void set(char name, int64_t value)
{
	world->values[name - 'a'] = value;
	assert_int_equal(append(name, value), 0);
	coordinator_log_call_end(world->log);
}

static int rewrite(void *context, int32_t partition)
{
	world->rewrites++;
	for (int i = 0; i < NAMES; i++) {
		if (world->values[i])
			assert_int_equal(append((char)('a' + i), world->values[i]), 0);
	}
	return 0;
}

static size_t live_records(const void *context, int32_t partition)
{
	size_t count = 0;

	for (int i = 0; i < NAMES; i++)
		count += world->values[i] != 0;
	return count;
}

/* ---- waiting ---- */

struct waiter {
	struct state_wait wait;
	int runs;
	int rc;
};

static void waited(struct state_wait *wait, int rc)
{
	struct waiter *waiter = container_of(wait, struct waiter, wait);

	waiter->runs++;
	waiter->rc = rc;
}

static void wait_for(struct waiter *waiter)
{
	struct state_log *log = coordinator_log_seam(world->log);

	*waiter = (struct waiter){.wait.done = waited};
	log->ops->after(log, 0, &waiter->wait);
}

/* ---- the shard ---- */

static void send_to_shard(void *context, unsigned shard, struct message *message)
{
	assert_int_equal(shard, 1); /* topic 1, partition 0 of 2 shards */
	assert_true(world->sent_count < array_count(world->sent));
	world->sent[world->sent_count++] = message;
}

static void create_topic(void *context)
{
	world->wishes++;
}

static int do_append(struct shard_append *request)
{
	struct batch batch;

	assert_int_equal(batch_parse(&batch, request->data, request->size), 0);
	assert_true(batch_crc_valid(&batch, request->data));
	struct stored *stored = &world->batches[world->batch_count++];
	assert_true(world->batch_count <= BATCHES_MAX);
	*stored = (struct stored){
		.data = malloc(request->size),
		.size = request->size,
		.base_offset = world->end_offset,
		.count = batch.record_count,
	};
	check(stored->data);
	memcpy(stored->data, request->data, request->size);
	batch_set_base(stored->data, stored->base_offset, 1);
	request->base_offset = stored->base_offset;
	world->end_offset += batch.record_count;
	return 0;
}

static int do_read(struct shard_read *request)
{
	request->start_offset = world->start_offset;
	request->high_watermark = world->end_offset;
	request->size = 0;
	if (request->offset < world->start_offset)
		return -ERR_OFFSET_RANGE;
	for (size_t i = 0; i < world->batch_count && !world->reads_nothing; i++) {
		const struct stored *stored = &world->batches[i];
		if (stored->base_offset + stored->count <= request->offset)
			continue;
		/* A batch a time: every load takes several reads. */
		request->size = stored->size;
		if (stored->size > request->capacity)
			return -EMSGSIZE;
		memcpy(request->data, stored->data, stored->size);
		return 0;
	}
	return 0;
}

static int do_trim(struct shard_trim *request)
{
	world->trims++;
	assert_true(request->offset <= world->end_offset);
	world->start_offset = request->start_offset = request->offset;
	return 0;
}

static struct shard_log *log_of(struct message *message)
{
	return container_of(message, struct shard_log, message);
}

/* The shard works on the oldest request and sends it back. */
static void serve_one(void)
{
	struct message *message = world->sent[0];
	struct shard_log *request = log_of(message);

	memmove(world->sent, world->sent + 1, --world->sent_count * sizeof(struct message *));
	request->rc = world->fail;
	if (!world->fail && message->handle == shard_append_handle)
		request->rc = do_append(container_of(request, struct shard_append, log));
	else if (!world->fail && message->handle == shard_read_handle)
		request->rc = do_read(container_of(request, struct shard_read, log));
	else if (!world->fail)
		request->rc = do_trim(container_of(request, struct shard_trim, log));
	message->handle = request->done;
	message->handle(message, NULL);
}

/* Turns until nothing is under way. */
static void settle(void)
{
	coordinator_log_turn(world->log);
	while (world->sent_count) {
		serve_one();
		coordinator_log_turn(world->log);
	}
}

static void pass_ms(uint64_t ms)
{
	world->now_ns += ms * NS_PER_MS;
	settle();
}

/* ---- life ---- */

static const struct topic topic = {.number = 1, .partition_count = 1};

static void open_log(bool topic_exists)
{
	const struct coordinator_log_options options = {
		.clock = &world->clock,
		.topic = "__kept",
		.partition_count = 1,
		.rewrite_bytes_min = REWRITE_BYTES,
		.shard_count = 2,
		.send = send_to_shard,
		.create_topic = create_topic,
	};
	const struct coordinator_log_state state = {
		.begin_load = begin_load,
		.replay = replay,
		.end_load = end_load,
		.rewrite = rewrite,
		.live_records = live_records,
	};

	check(coordinator_log_new(&world->log, &options) == 0);
	coordinator_log_start(world->log, &state, topic_exists);
}

/* As after a crash: what the shard has is all that is left. */
static void reopen(void)
{
	coordinator_log_free(world->log);
	world->sent_count = 0;
	open_log(true);
	coordinator_log_set_topic(world->log, &topic);
	settle();
}

static int setup(void **unused)
{
	world = calloc(1, sizeof(*world));
	check(world);
	world->clock = (struct clock){.monotonic_ns = monotonic_ns, .wall_ms = wall_ms};
	open_log(false);
	coordinator_log_set_topic(world->log, &topic);
	settle();
	return 0;
}

static int teardown(void **unused)
{
	coordinator_log_free(world->log);
	for (size_t i = 0; i < world->batch_count; i++)
		free(world->batches[i].data);
	free(world);
	return 0;
}

/* ---- tests ---- */

static void what_was_set_is_there_after_a_restart(void **unused)
{
	set('a', 1);
	set('b', 2);
	set('a', 3);
	set('b', 0);
	settle();
	reopen();
	assert_true(world->loaded);
	assert_int_equal(world->values[0], 3);
	assert_int_equal(world->values[1], 0);
}

static void a_waiter_runs_when_all_before_it_is_durable(void **unused)
{
	struct waiter first;
	struct waiter second;

	set('a', 1);
	wait_for(&first);
	coordinator_log_turn(world->log);
	set('b', 2);
	wait_for(&second);
	coordinator_log_turn(world->log);
	assert_int_equal(world->sent_count, 1); /* one under way at a time */
	assert_int_equal(first.runs, 0);
	serve_one();
	assert_int_equal(first.runs, 1);
	assert_int_equal(first.rc, 0);
	assert_int_equal(second.runs, 0);
	settle();
	assert_int_equal(second.runs, 1);
}

static void a_waiter_for_nothing_runs_at_once(void **unused)
{
	struct waiter waiter;

	wait_for(&waiter);
	assert_int_equal(waiter.runs, 1);
	assert_int_equal(waiter.rc, 0);
}

static void calls_of_one_turn_share_a_batch(void **unused)
{
	set('a', 1);
	set('b', 2);
	set('c', 3);
	settle();
	assert_int_equal(world->batch_count, 1);
	assert_int_equal(world->batches[0].count, 3);
}

static void records_of_one_call_are_never_in_two_batches(void **unused)
{
	for (int i = 0; i < 40000; i++)
		assert_int_equal(append('a', i + 1), 0);
	coordinator_log_call_end(world->log);
	set('b', 1);
	settle();
	assert_int_equal(world->batches[0].count, 40000);
	assert_int_equal(world->batches[1].count, 1);
}

static void a_call_too_large_for_a_batch_is_refused_and_nothing_breaks(void **unused)
{
	struct state_log *log = coordinator_log_seam(world->log);
	size_t bytes = 8 << 20;
	uint8_t *value = calloc(1, bytes);

	check(value);
	assert_int_equal(log->ops->append(log, 0, "a", 1, value, bytes, 1000), -ENOMEM);
	free(value);
	assert_true(coordinator_log_idle(world->log));
	set('b', 1);
	settle();
	assert_int_equal(world->batch_count, 1);
}

static void a_failed_append_tells_all_who_wait_and_loads_again(void **unused)
{
	struct waiter first;
	struct waiter second;

	set('a', 1);
	settle();
	set('a', 2);
	wait_for(&first);
	coordinator_log_turn(world->log);
	set('b', 3);
	wait_for(&second);
	world->fail = -ERR_STORAGE;
	settle();
	assert_int_equal(first.rc, -ERR_STORAGE);
	assert_int_equal(second.rc, -ERR_STORAGE);
	assert_int_equal(second.runs, 1);
	assert_false(world->loaded);
	world->fail = 0;
	pass_ms(1000);
	assert_true(world->loaded);
	assert_int_equal(world->values[0], 1);
	assert_int_equal(world->values[1], 0);
	set('b', 4);
	wait_for(&first);
	settle();
	assert_int_equal(first.rc, 0);
}

static void a_load_is_tried_until_it_works_with_growing_pauses(void **unused)
{
	set('a', 1);
	settle();
	world->fail = -ERR_STORAGE;
	reopen();
	for (int i = 0; i < 20; i++)
		pass_ms(1000);
	assert_false(world->loaded);
	assert_in_range(world->loads_begun, 6, 15);
	world->fail = 0;
	pass_ms(5000);
	assert_true(world->loaded);
	assert_int_equal(world->values[0], 1);
}

static void a_partition_that_did_not_open_is_asked_for(void **unused)
{
	set('a', 1);
	settle();
	unsigned wishes = world->wishes;
	world->fail = -ERR_UNKNOWN_PARTITION;
	reopen();
	assert_int_equal(world->wishes, wishes + 1);
	coordinator_log_set_topic(world->log, &topic);
	world->fail = 0;
	pass_ms(1000);
	assert_true(world->loaded);
}

static void a_load_that_finds_nothing_below_the_watermark_is_none(void **unused)
{
	set('a', 1);
	settle();
	world->reads_nothing = true;
	reopen();
	assert_false(world->loaded);
	world->reads_nothing = false;
	pass_ms(1000);
	assert_true(world->loaded);
	assert_int_equal(world->values[0], 1);
}

static void a_record_that_does_not_parse_is_skipped(void **unused)
{
	set('a', 1);
	set('b', 77);
	set('c', 3);
	settle();
	world->refused = 77;
	reopen();
	assert_true(world->loaded);
	assert_int_equal(world->values[0], 1);
	assert_int_equal(world->values[1], 0);
	assert_int_equal(world->values[2], 3);
}

static void a_batch_larger_than_the_buffer_is_read(void **unused)
{
	for (int i = 0; i < 60000; i++)
		assert_int_equal(append('a', i + 1), 0);
	world->values[0] = 60000;
	settle();
	assert_true(world->batches[0].size > 1 << 20);
	reopen();
	assert_true(world->loaded);
	assert_int_equal(world->values[0], 60000);
}

static void the_topic_is_asked_for_once_when_the_first_record_comes(void **unused)
{
	struct waiter waiter;

	coordinator_log_free(world->log);
	open_log(false);
	coordinator_log_set_topic(world->log, NULL);
	assert_true(world->loaded);
	assert_int_equal(world->wishes, 0);
	set('a', 1);
	wait_for(&waiter);
	settle();
	set('b', 2);
	settle();
	assert_int_equal(world->wishes, 1);
	assert_int_equal(waiter.runs, 0);
	coordinator_log_set_topic(world->log, &topic);
	settle();
	assert_int_equal(waiter.runs, 1);
	assert_int_equal(waiter.rc, 0);
	assert_int_equal(world->end_offset, 2);
}

static void a_topic_that_cannot_be_made_fails_who_waits_until_it_can(void **unused)
{
	struct waiter waiter;

	coordinator_log_free(world->log);
	open_log(false);
	set('a', 1);
	wait_for(&waiter);
	settle();
	coordinator_log_refused(world->log, -ERR_LIMIT);
	assert_int_equal(waiter.rc, -ERR_LIMIT);
	assert_true(world->loaded);
	assert_int_equal(world->values[0], 0);
	set('a', 2);
	settle();
	assert_int_equal(world->wishes, 2);
	coordinator_log_set_topic(world->log, &topic);
	settle();
	assert_int_equal(world->end_offset, 1);
}

static void a_log_that_has_outgrown_its_content_is_rewritten_and_trimmed(void **unused)
{
	set('b', 7);
	settle();
	for (int i = 1; i <= 100; i++) {
		set('a', i);
		settle();
	}
	assert_in_range(world->trims, 1, 5);
	assert_int_equal(world->rewrites, (int)world->trims);
	assert_in_range(world->start_offset, 1, world->end_offset);
	reopen();
	assert_int_equal(world->values[0], 100);
	assert_int_equal(world->values[1], 7);
}

static void a_log_of_what_holds_is_not_rewritten(void **unused)
{
	for (int i = 0; i < NAMES; i++) {
		set((char)('a' + i), i + 1);
		set((char)('a' + i), i + 2);
		settle();
	}
	for (int i = 0; i < 20; i++) {
		set('a', i + 1);
		settle();
	}
	assert_int_equal(world->rewrites, 0);
}

static void where_nothing_holds_all_is_trimmed(void **unused)
{
	for (int i = 1; i <= 100; i++) {
		set('a', i % 2 ? i : 0);
		settle();
	}
	set('a', 0);
	settle();
	for (int i = 1; i <= 60; i++) {
		set('a', 0);
		settle();
	}
	assert_true(world->start_offset > 0);
	reopen();
	assert_true(world->loaded);
	assert_int_equal(world->values[0], 0);
}

/* Sets `a` until a rewrite has been drawn and its first batch is on the way; returns the last. */
static int begin_rewrite(void)
{
	int value = 0;

	set('b', 7);
	settle();
	world->rewrites = 0;
	for (;;) {
		set('a', ++value);
		coordinator_log_turn(world->log);
		if (world->rewrites)
			return value;
		serve_one();
	}
}

static void a_crash_anywhere_in_a_rewrite_changes_nothing(void **unused)
{
	for (int served = 0; served < 6; served++) {
		struct waiter waiter;
		int value = begin_rewrite();
		unsigned trims = world->trims;

		wait_for(&waiter);
		for (int i = 0; i < served && world->sent_count; i++) {
			serve_one();
			coordinator_log_turn(world->log);
		}
		bool trimmed = world->trims > trims;
		coordinator_log_abandon(world->log);
		reopen();
		assert_int_equal(trimmed,
				 served >= 3); /* the last of before, the rewrite, the trim */
		assert_int_equal(world->values[1], 7);
		assert_in_range(world->values[0], waiter.rc == 0 ? value : value - 1, value);
	}
}

static void a_failure_within_a_rewrite_trims_nothing(void **unused)
{
	begin_rewrite();
	unsigned trims = world->trims;
	world->fail = -ERR_STORAGE;
	while (world->sent_count)
		serve_one();
	assert_int_equal(world->trims, trims);
	world->fail = 0;
	pass_ms(1000);
	assert_true(world->loaded);
	assert_int_equal(world->values[1], 7);
}

static void at_the_end_who_waits_for_a_hung_disk_is_told(void **unused)
{
	struct waiter waiter;
	struct waiter late;

	set('a', 1);
	wait_for(&waiter);
	coordinator_log_turn(world->log);
	coordinator_log_stop(world->log);
	assert_false(coordinator_log_idle(world->log));
	coordinator_log_abandon(world->log);
	assert_int_equal(waiter.rc, -ERR_CLOSING);
	wait_for(&late);
	assert_int_equal(late.rc, -ERR_CLOSING);
	serve_one(); /* the shard's last answer comes late */
	assert_true(coordinator_log_idle(world->log));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_was_set_is_there_after_a_restart),
		TEST(a_waiter_runs_when_all_before_it_is_durable),
		TEST(a_waiter_for_nothing_runs_at_once),
		TEST(calls_of_one_turn_share_a_batch),
		TEST(records_of_one_call_are_never_in_two_batches),
		TEST(a_call_too_large_for_a_batch_is_refused_and_nothing_breaks),
		TEST(a_failed_append_tells_all_who_wait_and_loads_again),
		TEST(a_load_is_tried_until_it_works_with_growing_pauses),
		TEST(a_partition_that_did_not_open_is_asked_for),
		TEST(a_load_that_finds_nothing_below_the_watermark_is_none),
		TEST(a_record_that_does_not_parse_is_skipped),
		TEST(a_batch_larger_than_the_buffer_is_read),
		TEST(the_topic_is_asked_for_once_when_the_first_record_comes),
		TEST(a_topic_that_cannot_be_made_fails_who_waits_until_it_can),
		TEST(a_log_that_has_outgrown_its_content_is_rewritten_and_trimmed),
		TEST(a_log_of_what_holds_is_not_rewritten),
		TEST(where_nothing_holds_all_is_trimmed),
		TEST(a_crash_anywhere_in_a_rewrite_changes_nothing),
		TEST(a_failure_within_a_rewrite_trims_nothing),
		TEST(at_the_end_who_waits_for_a_hung_disk_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
