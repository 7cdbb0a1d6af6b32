/* Unstable transactions lie in a list by first offset, so that its head is what holds readers back,
 * and those that have ended in a second one by end offset, so that what becomes durable is at its
 * head: both are found at once, however many there are and whichever end first.
 *
 * Aborted ones lie in an array by the offset of their marker:
 *
 *     first ........ last          asked for are those that have an offset in [from, below)
 *         first .. last
 *              first ...... last
 *
 * The first of them is found by bisection.  Behind it the walk ends where all that follow begin at
 * or above `below`, which each entry knows, so that a reader of old records does not walk to the
 * end of the log. */
#include "storage/log_transactions.h"

#include "base/bytes.h"
#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ABORTED_FIRST = 16 };

void log_transactions_init(struct log_transactions *transactions)
{
	*transactions = (struct log_transactions){0};
	list_init(&transactions->unstable);
	list_init(&transactions->ended);
}

void log_transactions_clear(struct log_transactions *transactions)
{
	struct list *node;

	if (!transactions->unstable.next)
		return;
	while ((node = list_pop_front(&transactions->unstable)))
		free(container_of(node, struct log_transaction, unstable));
	free(transactions->spare);
	free(transactions->aborted);
	log_transactions_init(transactions);
}

void log_transactions_move(struct log_transactions *to, struct log_transactions *from)
{
	log_transactions_clear(to);
	*to = *from;
	list_init(&to->unstable);
	list_init(&to->ended);
	list_move_all(&to->unstable, &from->unstable);
	list_move_all(&to->ended, &from->ended);
	log_transactions_init(from);
}

/* ---- beginning and ending ---- */

int log_transactions_reserve_begin(struct log_transactions *transactions)
{
	if (!transactions->spare)
		transactions->spare = malloc(sizeof(*transactions->spare));
	return transactions->spare ? 0 : -ENOMEM;
}

struct log_transaction *log_transactions_begin(struct log_transactions *transactions,
					       int64_t first_offset)
{
	struct log_transaction *transaction = transactions->spare;

	check(transaction);
	transactions->spare = NULL;
	*transaction = (struct log_transaction){.first_offset = first_offset, .end_offset = -1};
	list_init(&transaction->ended);
	list_push_back(&transactions->unstable, &transaction->unstable);
	return transaction;
}

/* What was trimmed gives its room before more is asked for. */
int log_transactions_reserve_end(struct log_transactions *transactions)
{
	size_t first = transactions->aborted_first;
	size_t count = transactions->aborted_count;

	if (first + count < transactions->aborted_capacity)
		return 0;
	if (first > count) {
		memcpy(transactions->aborted, transactions->aborted + first,
		       count * sizeof(*transactions->aborted));
		transactions->aborted_first = 0;
		return 0;
	}
	size_t capacity = transactions->aborted_capacity ? transactions->aborted_capacity * 2
							 : ABORTED_FIRST;
	struct aborted_entry *aborted = realloc(transactions->aborted, capacity * sizeof(*aborted));
	if (!aborted)
		return -ENOMEM;
	transactions->aborted = aborted;
	transactions->aborted_capacity = capacity;
	return 0;
}

void log_transactions_add_aborted(struct log_transactions *transactions,
				  const struct aborted_entry *entry)
{
	size_t end = transactions->aborted_first + transactions->aborted_count;

	check(end < transactions->aborted_capacity);
	transactions->aborted[end] = *entry;
	transactions->aborted_count++;
}

void log_transactions_end(struct log_transactions *transactions,
			  struct log_transaction *transaction, int64_t offset,
			  const struct log_transactions_abort *abort)
{
	check(!list_linked(&transaction->ended));
	transaction->end_offset = offset + 1;
	list_push_back(&transactions->ended, &transaction->ended);
	if (!abort)
		return;
	const struct aborted_entry entry = {
		.transaction = {.producer_id = abort->producer_id,
				.first_offset = transaction->first_offset,
				.last_offset = offset},
		.later_from = abort->open_from,
	};
	log_transactions_add_aborted(transactions, &entry);
}

/* ---- what is stable ---- */

static void settle(struct log_transactions *transactions, struct log_transaction *transaction)
{
	list_remove(&transaction->unstable);
	free(transactions->spare);
	transactions->spare = transaction;
}

void log_transactions_durable(struct log_transactions *transactions, int64_t offset)
{
	while (!list_empty(&transactions->ended)) {
		struct log_transaction *first = container_of(transactions->ended.next,
							     struct log_transaction, ended);
		/* None that was freed is in the list: clang-tidy loses track of that. */
		if (first->end_offset > offset) /* NOLINT(clang-analyzer-unix.Malloc) */
			return;
		list_remove(&first->ended);
		settle(transactions, first);
	}
}

int64_t log_transactions_unstable_from(const struct log_transactions *transactions)
{
	if (list_empty(&transactions->unstable))
		return INT64_MAX;
	return container_of(transactions->unstable.next, struct log_transaction, unstable)
		->first_offset;
}

/* ---- aborted ones ---- */

/* The first whose marker is at or above `offset`. */
static size_t aborted_at(const struct log_transactions *transactions, int64_t offset)
{
	size_t low = transactions->aborted_first;
	size_t high = low + transactions->aborted_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (transactions->aborted[middle].transaction.last_offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

size_t log_transactions_aborted(const struct log_transactions *transactions, int64_t from,
				int64_t below, struct aborted_transaction *out, size_t max)
{
	size_t end = transactions->aborted_first + transactions->aborted_count;
	size_t found = 0;

	for (size_t i = aborted_at(transactions, from); i < end; i++) {
		const struct aborted_entry *entry = &transactions->aborted[i];
		if (entry->transaction.first_offset < below) {
			if (found < max)
				out[found] = entry->transaction;
			found++;
		}
		if (entry->later_from >= below)
			break;
	}
	return found;
}

bool log_transactions_has_aborted(const struct log_transactions *transactions, int64_t from)
{
	return aborted_at(transactions, from) <
	       transactions->aborted_first + transactions->aborted_count;
}

void log_transactions_trim(struct log_transactions *transactions, int64_t start)
{
	size_t first = aborted_at(transactions, start);

	transactions->aborted_count -= first - transactions->aborted_first;
	transactions->aborted_first = first;
}
