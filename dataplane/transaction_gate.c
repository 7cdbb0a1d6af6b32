/* A gate is there while a producer has batches that wait in a partition:
 *
 *     append ──> passes? ──────────────────────────────> partition_append
 *                  │ no: a gate                              ^
 *                  v                                         │ may be there
 *              asked ──> back: ──> who waited in its transaction
 *                ^         │ its former transaction is still being ended, the coordinator loads
 *                └─ pause ─┘
 *
 * While others wait for buffers every batch asks: a marker may be among them, behind which a batch
 * that the log takes for one of an open transaction would begin another, that nobody ends. */
#include "dataplane/transaction_gate.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "dataplane/transaction_ask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A second and a quarter, and what the answers take.  Who has waited for long may wait a little
 * longer: many producers may be waiting in many partitions. */
enum {
	PAUSE_MS_MIN = 5,
	TRIES_OF_A_PAUSE = 8, /* then it is doubled */
	TRIES_MAX = 5 * TRIES_OF_A_PAUSE,
};

struct transaction_gate {
	struct list link; /* partition.gates */
	struct shard *shard;
	struct partition *partition; /* null: closed, `ask` is still out */
	struct list waiting;         /* struct transaction_append, in order of arrival */
	struct timer pause;
	unsigned tries;
	bool out; /* `ask` is under way */
	struct transaction_ask ask;
	char *texts; /* that `ask` refers to */
};

static struct transaction_append *append_of(struct list *link)
{
	return container_of(link, struct transaction_append, waiting);
}

static struct transaction_gate *find(const struct partition *partition, int64_t producer_id)
{
	list_foreach(node, &partition->gates) {
		struct transaction_gate *gate = container_of(node, struct transaction_gate, link);
		if (gate->ask.producer_id == producer_id)
			return gate;
	}
	return NULL;
}

static void gate_free(struct transaction_gate *gate)
{
	check(!gate->out && list_empty(&gate->waiting));
	timers_disarm(&gate->shard->timers, &gate->pause);
	list_remove(&gate->link);
	free(gate->texts);
	free(gate);
}

/* ---- asking ---- */

static void ask_back(struct message *message, void *receiver);

static void send_ask(struct transaction_gate *gate)
{
	struct shard *shard = gate->shard;

	gate->out = true;
	shard->transaction_asks_out++;
	gate->ask.message.handle = shard->options.coordinator_transaction;
	shard_send(shard, mesh_coordinator(shard->mesh), &gate->ask.message);
}

/* Of its own, as requests may go before the answer comes.  -ENOMEM. */
static int copy_texts(struct transaction_gate *gate, const struct kafka_string *id,
		      const char *topic)
{
	size_t id_length = (size_t)id->length;
	size_t topic_length = strlen(topic);
	char *texts = malloc(id_length + topic_length + 1);

	if (!texts)
		return -ENOMEM;
	memcpy(texts, id->data, id_length);
	memcpy(texts + id_length, topic, topic_length + 1);
	free(gate->texts);
	gate->texts = texts;
	gate->ask.transactional_id = (struct kafka_string){texts, id->length};
	gate->ask.topic = kafka_string_of(texts + id_length);
	return 0;
}

/* -ENOMEM, -ERR_UNKNOWN_PARTITION; -ERR_PRODUCER_ID: nobody can have the transactional id. */
static int ask_for(struct transaction_gate *gate, const struct transaction_append *append)
{
	const struct batch *batch = &append->append->batch;
	const struct topic *topic = topics_find_id(gate->shard->topics, &gate->partition->topic_id);

	if (!topic)
		return -ERR_UNKNOWN_PARTITION;
	if (append->transactional_id.length > TRANSACTIONAL_ID_BYTES_MAX)
		return -ERR_PRODUCER_ID;
	gate->ask = (struct transaction_ask){
		.done = ask_back,
		.shard_index = gate->shard->options.index,
		.producer_id = batch->producer_id,
		.producer_epoch = batch->producer_epoch,
		.partition = gate->partition->index,
		.add = append->add,
	};
	int rc = copy_texts(gate, &append->transactional_id, topic->name);
	if (rc == 0)
		send_ask(gate);
	return rc;
}

/* ---- what need not be asked ---- */

/* A producer whose partitions are added by their first batch begins an epoch with number 0, and has
 * an epoch for each transaction.  Of one that the log does not know another batch has overtaken
 * that: it was refused, or is still to come. */
static bool overtakes(const struct partition *partition, const struct transaction_append *append)
{
	const struct batch *batch = &append->append->batch;

	return append->add && batch->base_sequence != 0 &&
	       log_lacks_producer(partition->log, batch->producer_id);
}

/* True: it is on its way or refused; false: the coordinator has to be asked. */
static bool decide(struct partition *partition, struct transaction_append *append)
{
	bool open = false;

	if (!list_empty(&partition->blocked))
		return false;
	int rc = log_check_producer(partition->log, &append->append->batch, &open);
	/* -ERR_TXN_STATE: the marker of the producer's former transaction is still to come. */
	if (rc == 0 ? open : rc != -ERR_TXN_STATE) {
		partition_append(partition, append->append);
		return true;
	}
	if (overtakes(partition, append)) {
		append->append->done(append->append, -ERR_SEQUENCE);
		return true;
	}
	return false;
}

/* Whoever is told may bring the next batch of this producer before the call returns: it joins those
 * that wait. */
static void go_on(struct transaction_gate *gate)
{
	struct list *node;

	while ((node = list_pop_front(&gate->waiting))) {
		struct transaction_append *append = append_of(node);
		if (decide(gate->partition, append))
			continue;
		int rc = ask_for(gate, append);
		if (rc == 0) {
			list_push_front(&gate->waiting, node);
			return;
		}
		append->append->done(append->append, rc);
	}
	gate_free(gate);
}

/* ---- the answer ---- */

/* The first was asked for, and those behind it in the same transaction with it: where it is refused
 * they are too, as each rests on the one before. */
static void settle(struct transaction_gate *gate, int rc)
{
	gate->tries = 0;
	while (!list_empty(&gate->waiting)) {
		struct transaction_append *append = append_of(gate->waiting.next);
		if (append->append->batch.producer_epoch != gate->ask.producer_epoch ||
		    append->add != gate->ask.add)
			break;
		list_remove(&append->waiting);
		if (rc == 0)
			partition_append(gate->partition, append->append);
		else
			append->append->done(append->append, rc);
	}
	go_on(gate);
}

static void pause_over(struct timer *timer)
{
	send_ask(container_of(timer, struct transaction_gate, pause));
}

/* The next transaction of a producer begins while the markers of the one before are written. */
static bool asks_again(struct transaction_gate *gate)
{
	int rc = gate->ask.rc;

	if ((rc != -ERR_CONCURRENT_TXNS && rc != -ERR_LOADING) || gate->tries == TRIES_MAX)
		return false;
	uint64_t pause_ms = (uint64_t)PAUSE_MS_MIN << (gate->tries++ / TRIES_OF_A_PAUSE);
	return timers_arm(&gate->shard->timers, &gate->pause,
			  gate->shard->now_ns + pause_ms * NS_PER_MS) == 0;
}

static void ask_back(struct message *message, void *receiver)
{
	struct transaction_ask *ask = container_of(message, struct transaction_ask, message);
	struct transaction_gate *gate = container_of(ask, struct transaction_gate, ask);
	struct shard *shard = receiver;

	gate->out = false;
	shard->transaction_asks_out--;
	if (!gate->partition)
		gate_free(gate);
	else if (!asks_again(gate))
		settle(gate, ask->rc == -ERR_TXN_STATE ? -ERR_TXN_ABORTABLE : ask->rc);
}

/* ---- in and out ---- */

/* Null: out of memory. */
static struct transaction_gate *gate_new(struct partition *partition, int64_t producer_id)
{
	struct transaction_gate *gate = calloc(1, sizeof(*gate));

	if (!gate)
		return NULL;
	gate->shard = partition->shard;
	gate->partition = partition;
	gate->pause.expired = pause_over;
	gate->ask.producer_id = producer_id;
	list_init(&gate->waiting);
	list_push_back(&partition->gates, &gate->link);
	return gate;
}

void transaction_gate_append(struct partition *partition, struct transaction_append *append)
{
	int64_t producer_id = append->append->batch.producer_id;
	struct transaction_gate *gate = find(partition, producer_id);

	if (gate) {
		list_push_back(&gate->waiting, &append->waiting);
		return;
	}
	if (decide(partition, append))
		return;
	gate = gate_new(partition, producer_id);
	if (!gate) {
		append->append->done(append->append, -ENOMEM);
		return;
	}
	list_push_back(&gate->waiting, &append->waiting);
	go_on(gate);
}

static void gate_close(struct transaction_gate *gate)
{
	struct list *node;

	gate->partition = NULL;
	timers_disarm(&gate->shard->timers, &gate->pause);
	list_remove(&gate->link);
	while ((node = list_pop_front(&gate->waiting))) {
		struct partition_append *append = append_of(node)->append;
		append->done(append, -ERR_CLOSING);
	}
	if (!gate->out)
		gate_free(gate);
}

void transaction_gate_fail(struct partition *partition)
{
	list_foreach_safe(node, after, &partition->gates)
		gate_close(container_of(node, struct transaction_gate, link));
}
