/* dataplane/handlers/share_fetch_internal.h: one ShareFetch on its way; share_fetch.c draws it. */
#pragma once
#include "base/timers.h"
#include "dataplane/handlers/share_entry.h"
#include "dataplane/request.h"

struct share_session;
struct share_fetch;

/* An owner's: a read that the answer refers to. */
struct share_read {
	struct log_read read;
	struct share_fetch_entry *entry;
};

struct share_fetch_entry {
	struct share_entry share; /* first */
	struct share_fetch *fetch;
	struct uuid topic_id;
	int32_t partition;
	bool reading; /* asked for records, too */
	bool asked;   /* named by the request: in the answer in any case */
	int rc;
	int64_t from;
	struct share_read *read; /* null: nothing to give */
	struct iovec *vectors;   /* of it, as far as the last record given */
	unsigned vector_count;
	size_t bytes;
	struct share_run *runs;
	int run_count;
	struct log_watch log_watch;
	struct share_watch watch;
};

/* One a shard. */
struct share_watching {
	struct message message;
	struct message cancel;
	struct share_fetch *fetch;
	struct shard *owner;
	bool armed;      /* the owner's */
	bool out;        /* home's */
	bool cancel_out; /* home's */
};

struct share_fetch {
	struct request *request;
	struct share_session *session;
	struct scatter *scatter;
	struct share_fetch_entry *entries;
	size_t entry_count;
	struct timer deadline;
	/* The tour. */
	struct message message;
	struct shard *owner; /* where it is */
	unsigned visits;
	struct share_fetch_entry *next;
	bool stepping;
	bool in_read;
	uint32_t records_left;
	size_t bytes_left;
	bool found;
	bool failed;
	/* Home's. */
	bool acknowledged; /* which is not kept waiting for records */
	bool may_wait;
	bool over; /* time, connection or broker */
	unsigned watches_out;
	unsigned cancels_out;
	unsigned releases_out;
	struct share_watching watching[];
};

/* ---- share_fetch_tour.c ---- */
/* Visits the owners, from home; ends in share_fetch_toured. */
void share_fetch_tour(struct share_fetch *fetch);
/* The share that an entry is of; null: not open.  On its owner. */
struct share *share_fetch_share(struct shard *shard, const struct share_fetch_entry *entry);
/* Gives back what was read.  On the owner. */
void share_fetch_give_read(struct shard *shard, struct share_fetch_entry *entry);

/* ---- share_fetch_watch.c ---- */
/* Until something is to be seen, which begins another tour, or the fetch is over, which answers. */
void share_fetch_watch(struct share_fetch *fetch);
void share_fetch_end_soon(struct share_fetch *fetch); /* at home, watching or not */

/* ---- share_fetch.c: at home ---- */
void share_fetch_toured(struct share_fetch *fetch);
void share_fetch_answer(struct share_fetch *fetch);

static inline struct share_fetch_entry *first_of(const struct share_fetch *fetch, unsigned shard)
{
	return (void *)fetch->scatter->parts[shard].first;
}

static inline struct share_fetch_entry *next_of(const struct share_fetch_entry *entry)
{
	return (void *)entry->share.scatter.next;
}

static inline unsigned home_of(const struct share_fetch *fetch)
{
	return fetch->request->shard->options.index;
}

static inline unsigned shards_of(const struct share_fetch *fetch)
{
	return fetch->request->shard->options.shard_count;
}
