/* What happens to a transactional id by itself: a transaction that runs for too long is aborted and
 * its producer fenced; an id that nobody uses for transactional.id.expiration.ms goes. */
#include "control/transactions/transactions_internal.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "control/config.h"

enum {
	RETRY_MS = 100, /* until memory may be there again */
	/* Of an ongoing transaction after a restart, for its producer to find its way back. */
	GRACE_MS = 5000,
};

static void expire_id(struct transaction *transaction)
{
	if (transaction_store_tombstone(transaction) < 0)
		transaction_arm_retry(transaction);
	else
		transaction_drop(transaction);
}

static void time_out(struct transaction *transaction)
{
	log_info("transactions", "timed out id=%.*s producer=%lld timeout_ms=%d",
		 (int)transaction->id_length, transaction->id,
		 (long long)transaction->value.producer_id, transaction->value.timeout_ms);
	if (transaction_fence(transaction, -1) < 0)
		transaction_arm_retry(transaction);
}

static void expired(struct wheel_timer *timer)
{
	struct transaction *transaction = container_of(timer, struct transaction, timer);

	if (transaction->value.state == TRANSACTION_ONGOING)
		time_out(transaction);
	else if (transaction_prepared(transaction))
		transaction_go_on(transaction);
	else
		expire_id(transaction);
}

static void arm(struct transaction *transaction, int64_t after_ms)
{
	struct transactions *transactions = transaction->transactions;

	transaction->timer.expired = expired;
	timer_wheel_arm(&transactions->wheel, &transaction->timer,
			transactions_now_ns(transactions) + (uint64_t)after_ms * NS_PER_MS);
}

static int64_t expiration_ms(const struct transaction *transaction)
{
	return transaction->transactions->options.config->transactional_id_expiration_ms;
}

void transaction_arm(struct transaction *transaction)
{
	if (transaction_prepared(transaction))
		timer_wheel_disarm(&transaction->transactions->wheel, &transaction->timer);
	else if (transaction->value.state == TRANSACTION_ONGOING)
		arm(transaction, transaction->value.timeout_ms);
	else
		arm(transaction, expiration_ms(transaction));
}

/* Of `limit_ms` from `since_ms` on; the wall clock may have been set meanwhile. */
static int64_t left_ms(const struct transaction *transaction, int64_t since_ms, int64_t limit_ms)
{
	int64_t passed;

	if (__builtin_sub_overflow(transactions_wall_ms(transaction->transactions), since_ms,
				   &passed) ||
	    passed < 0)
		return limit_ms;
	return passed < limit_ms ? limit_ms - passed : 0;
}

void transaction_arm_loaded(struct transaction *transaction)
{
	const struct transaction_value *value = &transaction->value;
	bool ongoing = value->state == TRANSACTION_ONGOING;
	int64_t limit = ongoing ? value->timeout_ms : expiration_ms(transaction);
	int64_t left = left_ms(transaction, ongoing ? value->start_ms : value->update_ms, limit);
	int64_t least = limit < GRACE_MS ? limit : GRACE_MS;

	arm(transaction, left > least ? left : least);
}

void transaction_arm_retry(struct transaction *transaction)
{
	arm(transaction, RETRY_MS);
}
