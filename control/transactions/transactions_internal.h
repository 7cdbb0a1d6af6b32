/* control/transactions/transactions_internal.h: what the files of this folder share. */
#pragma once
#include <stdbool.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/timer_wheel.h"
#include "control/state_log.h"
#include "control/transactions/transaction.h"
#include "control/transactions/transactions.h"
#include "dataplane/kafka/kafka_errors.h"
#include "dataplane/shard.h"
#include "kafka_messages.h"

enum transaction_phase {
	TRANSACTIONS_UNKNOWN,
	TRANSACTIONS_LOADING,
	TRANSACTIONS_LOADED,
};

/* One partition of __transaction_state and the transactional ids that it stores. */
struct transaction_partition {
	enum transaction_phase phase;
	struct list transactions; /* struct transaction.link, in order of their making */
};

/* Markers for one shard. */
struct marker_shard {
	size_t in_flight;
	struct list waiting; /* for room among those in flight */
};

struct transactions {
	struct transactions_options options;
	const struct topics *topics; /* null before the first */
	struct timer_wheel wheel;
	struct arena scratch; /* of one record at a time, as it is read or appended */
	struct arena draft;   /* of its value before */
	struct transaction_partition *partitions;
	int32_t partition_count;
	struct transaction **table; /* by hash of the id */
	size_t table_size;
	uint64_t hash_seed; /* clients choose the ids */
	size_t count;
	struct marker_shard *shards; /* options.shard_count */
	size_t in_flight;            /* of all shards, and of the groups */
	uint64_t next_line_ns;       /* about markers that are not taken, at the earliest */
	int64_t next_producer_id;
	int64_t producer_ids_left;
	struct list id_waits; /* requests that need an id; producer_ids.c */
	bool ids_wanted;
	bool stopping;
};

int64_t transactions_wall_ms(const struct transactions *transactions);
uint64_t transactions_now_ns(const struct transactions *transactions);

/* 0, or why nothing can be said of the id: -ERR_NO_COORDINATOR, -ERR_LOADING. */
int transactions_ready(const struct transactions *transactions, const struct kafka_string *id);

/* ---- answers.c ---- */
/* The answer leaves when what was appended to the id's partition so far is durable; where that
 * fails its error becomes NOT_COORDINATOR.  `request` is not the caller's any more. */
void transactions_answer(struct transactions *transactions, const struct kafka_string *id,
			 struct control_request *request);
/* The same for all partitions. */
void transactions_answer_all(struct transactions *transactions, struct control_request *request);
/* The same, and what then runs in place of the answer. */
void transactions_pass_on(struct transactions *transactions, const struct kafka_string *id,
			  struct control_request *request,
			  void (*durable)(void *context, struct control_request *request));
/* The answer is `rc` (0 too) for all that was asked; as transactions_answer, but at once where it
 * does not come from what is stored. */
void transactions_answer_rc(struct transactions *transactions, const struct kafka_string *id,
			    struct control_request *request, int rc);
/* At once. */
void transactions_refuse_now(struct transactions *transactions, struct control_request *request,
			     enum kafka_error error);
/* `ask` goes home with `rc`, when what it rests on is durable. */
void transactions_answer_ask(struct transactions *transactions, struct transaction_ask *ask,
			     int rc);

/* ---- refusals.c ---- */
void transaction_refusal_fill(struct control_request *request, enum kafka_error error);
/* The code of `rc` in the answer to this request. */
enum kafka_error transaction_error(const struct control_request *request, int rc);

/* ---- producer_ids.c ---- */
/* False: there is none, and `request` is handled anew when there are. */
bool producer_id_take(struct transactions *transactions, struct control_request *request,
		      int64_t *ret);
void producer_ids_stop(struct transactions *transactions);

/* One handler an API; the partition of its transactional id is loaded, for those that name one. */
void transactions_init_producer_id(struct transactions *transactions,
				   struct control_request *request);
void transactions_add_partitions(struct transactions *transactions,
				 struct control_request *request);
void transactions_add_offsets(struct transactions *transactions, struct control_request *request);
void transactions_end(struct transactions *transactions, struct control_request *request);
void transactions_describe(struct transactions *transactions, struct control_request *request);
void transactions_list(struct transactions *transactions, struct control_request *request);
