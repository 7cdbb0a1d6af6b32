/* dataplane/handlers/fetch_internal.h: one Fetch on its way; fetch.c draws it. */
#pragma once
#include "base/timers.h"
#include "dataplane/request.h"
#include "dataplane/shard_internal.h"

struct fetch;
struct fetch_part;

/* An owner shard's: a read and the memory it refers to. */
struct fetch_read {
	struct log_read read;
	struct list link; /* shard.free_reads */
	struct fetch_entry *entry;
	/* Of a reader of committed records; some room is kept. */
	struct aborted_transaction *aborted;
	size_t aborted_count;
	size_t aborted_max;
};

struct fetch_entry {
	struct fetch_entry *next;
	struct fetch_part *part;
	uint64_t key;
	int64_t offset;
	size_t bytes_max;
	int32_t current_epoch; /* -1: not given */
	int32_t last_epoch;    /* -1: not given */
	struct log_watch watch;
	struct fetch_read *read;     /* null: nothing to give */
	struct partition *partition; /* until the part pauses: it may be deleted then */
	/* Results. */
	int rc;
	int64_t high_watermark;
	int64_t last_stable_offset;
	int64_t log_start_offset;
	int32_t diverging_epoch; /* -1: does not diverge */
	int64_t diverging_end;
	struct kafka_fetch_response_partition_data *response;
};

enum part_phase { PART_MADE, PART_RUNNING, PART_PARKED, PART_READY, PART_HOME };

struct fetch_part {
	struct message message;
	struct message cancel;
	struct fetch *fetch;
	unsigned owner_index;
	enum part_phase phase; /* the owner's while out */
	bool out;              /* home's */
	bool cancel_out;       /* home's */
	struct fetch_entry *first;
	struct fetch_entry *last;
	/* The owner's. */
	struct shard *owner;
	struct list ready;
	struct fetch_entry *at;
	bool stepping;
	bool reading;
	bool paused; /* a read of this run had to wait for the device */
	bool cancelled;
	bool may_wait;
	bool failed;
	unsigned reads;
	size_t bytes;
	size_t bytes_max;
	size_t bytes_wanted;
};

struct fetch {
	struct request *request;
	struct timer deadline;
	size_t bytes;
	size_t bytes_wanted;
	bool failed; /* some partition has an error: answer now */
	bool may_wait;
	bool committed; /* isolation level */
	unsigned parts_out;
	unsigned cancels_out;
	unsigned releases_out;
	struct fetch_part parts[]; /* one a shard */
};

/* ---- fetch_part.c: message.handle on the owner ---- */
void fetch_part_arrived(struct message *message, void *shard);   /* of fetch_part.message */
void fetch_part_cancelled(struct message *message, void *shard); /* of fetch_part.cancel */
void fetch_part_release(struct message *message, void *shard);   /* of fetch_part.message */

/* ---- fetch.c: ... at home, of what comes back from those ---- */
void fetch_part_home(struct message *message, void *shard);
void fetch_cancel_returned(struct message *message, void *shard);
void fetch_release_returned(struct message *message, void *shard);
