/* What is kept of a member that speaks the classic protocol, and of its record. */
#include "control/groups/consumer_classic.h"

#include "base/errors.h"
#include "control/groups/classic_internal.h"
#include "control/groups/consumer_internal.h"
#include "control/groups/groups_internal.h"
#include "kafka_messages.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define STORED struct record_consumer_group_member_metadata_value_classic_protocol

static_assert(sizeof(STORED) == sizeof(struct classic_protocol) &&
		      offsetof(STORED, metadata) == offsetof(struct classic_protocol, metadata),
	      "one is read as the other");

static struct timer_wheel *wheel_of(const struct consumer_member *member)
{
	return &member->consumer->group->groups->wheel;
}

static void waited_too_long(struct wheel_timer *timer)
{
	const struct consumer_classic *classic = container_of(timer, struct consumer_classic, wait);

	consumer_out_of_time(classic->member, timer);
}

int consumer_classic_set(struct consumer_member *member, const struct classic_protocol *protocols,
			 int32_t count, int32_t session_timeout_ms)
{
	struct classic_protocols *copied = classic_protocols_of(protocols, count);
	struct consumer_classic *classic = member->classic;

	if (copied && !classic)
		classic = calloc(1, sizeof(*classic));
	if (!copied || !classic) {
		free(copied);
		return -ENOMEM;
	}
	free(classic->protocols);
	classic->member = member;
	classic->session_timeout_ms = session_timeout_ms;
	classic->protocols = copied;
	classic->wait.expired = waited_too_long;
	member->classic = classic;
	return 0;
}

void consumer_classic_clear(struct consumer_member *member)
{
	if (!member->classic)
		return;
	timer_wheel_disarm(wheel_of(member), &member->classic->wait);
	free(member->classic->protocols);
	free(member->classic);
	member->classic = NULL;
}

int consumer_classic_take_news(struct consumer_step *step)
{
	const struct kafka_join_group_request *join = step->classic;
	struct consumer_member *member = step->member;
	const struct consumer_classic *now = member->classic;

	if (!join) {
		member->details_stored = member->details_stored && !now;
		consumer_classic_clear(member);
		return 0;
	}
	if (now && now->session_timeout_ms == join->session_timeout_ms &&
	    classic_protocols_equal(now->protocols, join))
		return 0;
	int rc = consumer_classic_set(member, (const void *)join->protocols, join->protocols_count,
				      join->session_timeout_ms);
	if (rc == 0)
		member->details_stored = false;
	return rc;
}

/* ---- its record ---- */

void consumer_classic_describe(const struct consumer_member *member,
			       struct record_consumer_group_member_metadata_value *ret)
{
	const struct consumer_classic *classic = member->classic;

	ret->has_classic_member_metadata = classic;
	if (!classic)
		return;
	ret->classic_member_metadata.session_timeout_ms = classic->session_timeout_ms;
	ret->classic_member_metadata.supported_protocols = (void *)classic->protocols->items;
	ret->classic_member_metadata.supported_protocols_count = classic->protocols->count;
}

int consumer_classic_load(struct consumer_member *member,
			  const struct record_consumer_group_member_metadata_value *value)
{
	const int32_t count = value->classic_member_metadata.supported_protocols_count;

	if (!value->has_classic_member_metadata) {
		consumer_classic_clear(member);
		return 0;
	}
	if (count < 1 || count > CLASSIC_PROTOCOLS_MAX ||
	    value->classic_member_metadata.session_timeout_ms < 0)
		return -ERR_CORRUPT;
	return consumer_classic_set(
		member, (const void *)value->classic_member_metadata.supported_protocols, count,
		value->classic_member_metadata.session_timeout_ms);
}
