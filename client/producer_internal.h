/* client/producer_internal.h: a batch on its way, between producer.c (records in, callbacks out)
 * and produce_request.c (batches out, answers in).
 *
 *   open --full, lingered, flushed--> ready --request--> under way --answer--> decided --> freed
 *                                       ^                    |
 *                                       '---- may be retried-'                                   */
#pragma once
#include "client/builder.h"
#include "client/client_internal.h"

struct delivery {
	sluice_delivered *done;
	void *user;
};

struct produce_batch {
	struct list link; /* partition.ready, or producer.decided */
	struct partition *partition;
	struct batch_build builder;
	struct delivery *deliveries; /* one a record */
	int64_t *timestamps_ms;
	int32_t delivery_capacity;
	size_t charged;  /* bytes of buffer.memory */
	uint64_t number; /* of the partition's batches: their order */
	uint64_t linger_until_ns;
	uint64_t deadline_ns;
	unsigned attempts;
	bool compressed;  /* or found to be better left alone */
	int32_t sequence; /* -1: not numbered yet */
	/* Once decided. */
	int error;
	int64_t base_offset;
	int64_t append_time_ms; /* -1: the records' own */
};

/* ---- producer.c ---- */
/* The batch goes to producer.decided. */
void produce_batch_decide(struct sluice_client *client, struct produce_batch *batch, int error);
/* Into partition.ready, in order of their numbers. */
void produce_batch_enqueue(struct produce_batch *batch);

/* ---- produce_request.c ---- */
/* Sends what may be sent; returns when to come back, UINT64_MAX: no need. */
uint64_t produce_send(struct sluice_client *client, uint64_t now_ns);
