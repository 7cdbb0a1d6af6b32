/* Who passes the gate at once, who waits, and for how long.  The log, the way into it and the
 * coordinator are the test's. */
#include "dataplane/transaction_gate.h"

#include "base/errors.h"
#include "dataplane/topics.h"
#include "dataplane/transaction_ask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { PRODUCER = 7, PASSED_MAX = 8, COORDINATOR = 1 };

struct sent {
	struct transaction_append transaction;
	struct partition_append append;
	bool passed; /* on its way into the log */
	int rc;      /* what it was told; 1: nothing yet */
};

struct world {
	struct shard shard;
	struct partition partition;
	/* What the log says of every batch. */
	int rc;
	bool open;
	bool known;
	struct transaction_ask *ask; /* null: none is out */
	unsigned asks;
	struct sent *passed[PASSED_MAX];
	unsigned passed_count;
	struct list in_the_way; /* waits for buffers */
};

static struct world *world; /* the functions below have no other way to it */

/* ---- what the gate calls ---- */

int log_check_producer(const struct log *log, const struct batch *batch, bool *ret_open)
{
	(void)log;
	(void)batch;
	*ret_open = world->open;
	return world->rc;
}

bool log_lacks_producer(const struct log *log, int64_t producer_id)
{
	(void)log;
	assert_int_equal(producer_id, PRODUCER);
	return !world->known;
}

const struct topic *topics_find_id(const struct topics *topics, const struct uuid *id)
{
	static const struct topic topic = {.name = "t"};

	(void)topics;
	(void)id;
	return &topic;
}

unsigned mesh_coordinator(const struct mesh *mesh)
{
	(void)mesh;
	return COORDINATOR;
}

void mesh_send(struct mesh *mesh, unsigned from, unsigned to, struct message *message)
{
	(void)mesh;
	(void)from;
	assert_int_equal(to, COORDINATOR);
	assert_null(world->ask);
	world->ask = container_of(message, struct transaction_ask, message);
	world->asks++;
}

void partition_append(struct partition *partition, struct partition_append *append)
{
	struct sent *sent = container_of(append, struct sent, append);

	assert_ptr_equal(partition, &world->partition);
	assert_true(world->passed_count < PASSED_MAX);
	sent->passed = true;
	world->passed[world->passed_count++] = sent;
}

/* ---- the test's hands ---- */

static int set_up(void **state)
{
	world = calloc(1, sizeof(*world));
	*state = world;
	if (!world)
		return -1;
	world->partition.shard = &world->shard;
	list_init(&world->partition.gates);
	list_init(&world->partition.blocked);
	list_init(&world->in_the_way);
	return 0;
}

static int tear_down(void **state)
{
	assert_null(world->ask);
	assert_true(list_empty(&world->partition.gates));
	assert_int_equal(world->shard.transaction_asks_out, 0);
	timers_fini(&world->shard.timers);
	free(*state);
	return 0;
}

static void told(struct partition_append *append, int rc)
{
	container_of(append, struct sent, append)->rc = rc;
}

static void send_batch_of(struct sent *sent, const char *id, int32_t sequence, bool add)
{
	*sent = (struct sent){
		.transaction = {.append = &sent->append,
				.transactional_id = kafka_string_of(id),
				.add = add},
		.append = {.done = told,
			   .batch = {.producer_id = PRODUCER, .base_sequence = sequence}},
		.rc = 1,
	};
	transaction_gate_append(&world->partition, &sent->transaction);
}

static void send_batch(struct sent *sent, int32_t sequence, bool add)
{
	send_batch_of(sent, "id", sequence, add);
}

static void answer(int rc)
{
	struct transaction_ask *ask = world->ask;

	assert_non_null(ask);
	assert_int_equal(ask->producer_id, PRODUCER);
	world->ask = NULL;
	ask->rc = rc;
	ask->done(&ask->message, &world->shard);
}

static void pass_time(uint64_t ms)
{
	world->shard.now_ns += ms * NS_PER_MS;
	timers_run(&world->shard.timers, world->shard.now_ns);
}

/* ---- the rules ---- */

static void the_first_batch_asks_and_those_behind_it_wait_in_order(void **state)
{
	struct sent first, second;

	(void)state;
	send_batch(&first, 0, true);
	send_batch(&second, 1, true);
	assert_int_equal(world->asks, 1);
	assert_int_equal(world->passed_count, 0);
	answer(0);
	assert_int_equal(world->passed_count, 2);
	assert_ptr_equal(world->passed[0], &first);
	assert_ptr_equal(world->passed[1], &second);
}

static void in_an_open_transaction_nothing_is_asked(void **state)
{
	struct sent sent;

	(void)state;
	world->open = true;
	send_batch(&sent, 5, false);
	assert_true(sent.passed);
	assert_int_equal(world->asks, 0);
}

/* A marker may be among what waits for buffers: behind it the transaction is not open any more. */
static void behind_what_waits_for_buffers_the_log_does_not_tell_what_is_open(void **state)
{
	const int says[] = {0, 1, -ERR_SEQUENCE, -ERR_PRODUCER_EPOCH, -ERR_TXN_STATE};

	(void)state;
	list_push_back(&world->partition.blocked, &world->in_the_way);
	for (unsigned i = 0; i < array_count(says); i++) {
		struct sent sent;
		world->rc = says[i];
		world->open = true;
		send_batch(&sent, 5, false);
		assert_false(sent.passed);
		answer(-ERR_TXN_STATE);
		assert_false(sent.passed);
		assert_int_equal(sent.rc, -ERR_TXN_ABORTABLE);
	}
}

static void the_first_batch_of_a_producer_that_the_log_does_not_know_is_its_first(void **state)
{
	struct sent later, first, late_in_older_flow;

	(void)state;
	send_batch(&later, 1, true);
	assert_int_equal(later.rc, -ERR_SEQUENCE);
	assert_int_equal(world->asks, 0);
	send_batch(&first, 0, true);
	answer(0);
	assert_true(first.passed);
	/* There it may be one that has been forgotten. */
	send_batch(&late_in_older_flow, 1, false);
	answer(0);
	assert_true(late_in_older_flow.passed);
}

/* Who ends without being given a new epoch goes on counting. */
static void a_known_producer_may_begin_a_transaction_with_any_number(void **state)
{
	struct sent sent;

	(void)state;
	world->known = true;
	send_batch(&sent, 5, true);
	answer(0);
	assert_true(sent.passed);
}

static void a_refusal_is_for_all_that_wait_in_the_transaction(void **state)
{
	struct sent first, second;

	(void)state;
	send_batch(&first, 0, true);
	send_batch(&second, 1, true);
	answer(-ERR_PRODUCER_EPOCH);
	assert_int_equal(first.rc, -ERR_PRODUCER_EPOCH);
	assert_int_equal(second.rc, -ERR_PRODUCER_EPOCH);
	assert_int_equal(world->passed_count, 0);
}

static void who_comes_before_the_end_of_the_former_is_asked_for_again_but_not_for_ever(void **state)
{
	struct sent sent;

	(void)state;
	send_batch(&sent, 0, true);
	while (sent.rc == 1) {
		if (world->ask)
			answer(-ERR_CONCURRENT_TXNS);
		else
			pass_time(1);
	}
	assert_int_equal(sent.rc, -ERR_CONCURRENT_TXNS);
	assert_in_range(world->shard.now_ns / NS_PER_MS, 1000, 2000);
	assert_in_range(world->asks, 10, 50);
}

static void for_an_id_that_nobody_can_have_nothing_is_asked(void **state)
{
	char id[TRANSACTIONAL_ID_BYTES_MAX + 2] = {0};
	struct sent sent;

	(void)state;
	memset(id, 'a', sizeof(id) - 1);
	send_batch_of(&sent, id, 0, true);
	assert_int_equal(sent.rc, -ERR_PRODUCER_ID);
	assert_int_equal(world->asks, 0);
}

static void an_ask_outlives_its_partition(void **state)
{
	struct sent sent;

	(void)state;
	send_batch(&sent, 0, true);
	transaction_gate_fail(&world->partition);
	assert_int_equal(sent.rc, -ERR_CLOSING);
	answer(0);
	assert_false(sent.passed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(the_first_batch_asks_and_those_behind_it_wait_in_order),
		TEST(in_an_open_transaction_nothing_is_asked),
		TEST(behind_what_waits_for_buffers_the_log_does_not_tell_what_is_open),
		TEST(the_first_batch_of_a_producer_that_the_log_does_not_know_is_its_first),
		TEST(a_known_producer_may_begin_a_transaction_with_any_number),
		TEST(a_refusal_is_for_all_that_wait_in_the_transaction),
		TEST(who_comes_before_the_end_of_the_former_is_asked_for_again_but_not_for_ever),
		TEST(for_an_id_that_nobody_can_have_nothing_is_asked),
		TEST(an_ask_outlives_its_partition),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
