/* Markers: how the partitions of a prepared transaction are told of its outcome.
 *
 *     markers_send -> for each partition:
 *         of a topic                 one batch to its owner     -> taken, or not open there: done
 *         of __consumer_offsets      the groups are told        -> durable: done
 *         of a topic that is gone    nothing                    -> done
 *     what fails comes again after a pause that grows; when all are done: transaction_complete
 *
 * The partitions of one transaction are told in any order, those of one shard at most
 * IN_FLIGHT_MAX at a time, of all transactions together.  What is on its way outlives its
 * transaction, which may be read anew meanwhile: then it comes home to nobody. */
#include "control/transactions/transactions_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/log.h"
#include "dataplane/shard_log.h"
#include "dataplane/topics.h"
#include "storage/control_batch.h"

#include <errno.h>
#include <stdlib.h>

enum {
	IN_FLIGHT_MAX = 64, /* of a shard: as many batches of 78 bytes as one write takes easily */
	PAUSE_MS_MIN = 10,
	PAUSE_MS_MAX = 1000,
	DOUBLINGS_MAX = 7,
	ATTEMPTS_QUIET = 10, /* before a line says why, and where: */
};
static const uint64_t between_lines_ns = 10 * NS_PER_SECOND; /* of all markers together */

struct flight;

/* One partition that has to be told. */
struct marker {
	struct list link; /* of its shard's waiting ones */
	struct wheel_timer pause;
	struct markers *markers;
	const struct partitions_of_topic *topic;
	struct flight *flight; /* null: not on its way */
	int32_t partition;
	unsigned attempts;
};

struct markers {
	struct transaction *transaction;
	size_t left; /* that are not done */
	size_t count;
	struct marker each[];
};

/* What is on its way, to a shard or to the groups. */
struct flight {
	struct shard_append append;
	struct state_wait wait;
	uint8_t batch[CONTROL_BATCH_BYTES];
	struct transactions *transactions;
	struct marker *marker; /* null: it is not waited for any more */
	unsigned shard;
};

static void marker_send(struct marker *marker);

static struct transactions *transactions_of(const struct marker *marker)
{
	return marker->markers->transaction->transactions;
}

/* ---- one is back ---- */

static void count_down(struct markers *markers)
{
	struct transaction *transaction = markers->transaction;

	if (--markers->left > 0)
		return;
	transaction->markers = NULL;
	free(markers);
	transaction_complete(transaction);
}

static void say(const struct marker *marker, const char *what, int rc)
{
	const struct transaction *transaction = marker->markers->transaction;

	log_warn("transactions", "%s id=%.*s topic=%.*s partition=%d error=\"%s\"", what,
		 (int)transaction->id_length, transaction->id, marker->topic->name_length,
		 marker->topic->name, marker->partition, error_text(rc));
}

/* A shard that has failed may hold up the markers of very many transactions. */
static void say_held_up(const struct marker *marker, int rc)
{
	struct transactions *transactions = transactions_of(marker);
	uint64_t now_ns = transactions_now_ns(transactions);

	if (marker->attempts < ATTEMPTS_QUIET || now_ns < transactions->next_line_ns)
		return;
	transactions->next_line_ns = now_ns + between_lines_ns;
	say(marker, "a marker is not taken yet", rc);
}

static void pause_over(struct wheel_timer *timer)
{
	marker_send(container_of(timer, struct marker, pause));
}

static void send_later(struct marker *marker, int rc)
{
	struct transactions *transactions = transactions_of(marker);
	unsigned doublings = marker->attempts < DOUBLINGS_MAX ? marker->attempts : DOUBLINGS_MAX;
	uint64_t pause_ms = (uint64_t)PAUSE_MS_MIN << doublings;

	if (pause_ms > PAUSE_MS_MAX)
		pause_ms = PAUSE_MS_MAX;
	marker->attempts++;
	say_held_up(marker, rc);
	marker->pause.expired = pause_over;
	timer_wheel_arm(&transactions->wheel, &marker->pause,
			transactions_now_ns(transactions) + pause_ms * NS_PER_MS);
}

/* `flight` is of no more use. */
static struct marker *land(struct flight *flight)
{
	struct marker *marker = flight->marker;

	flight->transactions->in_flight--;
	if (marker)
		marker->flight = NULL;
	free(flight);
	return marker;
}

static void back(struct marker *marker, int rc)
{
	if (rc == -ERR_PRODUCER_EPOCH) {
		/* A later instance of the producer has written there: it began after this end. */
		say(marker, "a marker came late", rc);
		rc = 0;
	}
	if (rc < 0)
		send_later(marker, rc);
	else
		count_down(marker->markers);
}

static bool shard_has_room(const struct marker_shard *shard)
{
	return shard->in_flight < IN_FLIGHT_MAX;
}

static void send_waiting(struct transactions *transactions, struct marker_shard *shard)
{
	/* After the stop nobody is sent: they wait for their transactions to be freed. */
	while (!transactions->stopping && shard_has_room(shard) && !list_empty(&shard->waiting))
		marker_send(container_of(list_pop_front(&shard->waiting), struct marker, link));
}

static void append_done(struct message *message, void *receiver)
{
	struct flight *flight = container_of(message, struct flight, append.log.message);
	struct transactions *transactions = flight->transactions;
	struct marker_shard *shard = &transactions->shards[flight->shard];
	int rc = flight->append.log.rc;
	struct marker *marker = land(flight);

	shard->in_flight--;
	if (marker)
		back(marker, rc);
	send_waiting(transactions, shard);
}

static void offsets_done(struct state_wait *wait, int rc)
{
	struct marker *marker = land(container_of(wait, struct flight, wait));

	if (marker)
		back(marker, rc);
}

/* ---- one leaves ---- */

static struct flight *take_off(struct marker *marker)
{
	struct transactions *transactions = transactions_of(marker);
	struct flight *flight = calloc(1, sizeof(*flight));

	if (!flight)
		return NULL;
	flight->transactions = transactions;
	flight->marker = marker;
	marker->flight = flight;
	transactions->in_flight++;
	return flight;
}

static bool committed(const struct transaction *transaction)
{
	return transaction->value.state == TRANSACTION_PREPARE_COMMIT;
}

static void send_to_groups(struct marker *marker)
{
	const struct transaction *transaction = marker->markers->transaction;
	const struct transactions_options *options = &transaction->transactions->options;
	struct flight *flight = take_off(marker);

	if (!flight) {
		send_later(marker, -ENOMEM);
		return;
	}
	flight->wait.done = offsets_done;
	int rc = options->end_offsets(options->context, marker->partition,
				      transaction->value.producer_id, committed(transaction),
				      &flight->wait);
	/* Where it succeeds the wait may have run: neither of the two is touched then. */
	if (rc < 0) {
		land(flight);
		send_later(marker, rc);
	}
}

static void write_batch(const struct transaction *transaction, void *out)
{
	const struct transactions *transactions = transaction->transactions;
	const struct control_marker marker = {
		.type = committed(transaction) ? CONTROL_COMMIT : CONTROL_ABORT,
		.producer_id = transaction->value.producer_id,
		.producer_epoch = transaction->value.producer_epoch,
		.coordinator_epoch = transactions->topics->leader_epoch,
		.timestamp_ms = transactions_wall_ms(transactions),
	};

	control_batch_write(&marker, out);
}

static void send_to_shard(struct marker *marker, const struct topic *topic)
{
	struct transactions *transactions = transactions_of(marker);
	const struct transactions_options *options = &transactions->options;
	unsigned index = partition_shard(topic, marker->partition, options->shard_count);
	struct marker_shard *shard = &transactions->shards[index];

	if (!shard_has_room(shard)) {
		list_push_back(&shard->waiting, &marker->link);
		return;
	}
	struct flight *flight = take_off(marker);
	if (!flight) {
		send_later(marker, -ENOMEM);
		return;
	}
	write_batch(marker->markers->transaction, flight->batch);
	flight->shard = index;
	flight->append.log = (struct shard_log){
		.message.handle = shard_append_handle,
		.done = append_done,
		.sender = options->sender,
		.topic_number = topic->number,
		.partition = marker->partition,
	};
	flight->append.data = flight->batch;
	flight->append.size = CONTROL_BATCH_BYTES;
	shard->in_flight++;
	options->send(options->context, index, &flight->append.log.message);
}

static bool is_offsets(const struct partitions_of_topic *topic)
{
	const struct kafka_string offsets = kafka_string_of(OFFSETS_TOPIC);
	const struct kafka_string name = {topic->name, topic->name_length};

	return kafka_string_equal(&name, &offsets);
}

static void marker_send(struct marker *marker)
{
	const struct topics *topics = transactions_of(marker)->topics;

	if (transactions_of(marker)->stopping)
		return;
	if (is_offsets(marker->topic)) {
		send_to_groups(marker);
		return;
	}
	if (!topics) { /* they come with the start of the broker */
		send_later(marker, -ERR_UNKNOWN_PARTITION);
		return;
	}
	const struct topic *topic = topics_find(topics, marker->topic->name,
						(size_t)marker->topic->name_length);
	if (topic && marker->partition < topic->partition_count)
		send_to_shard(marker, topic);
	else
		count_down(marker->markers);
}

/* ---- all of a transaction ---- */

static struct markers *markers_new(struct transaction *transaction)
{
	const struct topic_partitions *set = &transaction->partitions;
	struct markers *markers = calloc(1, sizeof(*markers) + set->count * sizeof(struct marker));

	if (!markers)
		return NULL;
	markers->transaction = transaction;
	for (size_t i = 0; i < set->topic_count; i++) {
		for (int32_t j = 0; j < set->topics[i]->count; j++)
			markers->each[markers->count++] = (struct marker){
				.markers = markers,
				.topic = set->topics[i],
				.partition = set->topics[i]->partitions[j],
			};
	}
	return markers;
}

int markers_send(struct transaction *transaction)
{
	check(!transaction->markers);
	struct markers *markers = markers_new(transaction);
	if (!markers)
		return -ENOMEM;
	transaction->markers = markers;
	/* One more than there are, or the last could be done before all have been looked at. */
	markers->left = markers->count + 1;
	for (size_t i = 0; i < markers->count; i++)
		marker_send(&markers->each[i]);
	count_down(markers);
	return 0;
}

void markers_forget(struct transaction *transaction)
{
	struct markers *markers = transaction->markers;

	for (size_t i = 0; markers && i < markers->count; i++) {
		struct marker *marker = &markers->each[i];
		list_remove(&marker->link);
		timer_wheel_disarm(&transaction->transactions->wheel, &marker->pause);
		if (marker->flight)
			marker->flight->marker = NULL;
	}
	free(markers);
	transaction->markers = NULL;
}
