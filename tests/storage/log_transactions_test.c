/* The structure by itself, against a list that is walked. */
#include "storage/log_transactions.h"

#include "tests/storage/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static int setup(void **state)
{
	struct log_transactions *transactions = malloc(sizeof(*transactions));

	log_transactions_init(transactions);
	*state = transactions;
	return 0;
}

static int teardown(void **state)
{
	log_transactions_clear(*state);
	free(*state);
	return 0;
}

static struct log_transaction *begin(struct log_transactions *transactions, int64_t offset)
{
	assert_int_equal(log_transactions_reserve_begin(transactions), 0);
	return log_transactions_begin(transactions, offset);
}

static void commit(struct log_transactions *transactions, struct log_transaction *transaction,
		   int64_t offset)
{
	log_transactions_end(transactions, transaction, offset, NULL);
}

static void abort_it(struct log_transactions *transactions, struct log_transaction *transaction,
		     int64_t offset, int64_t open_from)
{
	const struct log_transactions_abort abort = {.producer_id = 7, .open_from = open_from};

	assert_int_equal(log_transactions_reserve_end(transactions), 0);
	log_transactions_end(transactions, transaction, offset, &abort);
}

static void without_transactions_nothing_is_unstable(void **state)
{
	assert_int_equal(log_transactions_unstable_from(*state), INT64_MAX);
}

static void the_first_that_began_holds_back_until_its_end_is_durable(void **state)
{
	struct log_transactions *transactions = *state;
	struct log_transaction *first = begin(transactions, 10);
	struct log_transaction *second = begin(transactions, 20);

	commit(transactions, second, 30);
	log_transactions_durable(transactions, 40);
	assert_int_equal(log_transactions_unstable_from(transactions), 10);
	commit(transactions, first, 50);
	log_transactions_durable(transactions, 50);
	assert_int_equal(log_transactions_unstable_from(transactions), 10);
	log_transactions_durable(transactions, 51);
	assert_int_equal(log_transactions_unstable_from(transactions), INT64_MAX);
}

static void of_those_that_ended_the_one_that_is_not_durable_holds_back(void **state)
{
	struct log_transactions *transactions = *state;
	struct log_transaction *first = begin(transactions, 10);
	struct log_transaction *second = begin(transactions, 20);

	commit(transactions, first, 30);
	commit(transactions, second, 31);
	log_transactions_durable(transactions, 31);
	assert_int_equal(log_transactions_unstable_from(transactions), 20);
}

static void a_reader_of_old_records_does_not_walk_past_what_it_reads(void **state)
{
	struct log_transactions *transactions = *state;
	struct aborted_transaction found;

	for (int64_t i = 0; i < 1000; i++)
		abort_it(transactions, begin(transactions, i * 10), i * 10 + 5, i * 10 + 6);
	for (size_t i = 0; i < 999; i++) {
		int64_t from = (int64_t)i * 10;
		int64_t *behind = &transactions->aborted[i + 1].transaction.first_offset;
		int64_t first = *behind;
		*behind = from; /* were it looked at, it would be found */
		assert_int_equal(log_transactions_aborted(transactions, from, from + 6, &found, 1),
				 1);
		assert_int_equal(found.first_offset, from);
		*behind = first;
	}
}

static void more_than_there_is_room_for_are_counted(void **state)
{
	struct log_transactions *transactions = *state;
	struct aborted_transaction found[2];

	for (int64_t i = 0; i < 5; i++)
		abort_it(transactions, begin(transactions, i * 2), i * 2 + 1, i * 2 + 2);
	assert_int_equal(log_transactions_aborted(transactions, 0, 100, found, 2), 5);
	assert_int_equal(found[1].last_offset, 3);
	assert_int_equal(log_transactions_aborted(transactions, 0, 100, NULL, 0), 5);
}

static void what_is_trimmed_gives_its_room_to_others(void **state)
{
	struct log_transactions *transactions = *state;

	for (int64_t i = 0; i < 10000; i++) {
		abort_it(transactions, begin(transactions, i * 2), i * 2 + 1, i * 2 + 2);
		log_transactions_trim(transactions, i * 2 - 8);
	}
	assert_int_equal(transactions->aborted_count, 5);
	assert_true(transactions->aborted_capacity <= 32);
}

/* ---- at random ---- */

enum { OPEN_MAX = 8, STEPS = 3000, LOOKS = 4 };

struct model {
	struct chance chance;
	struct log_transaction *open[OPEN_MAX];
	int64_t first[OPEN_MAX];
	int64_t next;
	struct aborted_transaction aborted[STEPS];
	size_t aborted_count;
};

static int64_t open_from(const struct model *model, int64_t otherwise)
{
	for (size_t i = 0; i < OPEN_MAX; i++) {
		if (model->open[i] && model->first[i] < otherwise)
			otherwise = model->first[i];
	}
	return otherwise;
}

static void step(struct model *model, struct log_transactions *transactions)
{
	size_t i = chance_below(&model->chance, OPEN_MAX);
	int64_t offset = model->next;

	model->next += 1 + (int64_t)chance_below(&model->chance, 3);
	if (!model->open[i]) {
		model->open[i] = begin(transactions, offset);
		model->first[i] = offset;
		return;
	}
	struct log_transaction *ended = model->open[i];
	model->open[i] = NULL;
	if (chance_one_in(&model->chance, 2)) {
		commit(transactions, ended, offset);
		return;
	}
	abort_it(transactions, ended, offset, open_from(model, offset + 1));
	model->aborted[model->aborted_count++] = (struct aborted_transaction){
		.producer_id = 7, .first_offset = model->first[i], .last_offset = offset};
}

static void look(struct model *model, const struct log_transactions *transactions)
{
	static struct aborted_transaction got[STEPS], want[STEPS];
	int64_t from = (int64_t)chance_below(&model->chance, (uint64_t)model->next + 2);
	int64_t below = from + (int64_t)chance_below(&model->chance, 60);
	size_t count = 0;

	for (size_t i = 0; i < model->aborted_count; i++) {
		const struct aborted_transaction *one = &model->aborted[i];
		if (one->last_offset >= from && one->first_offset < below)
			want[count++] = *one;
	}
	assert_int_equal(log_transactions_aborted(transactions, from, below, got, STEPS), count);
	assert_int_equal(log_transactions_has_aborted(transactions, from),
			 log_transactions_aborted(transactions, from, INT64_MAX, NULL, 0) > 0);
	if (count)
		assert_memory_equal(got, want, count * sizeof(got[0]));
}

static void any_range_has_the_aborted_ones_that_a_walk_finds(void **state)
{
	struct log_transactions *transactions = *state;
	struct model *model = calloc(1, sizeof(*model));

	model->chance.state = 4711;
	for (int i = 0; i < STEPS; i++) {
		step(model, transactions);
		log_transactions_durable(transactions, model->next);
		assert_int_equal(log_transactions_unstable_from(transactions),
				 open_from(model, INT64_MAX));
		for (int j = 0; j < LOOKS; j++)
			look(model, transactions);
	}
	free(model);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(without_transactions_nothing_is_unstable),
		TEST(the_first_that_began_holds_back_until_its_end_is_durable),
		TEST(of_those_that_ended_the_one_that_is_not_durable_holds_back),
		TEST(a_reader_of_old_records_does_not_walk_past_what_it_reads),
		TEST(more_than_there_is_room_for_are_counted),
		TEST(what_is_trimmed_gives_its_room_to_others),
		TEST(any_range_has_the_aborted_ones_that_a_walk_finds),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
