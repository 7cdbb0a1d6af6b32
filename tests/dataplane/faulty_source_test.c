/* The bad network for tests: over a source that records what reaches it. */
#include "dataplane/datagram/faulty_source.h"

#include "base/bytes.h"
#include "base/errors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum {
	LENGTH = 100,
	MANY = 20000,
	RECORDED_MAX = 64 * 1024,
	FULL = FAULTS_ALL,
};

struct recorded {
	uint32_t number; /* its first four bytes, unless harmed */
	uint32_t length;
	uint32_t header_bytes;
	bool intact;
};

/* Hands in numbered datagrams, records those that leave. */
struct inner {
	struct packet_source source;
	uint8_t data[32][LENGTH];
	unsigned to_come;
	uint32_t number;
	int out; /* handed in and not released */
	bool refuses;
	bool holds; /* as a NIC's queue does, until `turn` */
	void *held[256];
	unsigned held_count;
	unsigned turns;
	unsigned stops;
	unsigned frees;
	struct recorded sent[RECORDED_MAX];
	unsigned sent_count;
};

static void fill(uint8_t data[static LENGTH], uint32_t number)
{
	store_be32(data, number);
	for (unsigned i = 4; i < LENGTH; i++)
		data[i] = (uint8_t)(number + i);
}

static struct recorded record(const uint8_t *data, uint32_t length)
{
	uint8_t expected[LENGTH];
	struct recorded recorded = {.length = length};

	if (length >= 4)
		recorded.number = load_be32(data);
	fill(expected, recorded.number);
	recorded.intact = length == LENGTH && memcmp(data, expected, LENGTH) == 0;
	return recorded;
}

static struct inner *inner_of(struct packet_source *source)
{
	return container_of(source, struct inner, source);
}

static unsigned inner_receive(struct packet_source *source, struct packet_view *ret, unsigned max,
			      uint64_t now_ns)
{
	struct inner *inner = inner_of(source);
	unsigned count = 0;

	for (; count < max && count < array_count(inner->data) && inner->to_come; count++) {
		fill(inner->data[count], inner->number++);
		ret[count] = (struct packet_view){
			.data = inner->data[count],
			.length = LENGTH,
			.from = {.port = 7},
			.packet = inner->data[count],
		};
		inner->to_come--;
		inner->out++;
	}
	return count;
}

static void inner_release(struct packet_source *source, void *packet)
{
	struct inner *inner = inner_of(source);

	assert_in_range((uintptr_t)packet, (uintptr_t)inner->data,
			(uintptr_t)inner->data + sizeof(inner->data) - 1);
	inner->out--;
}

static bool inner_send(struct packet_source *source, const struct transport_datagram *datagram,
		       uint64_t now_ns)
{
	struct inner *inner = inner_of(source);
	uint8_t flat[LENGTH];
	uint32_t length = datagram->header_bytes;

	if (inner->refuses)
		return false;
	assert_true(datagram->bytes <= LENGTH);
	memcpy(flat, datagram->header, length);
	for (uint32_t i = 0; i < datagram->piece_count; i++) {
		memcpy(flat + length, datagram->pieces[i].data, datagram->pieces[i].length);
		length += datagram->pieces[i].length;
		if (inner->holds && inner->held_count < array_count(inner->held)) {
			void *reference = datagram->pieces[i].reference;
			inner->held[inner->held_count++] = reference;
			source->hooks.hold(source->hooks.context, reference);
		}
	}
	assert_int_equal(length, datagram->bytes);
	assert_int_equal(datagram->to->port, 9);
	assert_true(inner->sent_count < RECORDED_MAX);
	struct recorded recorded = record(flat, length);
	recorded.header_bytes = datagram->header_bytes;
	inner->sent[inner->sent_count++] = recorded;
	return true;
}

static unsigned inner_turn(struct packet_source *source, uint64_t now_ns)
{
	struct inner *inner = inner_of(source);

	inner->turns++;
	while (inner->held_count)
		source->hooks.release(source->hooks.context, inner->held[--inner->held_count]);
	return 0;
}

static uint64_t inner_sleep(struct packet_source *source)
{
	return 12345;
}

static void inner_woken(struct packet_source *source)
{
}

static bool inner_stop(struct packet_source *source)
{
	inner_of(source)->stops++;
	return true;
}

static void inner_free(struct packet_source *source)
{
	inner_of(source)->frees++;
}

static const struct packet_source_ops inner_ops = {
	.name = "inner",
	.receive = inner_receive,
	.release = inner_release,
	.send = inner_send,
	.turn = inner_turn,
	.sleep = inner_sleep,
	.woken = inner_woken,
	.keep_max = 1000,
	.stop = inner_stop,
	.free = inner_free,
};

/* Above it, in the server's place. */
struct world {
	struct inner inner;
	struct packet_source *source;
	int references; /* held by the inner source */
	struct recorded got[RECORDED_MAX];
	unsigned got_count;
};

static void hold_one(void *context, void *reference)
{
	assert_ptr_equal(context, reference);
	((struct world *)context)->references++;
}

static void release_one(void *context, void *reference)
{
	assert_ptr_equal(context, reference);
	((struct world *)context)->references--;
}

static struct world *world_new(struct faults faults)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->inner.source.ops = &inner_ops;
	assert_int_equal(faulty_source_new(&world->source, &world->inner.source, &faults), 0);
	world->source->hooks = (struct packet_source_hooks){
		.hold = hold_one, .release = release_one, .context = world};
	return world;
}

static void world_free(struct world *world)
{
	assert_true(world->source->ops->stop(world->source));
	world->source->ops->free(world->source);
	assert_int_equal(world->inner.frees, 1);
	assert_int_equal(world->inner.out, 0);
	assert_int_equal(world->references, 0);
	free(world);
}

static unsigned receive_once(struct world *world)
{
	struct packet_view views[32];
	unsigned count = world->source->ops->receive(world->source, views, 32, 0);

	assert_in_range(count, 0, 32);
	for (unsigned i = 0; i < count; i++) {
		assert_true(world->got_count < RECORDED_MAX);
		assert_int_equal(views[i].from.port, 7);
		world->got[world->got_count++] = record(views[i].data, views[i].length);
		world->source->ops->release(world->source, views[i].packet);
	}
	return count;
}

/* Until nothing waits any more. */
static void settle(struct world *world)
{
	while (world->source->ops->sleep(world->source) == 0) {
		receive_once(world);
		world->source->ops->turn(world->source, 0);
	}
}

static void receive_many(struct world *world, unsigned count)
{
	world->inner.to_come = count;
	while (world->inner.to_come)
		receive_once(world);
	settle(world);
}

static bool send_one(struct world *world, uint32_t number)
{
	static const struct transport_address to = {.port = 9};
	uint8_t data[LENGTH];

	fill(data, number);
	const struct transport_piece pieces[] = {
		{.data = data + 48, .reference = world, .length = 20},
		{.data = data + 68, .reference = world, .length = LENGTH - 68},
	};
	const struct transport_datagram datagram = {
		.to = &to,
		.header = data,
		.pieces = pieces,
		.header_bytes = 48,
		.piece_count = 2,
		.bytes = LENGTH,
	};
	return world->source->ops->send(world->source, &datagram, 0);
}

static void send_many(struct world *world, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		assert_true(send_one(world, i));
		if (i % 16 == 15)
			world->source->ops->turn(world->source, 0);
	}
	settle(world);
	world->source->ops->turn(world->source, 0);
}

static void assert_order_is_untouched(const struct recorded *recorded, unsigned count)
{
	assert_int_equal(count, MANY);
	for (unsigned i = 0; i < count; i++) {
		assert_true(recorded[i].intact);
		assert_int_equal(recorded[i].number, i);
	}
}

static void without_faults_everything_passes_untouched(void **state)
{
	struct world *world = world_new((struct faults){.seed = 1});

	receive_many(world, MANY);
	send_many(world, MANY);
	assert_order_is_untouched(world->got, world->got_count);
	assert_order_is_untouched(world->inner.sent, world->inner.sent_count);
	assert_int_equal(faulty_source_counts(world->source).passed, 2 * MANY);
	world_free(world);
}

static void about_as_many_are_lost_as_wanted(void **state)
{
	struct world *world = world_new((struct faults){.seed = 2, .loss = FULL / 5});

	receive_many(world, MANY);
	send_many(world, MANY);
	assert_in_range(world->got_count, MANY * 78 / 100, MANY * 82 / 100);
	assert_in_range(world->inner.sent_count, MANY * 78 / 100, MANY * 82 / 100);
	assert_int_equal(faulty_source_counts(world->source).lost,
			 2 * MANY - world->got_count - world->inner.sent_count);
	world_free(world);
}

static void assert_each_twice(const struct recorded *recorded, unsigned count, uint64_t doubled)
{
	static unsigned seen[MANY];
	unsigned twice = 0;

	memset(seen, 0, sizeof(seen));
	for (unsigned i = 0; i < count; i++) {
		assert_true(recorded[i].intact);
		seen[recorded[i].number]++;
	}
	for (unsigned i = 0; i < MANY; i++) {
		assert_in_range(seen[i], 1, 2);
		twice += seen[i] == 2;
	}
	assert_int_equal(twice, doubled);
	assert_true(twice > MANY / 2);
}

static void doubles_come_twice_and_whole(void **state)
{
	struct world *world = world_new((struct faults){.seed = 3, .twice = FULL / 4 * 3});

	receive_many(world, MANY);
	uint64_t doubled = faulty_source_counts(world->source).doubled;
	assert_each_twice(world->got, world->got_count, doubled);
	send_many(world, MANY);
	doubled = faulty_source_counts(world->source).doubled - doubled;
	assert_each_twice(world->inner.sent, world->inner.sent_count, doubled);
	world_free(world);
}

/* By how many places the one that is farthest from home is late. */
static unsigned latest(const struct recorded *recorded, unsigned count)
{
	unsigned late_max = 0;

	assert_int_equal(count, MANY);
	for (unsigned i = 0; i < count; i++) {
		assert_true(recorded[i].intact);
		if (i > recorded[i].number && i - recorded[i].number > late_max)
			late_max = i - recorded[i].number;
	}
	return late_max;
}

static void delayed_ones_are_overtaken_by_a_few_only(void **state)
{
	struct world *world = world_new((struct faults){.seed = 4, .reorder = FULL / 10});

	receive_many(world, MANY);
	send_many(world, MANY);
	/* In, what is due waits for the next burst. */
	assert_in_range(latest(world->got, world->got_count), 1, 8 + 32);
	assert_in_range(latest(world->inner.sent, world->inner.sent_count), 1, 8);
	assert_in_range(faulty_source_counts(world->source).delayed, MANY / 6, MANY / 4);
	world_free(world);
}

static void a_delayed_one_arrives_though_nothing_follows(void **state)
{
	struct world *world = world_new((struct faults){.seed = 5, .reorder = FULL});

	world->inner.to_come = 1;
	assert_int_equal(receive_once(world), 0);
	assert_true(send_one(world, 77));
	assert_int_equal(world->inner.sent_count, 0);
	assert_int_equal(world->inner.out, 0); /* the inner source has its packet back */
	unsigned turns = 0;
	for (; world->source->ops->sleep(world->source) == 0; turns++) {
		receive_once(world);
		world->source->ops->turn(world->source, 0);
	}
	assert_in_range(turns, 2, 100);
	assert_int_equal(world->source->ops->sleep(world->source), 12345);
	assert_int_equal(world->got_count, 1);
	assert_int_equal(world->inner.sent_count, 1);
	assert_int_equal(world->inner.sent[0].number, 77);
	world_free(world);
}

static bool whole(const struct recorded *recorded, unsigned number)
{
	return recorded->intact && recorded->number == number;
}

static void flipped_ones_keep_their_length_and_differ(void **state)
{
	struct world *world = world_new((struct faults){.seed = 6, .flip = FULL / 2});
	unsigned harmed = 0;

	receive_many(world, MANY);
	send_many(world, MANY);
	assert_int_equal(world->got_count, MANY);
	assert_int_equal(world->inner.sent_count, MANY);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(world->got[i].length, LENGTH);
		assert_int_equal(world->inner.sent[i].length, LENGTH);
		harmed += !whole(&world->got[i], i) + !whole(&world->inner.sent[i], i);
	}
	uint64_t flipped = faulty_source_counts(world->source).flipped;
	assert_in_range(flipped, MANY * 95 / 100, MANY * 105 / 100);
	/* Two flips of one bit are none: seldom. */
	assert_in_range(harmed, flipped - flipped / 200, flipped);
	world_free(world);
}

static void cut_ones_are_shorter_and_not_empty(void **state)
{
	struct world *world = world_new((struct faults){.seed = 7, .cut = FULL});
	bool into_header = false;

	receive_many(world, MANY);
	send_many(world, MANY);
	for (unsigned i = 0; i < MANY; i++) {
		const struct recorded *sent = &world->inner.sent[i];
		assert_in_range(world->got[i].length, 1, LENGTH - 1);
		assert_in_range(sent->length, 1, LENGTH - 1);
		assert_int_equal(sent->header_bytes, sent->length < 48 ? sent->length : 48);
		into_header |= sent->length < 48;
	}
	assert_true(into_header);
	world_free(world);
}

static void one_seed_has_one_outcome(void **state)
{
	const struct faults faults = {.seed = 8,
				      .loss = FULL / 10,
				      .twice = FULL / 10,
				      .reorder = FULL / 10,
				      .flip = FULL / 10,
				      .cut = FULL / 10};
	struct faults other_faults = faults;
	other_faults.seed++;
	struct world *one = world_new(faults);
	struct world *same = world_new(faults);
	struct world *other = world_new(other_faults);

	receive_many(one, MANY);
	send_many(one, MANY);
	receive_many(same, MANY);
	send_many(same, MANY);
	receive_many(other, MANY);
	assert_int_equal(one->got_count, same->got_count);
	assert_memory_equal(one->got, same->got, sizeof(one->got));
	assert_int_equal(one->inner.sent_count, same->inner.sent_count);
	assert_memory_equal(one->inner.sent, same->inner.sent, sizeof(one->inner.sent));
	assert_memory_not_equal(one->got, other->got, sizeof(one->got));
	world_free(one);
	world_free(same);
	world_free(other);
}

static void what_a_nic_still_refers_to_is_not_used_again(void **state)
{
	struct world *world = world_new((struct faults){
		.seed = 9, .twice = FULL / 3, .reorder = FULL / 3, .flip = FULL / 100});

	world->inner.holds = true;
	send_many(world, MANY);
	assert_int_equal(world->inner.held_count, 0);
	assert_int_equal(world->references, 0);
	/* Slots have come back: a second round is harmed as much as the first. */
	struct faulty_counts first = faulty_source_counts(world->source);
	world->inner.sent_count = 0;
	send_many(world, MANY);
	struct faulty_counts both = faulty_source_counts(world->source);
	assert_in_range(both.delayed, first.delayed * 19 / 10, first.delayed * 21 / 10);
	world_free(world);
}

static void a_full_source_is_offered_the_same_again(void **state)
{
	struct world *world = world_new((struct faults){.seed = 10});

	world->inner.refuses = true;
	assert_false(send_one(world, 1));
	world->inner.refuses = false;
	assert_true(send_one(world, 1));
	assert_int_equal(world->inner.sent_count, 1);
	world_free(world);

	/* What was taken over waits until there is room. */
	world = world_new((struct faults){.seed = 11, .flip = FULL});
	world->inner.refuses = true;
	assert_true(send_one(world, 1));
	for (unsigned i = 0; i < 1000; i++)
		world->source->ops->turn(world->source, 0);
	assert_int_equal(world->source->ops->sleep(world->source), 0);
	world->inner.refuses = false;
	world->source->ops->turn(world->source, 0);
	assert_int_equal(world->inner.sent_count, 1);
	world_free(world);
}

static void without_memory_datagrams_are_spared(void **state)
{
	struct world *world = world_new((struct faults){.seed = 12, .flip = FULL});
	unsigned taken = 0;

	world->inner.refuses = true;
	while (send_one(world, taken))
		taken++;
	assert_in_range(taken, 64, 1024);
	assert_true(faulty_source_counts(world->source).spared > 0);
	world->inner.refuses = false;
	assert_true(send_one(world, taken));
	assert_int_equal(world->inner.sent_count, taken + 1);
	world_free(world);
}

static void less_is_kept_than_there_are_slots(void **state)
{
	struct world *world = world_new((struct faults){.seed = 13, .flip = FULL});

	assert_in_range(world->source->ops->keep_max, 1, 64);
	assert_string_equal(world->source->ops->name, "inner");
	world_free(world);
}

static void the_setting_is_read(void **state)
{
	struct faults faults;
	char why[256] = "";

	assert_int_equal(faults_parse("seed=7,loss=5%,double=1%,reorder=2.5%,flip=100%,cut=0%",
				      &faults, why, sizeof(why)),
			 0);
	assert_int_equal(faults.seed, 7);
	assert_int_equal(faults.loss, 50000);
	assert_int_equal(faults.twice, 10000);
	assert_int_equal(faults.reorder, 25000);
	assert_int_equal(faults.flip, FULL);
	assert_int_equal(faults.cut, 0);
	assert_int_equal(faults_parse("loss=0.0001%", &faults, why, sizeof(why)), 0);
	assert_int_equal(faults.loss, 1);
	assert_int_equal(faults.flip, 0);
}

static void a_wrong_setting_is_told_by_its_word(void **state)
{
	static const char *const wrong[] = {
		"loss",
		"loss=",
		"loss=5",
		"loss=101%",
		"loss=-1%",
		"loss=nan%",
		"seed=x",
		"seed=-1",
		"seed=",
		"seed=1%",
		"lost=1%",
		"loss=1%%",
		"loss=1% ",
		"=1%",
		",loss=1%",
		"",
		"seed=99999999999999999999",
		"loss=inf%",
		"loss=5%;flip=1%",
	};
	char text[64];
	char why[256];

	for (size_t i = 0; i < array_count(wrong); i++) {
		struct faults faults = {.seed = 99};
		snprintf(text, sizeof(text), "flip=1%%,%s", wrong[i]);
		why[0] = '\0';
		assert_int_equal(faults_parse(text, &faults, why, sizeof(why)), -ERR_CONFIG);
		assert_int_equal(faults.seed, 99);
		assert_non_null(strstr(why, "expected seed=NUMBER"));
	}
	assert_non_null(strstr(why, "\"loss=5%;flip=1%\""));
	char *longest = malloc(1000);
	assert_non_null(longest);
	memset(longest, 'x', 999);
	longest[999] = '\0';
	struct faults faults;
	assert_int_equal(faults_parse(longest, &faults, why, sizeof(why)), -ERR_CONFIG);
	free(longest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_faults_everything_passes_untouched),
		cmocka_unit_test(about_as_many_are_lost_as_wanted),
		cmocka_unit_test(doubles_come_twice_and_whole),
		cmocka_unit_test(delayed_ones_are_overtaken_by_a_few_only),
		cmocka_unit_test(a_delayed_one_arrives_though_nothing_follows),
		cmocka_unit_test(flipped_ones_keep_their_length_and_differ),
		cmocka_unit_test(cut_ones_are_shorter_and_not_empty),
		cmocka_unit_test(one_seed_has_one_outcome),
		cmocka_unit_test(what_a_nic_still_refers_to_is_not_used_again),
		cmocka_unit_test(a_full_source_is_offered_the_same_again),
		cmocka_unit_test(without_memory_datagrams_are_spared),
		cmocka_unit_test(less_is_kept_than_there_are_slots),
		cmocka_unit_test(the_setting_is_read),
		cmocka_unit_test(a_wrong_setting_is_told_by_its_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
