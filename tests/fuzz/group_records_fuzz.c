/* Records of __consumer_offsets: { u16 length, key, u16 length or 0xffff (a tombstone), value } and
 * so on.  Whatever they are, they are read or refused; what was made of them lives for an hour, is
 * written anew, and that is read without a complaint and written the same. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "control/groups/groups.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/stored_records.h"

#include <errno.h>

/* ---- groups ---- */

static struct groups *groups_over(struct store *store)
{
	struct groups_options options = {
		.config = stored_config(),
		.clock = &stored_clock,
		.log = &store->log,
		.answer = stored_answer,
	};
	struct groups *groups;

	store->log.ops = &stored_ops;
	check(groups_new(&groups, &options) == 0);
	check(groups_set_partitions(groups, 1) == 0);
	groups_begin_load(groups, 0);
	return groups;
}

static int replay(struct groups *groups, const struct record *record)
{
	char why[100] = "";
	int rc = groups_replay(groups, 0, record, 0, why, sizeof(why));

	check(rc == 0 || why[0]);
	return rc;
}

/* ---- the input ---- */

static void replay_input(struct groups *groups, struct input input)
{
	while (input.left > 0) {
		struct record record = stored_input(&input);
		int rc = replay(groups, &record);
		check(rc == 0 || rc == -ERR_CORRUPT || rc == -ERR_FORMAT || rc == -ENOMEM);
	}
}

static void rewrite(struct groups *groups)
{
	check(groups_rewrite(groups, 0) == 0);
}

static void read_again(const struct store *written)
{
	struct store store = {0};
	struct groups *groups = groups_over(&store);

	for (size_t i = 0; i < written->count; i++)
		check(replay(groups, &written->records[i].record) == 0);
	/* Before topics are known and sessions begin, nothing changes by itself. */
	rewrite(groups);
	check(store.count == written->count);
	groups_stop(groups);
	groups_free(groups);
	store_fini(&store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store store = {0};
	struct store again = {0};

	stored_now_ns = 1000 * NS_PER_SECOND;
	struct groups *groups = groups_over(&store);
	replay_input(groups, (struct input){data, size});
	groups_set_topics(groups, stored_topics());
	groups_end_load(groups, 0);
	for (int step = 0; step < HOUR_STEPS; step++) {
		stored_now_ns += 60 * NS_PER_SECOND;
		groups_turn(groups);
	}
	size_t before = store.count;
	rewrite(groups);
	for (size_t i = before; i < store.count; i++)
		stored_ops.append(&again.log, 0, store.records[i].record.key,
				  store.records[i].record.key_length, store.records[i].record.value,
				  store.records[i].record.value_length, 0);
	read_again(&again);
	groups_stop(groups);
	groups_free(groups);
	store_fini(&store);
	store_fini(&again);
	return 0;
}
