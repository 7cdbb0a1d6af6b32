/* storage/log_transactions.h: the transactions of one log (KIP-98).
 *
 * A transaction's phases here: open, from its first batch on -> ended, its marker is appended ->
 * settled, that is durable.  Until then it is unstable: readers of committed records see nothing
 * from its first offset on.  Of settled ones those are remembered that were aborted, for as long
 * as the log has their marker, so that readers can leave their records out.
 *
 * Owner: the log's.  Offsets only rise from call to call. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "storage/log.h"

struct log_transaction {
	struct list unstable; /* log_transactions.unstable */
	struct list ended;    /* log_transactions.ended; while it is open in none */
	int64_t first_offset;
	int64_t end_offset; /* behind its marker */
};

struct aborted_entry {
	struct aborted_transaction transaction;
	int64_t later_from; /* none that ended after it begins below */
};

struct log_transactions {
	struct list unstable;          /* by first offset */
	struct list ended;             /* by end offset */
	struct log_transaction *spare; /* made by log_transactions_reserve_begin */
	struct aborted_entry *aborted; /* by last offset */
	size_t aborted_first, aborted_count, aborted_capacity;
};

void log_transactions_init(struct log_transactions *transactions);
void log_transactions_clear(struct log_transactions *transactions); /* a zeroed one is fine */
/* `to` has what `from` had, and that nothing. */
void log_transactions_move(struct log_transactions *to, struct log_transactions *from);

/* Makes the next log_transactions_begin, or log_transactions_end, unable to fail.  -ENOMEM. */
int log_transactions_reserve_begin(struct log_transactions *transactions);
int log_transactions_reserve_end(struct log_transactions *transactions);
/* It stays where it is until it is settled. */
struct log_transaction *log_transactions_begin(struct log_transactions *transactions,
					       int64_t first_offset);
/* What is remembered of one that is aborted. */
struct log_transactions_abort {
	int64_t producer_id;
	int64_t open_from; /* where the first begins of those still open, or behind the marker */
};
/* Its marker is at `offset`; `abort` null: it was committed. */
void log_transactions_end(struct log_transactions *transactions,
			  struct log_transaction *transaction, int64_t offset,
			  const struct log_transactions_abort *abort);
/* As log_transactions_end does, of one that is settled: room has been reserved. */
void log_transactions_add_aborted(struct log_transactions *transactions,
				  const struct aborted_entry *entry);

/* Everything below `offset` is durable. */
void log_transactions_durable(struct log_transactions *transactions, int64_t offset);
/* Where the first unstable one begins; INT64_MAX: there is none. */
int64_t log_transactions_unstable_from(const struct log_transactions *transactions);
size_t log_transactions_aborted(const struct log_transactions *transactions, int64_t from,
				int64_t below, struct aborted_transaction *out, size_t max);
bool log_transactions_has_aborted(const struct log_transactions *transactions, int64_t from);
/* The log begins at `start`: nobody reads what lies before. */
void log_transactions_trim(struct log_transactions *transactions, int64_t start);
