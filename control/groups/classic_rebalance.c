/* From one generation to the next: members are gathered (preparing), told of the new generation
 * (completing), and have their assignment (stable).  What moves a group on is the last JoinGroup, a
 * member's end, or the time that the slowest member asked for. */
#include "control/groups/classic_internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "control/config.h"
#include "control/groups/groups_internal.h"

static struct groups *groups_of(const struct classic *classic)
{
	return classic->group->groups;
}

static void arm(struct classic *classic, struct wheel_timer *timer, int64_t after_ms)
{
	struct groups *groups = groups_of(classic);

	timer_wheel_arm(&groups->wheel, timer,
			groups_now_ns(groups) + (uint64_t)after_ms * NS_PER_MS);
}

static void disarm(struct classic *classic, struct wheel_timer *timer)
{
	timer_wheel_disarm(&groups_of(classic)->wheel, timer);
}

void classic_enter(struct classic *classic, enum classic_state state)
{
	classic->state = state;
	classic->state_since_ms = groups_wall_ms(groups_of(classic));
	if (state == CLASSIC_EMPTY || state == CLASSIC_STABLE)
		classic->rebalance_due = false;
	if (state == CLASSIC_EMPTY)
		classic->group->empty_since_ms = classic->state_since_ms;
}

/* What a client said: cut, and without what would break the line. */
struct printable {
	char text[128];
};

static struct printable printable(const char *text, size_t length)
{
	struct printable ret;

	if (length >= sizeof(ret.text))
		length = sizeof(ret.text) - 1;
	for (size_t i = 0; i < length; i++) {
		const bool harmless = (unsigned char)text[i] >= ' ' && text[i] != '"';

		ret.text[i] = harmless && text[i] != 0x7f ? text[i] : '?';
	}
	ret.text[length] = 0;
	return ret;
}

void classic_log_change(const struct classic *classic, const char *event, const char *reason)
{
	log_debug("groups", "%s group=\"%s\" generation=%d members=%zu reason=\"%s\"", event,
		  printable(classic->group->id, classic->group->id_length).text,
		  classic->generation, classic->member_count, reason);
}

void classic_log_reason(const struct classic *classic, const char *event,
			const struct kafka_string *reason)
{
	if (reason->length > 0)
		log_debug("groups", "%s group=\"%s\" client_reason=\"%s\"", event,
			  printable(classic->group->id, classic->group->id_length).text,
			  printable(reason->data, (size_t)reason->length).text);
}

/* ---- completing ---- */

void classic_synced(struct classic_member *member)
{
	struct classic *classic = member->classic;

	if (!member->unsynced)
		return;
	check(classic->unsynced_count > 0);
	member->unsynced = false;
	if (--classic->unsynced_count == 0)
		disarm(classic, &classic->sync_timer);
}

static void expect_syncs(struct classic *classic)
{
	list_foreach(link, &classic->members)
		classic_member_at(link)->unsynced = true;
	classic->unsynced_count = classic->member_count;
	arm(classic, &classic->sync_timer, classic_members_rebalance_timeout_ms(classic));
}

static void forget_syncs(struct classic *classic)
{
	list_foreach(link, &classic->members) {
		struct classic_member *member = classic_member_at(link);

		classic_synced(member);
		if (member->sync)
			classic_session_renew(member);
		classic_refuse_sync(member, KAFKA_REBALANCE_IN_PROGRESS);
	}
}

/* Static members are away for a while without losing their place, others are dropped. */
static void drop_absent(struct classic *classic)
{
	list_foreach_safe(link, after, &classic->members) {
		struct classic_member *member = classic_member_at(link);

		if (!member->join && member->instance_id.length < 0)
			classic_members_remove(member, KAFKA_UNKNOWN_MEMBER_ID);
	}
}

/* Only who is here can lead.  False: nobody is. */
static bool elect(struct classic *classic)
{
	if (classic->leader && classic->leader->join)
		return true;
	list_foreach(link, &classic->members) {
		if (classic_member_at(link)->join) {
			classic->leader = classic_member_at(link);
			return true;
		}
	}
	return false;
}

static void begin_generation(struct classic *classic)
{
	classic->generation = classic->generation < INT32_MAX ? classic->generation + 1 : 1;
	classic_enter(classic, CLASSIC_COMPLETING);
	classic_log_change(classic, "generation", "members gathered");
	expect_syncs(classic);
	list_foreach(link, &classic->members) {
		struct classic_member *member = classic_member_at(link);

		member->fresh = false;
		classic_session_renew(member);
		classic_answer_join(member);
	}
}

static void become_empty(struct classic *classic)
{
	classic->generation = classic->generation < INT32_MAX ? classic->generation + 1 : 1;
	classic_clear_text(&classic->protocol);
	classic_enter(classic, CLASSIC_EMPTY);
	classic_log_change(classic, "generation", "no members left");
	/* Where it fails the members of the generation before come back after a restart, and their
	 * sessions end. */
	classic_store(classic);
}

static void complete(struct classic *classic)
{
	disarm(classic, &classic->join_timer);
	drop_absent(classic);
	if (classic->member_count == 0) {
		classic->initial = false;
		become_empty(classic);
		return;
	}
	/* With no member here, or no memory, the sessions of those that are away decide. */
	if (!elect(classic) ||
	    classic_set_text(&classic->protocol, classic_members_vote(classic)) < 0) {
		arm(classic, &classic->join_timer, classic_members_rebalance_timeout_ms(classic));
		return;
	}
	classic->initial = false;
	begin_generation(classic);
}

/* ---- preparing ---- */

/* The first members of a group wait for others, so that not everyone who starts with them moves
 * partitions: a while, as often anew as one came meanwhile, but not beyond the rebalance timeout.
 */
static void begin_initial(struct classic *classic)
{
	const int64_t delay_ms =
		groups_of(classic)->options.config->group_initial_rebalance_delay_ms;
	const int64_t timeout_ms = classic_members_rebalance_timeout_ms(classic);

	if (delay_ms == 0) {
		complete(classic);
		return;
	}
	classic->initial = true;
	classic->member_added = false;
	classic->initial_delay_ms = delay_ms;
	classic->initial_left_ms = timeout_ms > delay_ms ? timeout_ms - delay_ms : 0;
	arm(classic, &classic->join_timer, delay_ms);
}

static void extend_initial(struct classic *classic)
{
	const int64_t delay_ms =
		groups_of(classic)->options.config->group_initial_rebalance_delay_ms;
	const int64_t left_ms = classic->initial_left_ms;

	classic->member_added = false;
	classic->initial_left_ms = left_ms > classic->initial_delay_ms
					   ? left_ms - classic->initial_delay_ms
					   : 0;
	classic->initial_delay_ms = delay_ms < left_ms ? delay_ms : left_ms;
	arm(classic, &classic->join_timer, classic->initial_delay_ms);
}

void classic_join_expired(struct wheel_timer *timer)
{
	struct classic *classic = container_of(timer, struct classic, join_timer);

	check(classic->state == CLASSIC_PREPARING);
	if (classic->initial && classic->member_added && classic->initial_left_ms > 0)
		extend_initial(classic);
	else
		complete(classic);
}

static bool all_joined(const struct classic *classic)
{
	return classic->joining_count == classic->member_count;
}

static void prepare(struct classic *classic, const char *reason)
{
	const bool initial = classic->state == CLASSIC_EMPTY;

	classic_log_change(classic, "rebalance", reason);
	forget_syncs(classic);
	classic_enter(classic, CLASSIC_PREPARING);
	if (initial)
		begin_initial(classic);
	else if (all_joined(classic))
		complete(classic);
	else
		arm(classic, &classic->join_timer, classic_members_rebalance_timeout_ms(classic));
}

void classic_rebalance(struct classic *classic, const char *reason)
{
	if (classic->state != CLASSIC_PREPARING)
		prepare(classic, reason);
	else if (!classic->initial && all_joined(classic))
		complete(classic);
}

void classic_members_changed(struct classic *classic, const char *reason)
{
	if (classic->state != CLASSIC_EMPTY)
		classic_rebalance(classic, reason);
}

/* Who takes its place in the generation and then is not heard of, the leader above all, is gone. */
void classic_sync_expired(struct wheel_timer *timer)
{
	struct classic *classic = container_of(timer, struct classic, sync_timer);

	check(classic->state == CLASSIC_COMPLETING || classic->state == CLASSIC_STABLE);
	list_foreach_safe(link, after, &classic->members) {
		struct classic_member *member = classic_member_at(link);

		if (member->unsynced)
			classic_members_remove(member, KAFKA_UNKNOWN_MEMBER_ID);
	}
	classic_rebalance(classic, "members did not ask for their assignment");
}
