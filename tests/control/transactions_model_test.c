/* Clients, log, topics, owners of partitions, groups and broker do anything, by a seed that is
 * printed; after each step, and when the faults have stopped, this holds:
 *
 *     a transaction has one outcome, and it is the one that its producer was told
 *     all partitions of a transaction, and its groups, are told the same
 *     no owner takes a batch of a transaction while the one before is open there
 *     producer ids and epochs of an id never fall, in the order in which they are stored
 *     in the end nothing is open, neither here nor at an owner */
#include "base/bytes.h"
#include "base/errors.h"
#include "tests/control/transaction_producers.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum {
	SEEDS = 300,
	STEPS = 5000,
	CLIENTS = 5,
	IDS = 3,
	LOG_PARTITIONS = 2,
	/* Of "out", then of __consumer_offsets. */
	OUT_PARTITIONS = 3,
	OWNERS = OUT_PARTITIONS + 3,
	TAGS_MAX = STEPS + 1,
	OPEN_MAX = 256,
};

enum doing { TO_INIT, INITING, READY, ADDING, ASKING, COMMITTING, ENDING };
enum outcome { NONE_YET, COMMITTED, ABORTED };

/* Of one producer id at one owner. */
struct open {
	int64_t producer_id;
	int16_t epoch;
	unsigned tag; /* of the transaction; 0: none is open */
};

struct client {
	struct producer producer;
	enum doing doing;
	struct world_request *request;
	struct world_ask question;
	int32_t owner; /* that `question` or an offset commit is about */
	unsigned tag;  /* of its transaction */
	bool commit;   /* it is being ended so */
	bool gone;     /* the topic that `question` is about was deleted since */
};

struct model {
	struct world *world;
	uint64_t random;
	struct client clients[CLIENTS];
	struct open open[OWNERS][OPEN_MAX];
	unsigned tags;
	enum outcome outcome[TAGS_MAX];  /* as owners were told */
	enum outcome promised[TAGS_MAX]; /* as the producer was */
	size_t checked[LOG_PARTITIONS];  /* durable records that were looked at */
	int64_t producer_id[IDS];        /* the last stored */
	int16_t epoch[IDS];
};

/* Of all seeds: what happened often enough for the run to mean something. */
static struct {
	unsigned committed;
	unsigned aborted;
	unsigned unheard; /* ended, but the producer was not told */
} seen;

static const char *const ids[IDS] = {"a", "b", "c"};
static const char *const groups[] = {"g", "gg", "ggg"};

static unsigned chance(struct model *model, unsigned of)
{
	model->random = model->random * UINT64_C(6364136223846793005) +
			UINT64_C(1442695040888963407);
	return (unsigned)(model->random >> 33) % of;
}

/* ---- the owners ---- */

static struct open *open_of(struct model *model, int32_t owner, int64_t producer_id)
{
	for (int i = 0; i < OPEN_MAX; i++) {
		struct open *open = &model->open[owner][i];
		if (open->producer_id == producer_id || open->producer_id == 0) {
			open->producer_id = producer_id;
			return open;
		}
	}
	fail_msg("more producer ids than expected");
	return NULL;
}

/* The coordinator has said that the transaction is open there. */
static void owner_writes(struct model *model, int32_t owner, const struct client *client)
{
	struct open *open = open_of(model, owner, client->producer.producer_id);

	assert_true(open->epoch <= client->producer.epoch);
	assert_true(open->tag == 0 || open->tag == client->tag);
	open->epoch = client->producer.epoch;
	open->tag = client->tag;
}

static void owner_is_told(struct model *model, const struct world_told *told)
{
	bool of_groups = strcmp(told->topic, OFFSETS_TOPIC) == 0;
	int32_t owner = told->partition + (of_groups ? OUT_PARTITIONS : 0);
	struct open *open = open_of(model, owner, told->producer_id);
	enum outcome outcome = told->commit ? COMMITTED : ABORTED;

	if (open->tag) {
		enum outcome *known = &model->outcome[open->tag];
		assert_true(*known == NONE_YET || *known == outcome);
		assert_true(of_groups || open->epoch <= told->producer_epoch);
		*known = outcome;
	}
	open->tag = 0;
	if (!of_groups)
		open->epoch = told->producer_epoch;
}

static void look_at_told(struct model *model)
{
	for (size_t i = 0; i < model->world->told_count; i++)
		owner_is_told(model, &model->world->told[i]);
	model->world->told_count = 0;
}

/* ---- what is stored ---- */

static void check_record(struct model *model, const struct world_record *record)
{
	/* version (2), producer id (8), epoch (2) */
	int64_t producer_id = (int64_t)load_be64(record->value + 2);
	int16_t epoch = (int16_t)load_be16(record->value + 10);
	int id = record->key[record->key_size - 1] - 'a';

	assert_in_range(id, 0, IDS - 1);
	assert_true(producer_id >= model->producer_id[id]);
	assert_true(producer_id > model->producer_id[id] || epoch >= model->epoch[id]);
	model->producer_id[id] = producer_id;
	model->epoch[id] = epoch;
}

static void look_at_log(struct model *model)
{
	for (int i = 0; i < LOG_PARTITIONS; i++) {
		const struct world_records *records = &model->world->log.partitions[i];
		for (; model->checked[i] < records->durable; model->checked[i]++)
			check_record(model, &records->records[model->checked[i]]);
	}
}

/* ---- the clients ---- */

static bool comes_again(int16_t error)
{
	return error == KAFKA_NOT_COORDINATOR || error == KAFKA_COORDINATOR_NOT_AVAILABLE ||
	       error == KAFKA_CONCURRENT_TRANSACTIONS ||
	       error == KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
}

/* Whoever is fenced, or at a loss, begins anew as another process would. */
static void client_gives_up(struct client *client)
{
	client->doing = TO_INIT;
	client->tag = 0;
}

static void client_sends_init(struct client *client, struct model *model)
{
	/* The present producer may say who it is, where it still is. */
	bool again = client->producer.epoch > 0 && chance(model, 4) == 0;

	client->request = producer_ask_init(&client->producer, again);
	client->doing = INITING;
}

static void client_sends_commit(struct client *client)
{
	struct world_request *ask = world_ask(client->producer.world, KAFKA_TXN_OFFSET_COMMIT,
					      client->producer.version_2 ? 5 : 3);
	struct kafka_txn_offset_commit_request *commit = ask->message;

	commit->transactional_id = kafka_string_of(client->producer.id);
	commit->group_id = kafka_string_of(groups[client->owner - OUT_PARTITIONS]);
	commit->producer_id = client->producer.producer_id;
	commit->producer_epoch = client->producer.epoch;
	client->request = ask;
	client->doing = COMMITTING;
	world_send(ask);
}

static struct world_request *ask_for_group(struct client *client)
{
	struct world_request *ask = world_ask(client->producer.world, KAFKA_ADD_OFFSETS_TO_TXN, 3);
	struct kafka_add_offsets_to_txn_request *add = ask->message;

	add->transactional_id = kafka_string_of(client->producer.id);
	add->producer_id = client->producer.producer_id;
	add->producer_epoch = client->producer.epoch;
	add->group_id = kafka_string_of(groups[client->owner - OUT_PARTITIONS]);
	world_send(ask);
	return ask;
}

static void client_asks_owner(struct client *client)
{
	client->doing = ASKING;
	client->gone = false;
	producer_send_question(&client->producer, &client->question, "out", client->owner,
			       client->producer.version_2);
}

/* `owner` of this model's numbering has the partition of groups[i] at its length % 3. */
static int32_t owner_of_group(int32_t owner)
{
	return OUT_PARTITIONS + (int32_t)strlen(groups[owner - OUT_PARTITIONS]) % 3;
}

static void client_writes(struct client *client, struct model *model)
{
	if (!client->tag)
		client->tag = ++model->tags;
	client->owner = (int32_t)chance(model, OWNERS);
	if (!client->producer.version_2) {
		client->doing = ADDING;
		client->request = client->owner < OUT_PARTITIONS
					  ? producer_ask_add(&client->producer, "out",
							     client->owner)
					  : ask_for_group(client);
	} else if (client->owner < OUT_PARTITIONS) {
		client_asks_owner(client);
	} else {
		client_sends_commit(client);
	}
}

static void client_sends_end(struct client *client)
{
	client->doing = ENDING;
	client->request = producer_ask_end(&client->producer, client->commit);
}

static void client_goes_on(struct client *client, struct model *model)
{
	if (client->tag && chance(model, 3) == 0) {
		client->commit = chance(model, 2);
		client_sends_end(client);
	} else {
		client_writes(client, model);
	}
}

static void client_is_inited(struct client *client)
{
	int16_t error = producer_inited(&client->producer, client->request);

	client->doing = error ? TO_INIT : READY;
	if (error == KAFKA_PRODUCER_FENCED)
		client->producer.epoch = 0;
}

static void client_has_added(struct client *client)
{
	int16_t error = client->owner < OUT_PARTITIONS
				? producer_added(client->request)
				: ((struct kafka_add_offsets_to_txn_response *)world_answer(
					   client->request))
					  ->error_code;

	if (comes_again(error))
		client->doing = READY;
	else if (error)
		client_gives_up(client);
	else if (client->owner < OUT_PARTITIONS)
		client_asks_owner(client);
	else
		client_sends_commit(client);
}

static void client_has_asked(struct client *client)
{
	int rc = client->question.ask.rc;

	client->doing = READY;
	if (rc == -ERR_PRODUCER_EPOCH || rc == -ERR_PRODUCER_ID)
		client_gives_up(client);
}

/* Answered, it was not for the groups. */
static void client_has_committed(struct client *client)
{
	client->doing = READY;
	if (client->request->answered)
		world_answer(client->request);
}

static void client_has_ended(struct client *client, struct model *model)
{
	int16_t error = producer_ended(&client->producer, client->request);

	if (comes_again(error)) {
		client_sends_end(client);
		return;
	}
	if (error) { /* fenced; or nothing was ever added */
		client_gives_up(client);
		return;
	}
	model->promised[client->tag] = client->commit ? COMMITTED : ABORTED;
	client->tag = 0;
	client->doing = READY;
}

/* The answer was lost: the same once more. */
static void client_sends_again(struct client *client, struct model *model)
{
	if (client->doing == INITING)
		client_sends_init(client, model);
	else if (client->doing == ENDING)
		client_sends_end(client);
}

static bool client_waits(const struct client *client)
{
	switch (client->doing) {
	case TO_INIT:
	case READY:
		return false;
	case ASKING:
		return !client->question.answered;
	case INITING:
	case ADDING:
	case COMMITTING:
	case ENDING:
		return !client->request->answered && !client->request->admitted;
	}
	return false;
}

static void client_hears(struct client *client, struct model *model)
{
	switch (client->doing) {
	case TO_INIT:
		client_sends_init(client, model);
		return;
	case READY:
		client_goes_on(client, model);
		return;
	case INITING:
		client_is_inited(client);
		return;
	case ADDING:
		client_has_added(client);
		return;
	case ASKING:
		client_has_asked(client);
		return;
	case COMMITTING:
		client_has_committed(client);
		return;
	case ENDING:
		client_has_ended(client, model);
		return;
	}
}

static void client_step(struct client *client, struct model *model)
{
	bool loses = (client->doing == INITING || client->doing == ENDING) && chance(model, 8) == 0;

	if (loses)
		client_sends_again(client, model);
	else if (!client_waits(client))
		client_hears(client, model);
}

/* Owners and groups act on what they are told before anything else happens. */
static void owners_hear(struct model *model)
{
	for (int i = 0; i < CLIENTS; i++) {
		struct client *client = &model->clients[i];
		if (client->doing == ASKING && client->question.answered &&
		    client->question.ask.rc == 0) {
			if (!client->gone)
				owner_writes(model, client->owner, client);
			client->doing = READY;
		} else if (client->doing == COMMITTING && client->request->admitted) {
			owner_writes(model, owner_of_group(client->owner), client);
			client->doing = READY;
		}
	}
}

/* ---- the world ---- */

static void markers_arrive(struct model *model)
{
	static const int rcs[] = {0, 0, 0, -ERR_STORAGE, -ENOMEM, -ERR_UNKNOWN_PARTITION};

	model->world->marker_rc = rcs[chance(model, array_count(rcs))];
	world_take_markers(model->world);
	model->world->marker_rc = 0;
}

/* With all that was open in it; there is another of its name at once. */
static void topic_goes(struct model *model)
{
	world_delete_topic(model->world, "out");
	world_topic(model->world, "out", OUT_PARTITIONS);
	memset(model->open, 0, OUT_PARTITIONS * sizeof(model->open[0]));
	for (int i = 0; i < CLIENTS; i++)
		model->clients[i].gone = true;
}

static void fault(struct model *model)
{
	struct world *world = model->world;

	switch (chance(model, 9)) {
	case 0:
		world_restart(world);
		break;
	case 1:
	case 2:
		world_fail(world, (int32_t)chance(model, LOG_PARTITIONS));
		break;
	case 3:
		world->log.refuse_after = chance(model, 4);
		break;
	case 4:
		world_take_offsets(world, -EIO);
		break;
	case 5:
		world->offsets_rc = chance(model, 2) ? -ERR_LOADING : 0;
		break;
	case 6:
		if (world->ids_wanted)
			world_give_ids(world, 0, -EIO);
		break;
	case 7:
		topic_goes(model);
		break;
	default:
		if (chance(model, 4) == 0)
			world_advance(world, 70000);
		break;
	}
}

static void step(struct model *model)
{
	struct world *world = model->world;
	unsigned what = chance(model, 100);

	if (what < 50)
		client_step(&model->clients[chance(model, CLIENTS)], model);
	else if (what < 70)
		world_flush(world, (int32_t)chance(model, LOG_PARTITIONS));
	else if (what < 80)
		markers_arrive(model);
	else if (what < 85)
		world_take_offsets(world, 0);
	else if (what < 90)
		world_advance(world, chance(model, 500));
	else if (what < 95 && world->ids_wanted)
		world_give_ids(world, 1 + chance(model, 3), 0);
	else if (what < 97)
		world->log.refuse_after = UINT_MAX;
	else
		fault(model);
	owners_hear(model);
	look_at_told(model);
	look_at_log(model);
}

/* What is held back still is: an owner has to hear things in the order in which they are said. */
static void all_goes_on(struct model *model)
{
	struct world *world = model->world;

	for (int32_t partition = 0; partition < LOG_PARTITIONS; partition++)
		world_flush(world, partition);
	if (world->ids_wanted)
		world_give_ids(world, CLIENTS, 0);
	owners_hear(model);
	world_take_markers(world);
	world_take_offsets(world, 0);
	look_at_told(model);
	look_at_log(model);
}

static void faults_stop(struct model *model)
{
	struct world *world = model->world;

	world->log.refuse_after = UINT_MAX;
	world->offsets_rc = world->marker_rc = 0;
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 5; i++)
			all_goes_on(model);
		world_advance(world, 10000);
	}
	for (int i = 0; i < 5; i++)
		all_goes_on(model);
}

static void check_end(const struct model *model)
{
	for (int32_t owner = 0; owner < OWNERS; owner++) {
		for (int i = 0; i < OPEN_MAX; i++)
			assert_int_equal(model->open[owner][i].tag, 0);
	}
	for (unsigned tag = 1; tag <= model->tags; tag++) {
		enum outcome outcome = model->outcome[tag], promised = model->promised[tag];
		assert_true(promised == NONE_YET || outcome == NONE_YET || promised == outcome);
		seen.committed += outcome == COMMITTED;
		seen.aborted += outcome == ABORTED;
		seen.unheard += outcome != NONE_YET && promised == NONE_YET;
	}
	for (int32_t i = 0; i < LOG_PARTITIONS; i++) {
		list_foreach(node, &model->world->transactions->partitions[i].transactions)
			assert_false(
				transaction_open(container_of(node, struct transaction, link)));
	}
}

static void run(uint64_t seed)
{
	struct model *model = calloc(1, sizeof(*model));
	struct world *world = world_new(LOG_PARTITIONS);

	assert_non_null(model);
	model->world = world;
	model->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	world_topic(world, "out", OUT_PARTITIONS);
	world_topic(world, OFFSETS_TOPIC, 3);
	world->log.hold = world->hold_ids = world->hold_markers = world->hold_offsets = true;
	for (int i = 0; i < CLIENTS; i++)
		model->clients[i].producer = (struct producer){
			.world = world, .id = ids[i % IDS], .version_2 = i % 2 == 0};
	for (int i = 0; i < STEPS; i++)
		step(model);
	faults_stop(model);
	check_end(model);
	world_check_rewrite(world);
	world_free(world);
	free(model);
}

static void whatever_happens_a_transaction_has_one_outcome(void **state)
{
	const char *one = getenv("TRANSACTIONS_SEED");

	if (one) {
		run(strtoull(one, NULL, 10));
		return;
	}
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		print_message("TRANSACTIONS_SEED=%llu\n", (unsigned long long)seed);
		run(seed);
	}
	assert_true(seen.committed > SEEDS * 10);
	assert_true(seen.aborted > SEEDS * 10);
	assert_true(seen.unheard > SEEDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_happens_a_transaction_has_one_outcome),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
