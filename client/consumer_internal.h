/* client/consumer_internal.h: an assigned partition and a fetched batch, between consumer.c (what
 * the user calls), fetch_request.c (what brokers are asked) and batch.c (records out of a batch).
 */
#pragma once
#include "client/client_internal.h"
#include "storage/batch.h"
#include "storage/records.h"

struct decompressor;

/* Phases: looking up (unless the user named an offset) -> fetching. */
struct assignment {
	struct list link; /* consumer.assigned */
	struct topic *topic;
	int32_t partition;
	unsigned generation; /* rises with every seek: older answers do not count */
	bool paused;
	bool looking_up;
	bool asking;        /* a look-up is under way */
	int64_t look_up_ms; /* SLUICE_EARLIEST, SLUICE_LATEST or a time */
	int64_t fetch_offset;
	int64_t position; /* after what was handed out; -1: not known yet */
	size_t queued_bytes;
	uint64_t not_before_ns;
	unsigned failures;
	int told; /* the error that the user has been told last, while it lasts */
};

struct sluice_batch {
	struct list link; /* consumer.fetched, until handed out */
	struct sluice_client *client;
	struct assignment *assignment; /* null once handed out */
	const struct topic *topic;
	int32_t partition;
	int error;
	int64_t high_watermark;
	int64_t first_offset; /* records before it were not asked for */
	struct channel_buffer *frame;
	const uint8_t *data;
	struct batch header;
	/* Reading. */
	bool begun;
	struct record_cursor cursor;
	struct decompressor_entry *decompressor; /* holds the records of a compressed batch */
};

/* ---- consumer.c ---- */
struct assignment *consumer_find(const struct sluice_client *client, const char *topic,
				 int32_t partition);
/* A batch without records that tells of an error; a repeated one is not told again. */
void consumer_trouble(struct sluice_client *client, struct assignment *assignment, int error);
void consumer_look_up(struct assignment *assignment, int64_t look_up_ms);
/* What was fetched of it and not handed out. */
void consumer_drop_fetched(struct sluice_client *client, struct assignment *assignment);

/* ---- fetch_request.c ---- */
/* Asks what may be asked; returns when to come back. */
uint64_t fetch_send(struct sluice_client *client, uint64_t now_ns);

/* ---- batch.c ---- */
void batch_decompressors_fini(struct sluice_client *client);
