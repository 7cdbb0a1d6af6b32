/* Offsets that need not be kept: of topics that are gone, and old ones.
 *
 * An offset is old offsets.retention.minutes after its commit, or after its group became empty,
 * whichever is later; what an old client gave a retention of its own, after that.  While members
 * read the topic its offsets are never old, nor is one beside which others are pending.  A group
 * that has neither members nor offsets goes. */
#include "control/groups/groups_internal.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "control/config.h"
#include "control/groups/pending_offsets.h"
#include "dataplane/topics.h"

#include <stdint.h>

enum {
	FORGOTTEN_MAX = 10000, /* in one turn: others' requests come between */
	UNFINISHED_MS = 100,   /* until the rest is looked at */
};

typedef bool doomed_function(const struct group *group, const struct offset_topic *topic,
			     const struct offset_partition *partition);

/* Returns how many were forgotten, `most` at most.  What is left, there or where memory ran out, is
 * a reason to look again soon. */
static size_t forget_where(struct group *group, struct offsets *offsets, doomed_function *doomed,
			   size_t most)
{
	size_t forgotten = 0;

	/* From the end, as what is forgotten closes the gap. */
	for (size_t i = offsets->topic_count; i-- > 0;) {
		const struct offset_topic *topic = offsets->topics[i];
		for (size_t j = topic->count; j-- > 0;) {
			struct kafka_string name = {topic->name, topic->name_length};
			if (!doomed(group, topic, &topic->partitions[j]))
				continue;
			if (forgotten == most ||
			    offsets_forget(group, offsets, &name, topic->partitions[j].index) < 0) {
				group->groups->expiry_unfinished = true;
				return forgotten;
			}
			forgotten++;
		}
	}
	return forgotten;
}

bool offsets_gone(const struct groups *groups, const struct offset_topic *committed)
{
	struct kafka_string name = {committed->name, committed->name_length};
	const struct topic *topic = groups_topic(groups, &name);

	if (!topic)
		return groups->topics;
	return !uuid_zero(&committed->id) && !uuid_equal(&committed->id, &topic->id);
}

static bool topic_gone(const struct group *group, const struct offset_topic *topic,
		       const struct offset_partition *partition)
{
	return offsets_gone(group->groups, topic);
}

/* Pending ones go with their topic alone. */
static size_t forget_of(struct group *group, doomed_function *doomed, size_t most)
{
	size_t forgotten = forget_where(group, &group->offsets, doomed, most);

	list_foreach_safe(node, after, &group->pending) {
		struct pending_offsets *pending = container_of(node, struct pending_offsets, link);
		forgotten += forget_where(group, &pending->offsets, topic_gone, most - forgotten);
		pending_offsets_free_if_empty(pending);
	}
	return forgotten;
}

static int64_t expires_ms(const struct group *group, const struct committed_offset *committed)
{
	int64_t retention_ms = group->groups->options.config->offsets_retention_minutes * 60000;
	int64_t from = committed->commit_ms;
	int64_t at;

	if (committed->expire_ms != -1)
		return committed->expire_ms;
	if (group_empty(group) && group->empty_since_ms > from)
		from = group->empty_since_ms;
	return __builtin_add_overflow(from, retention_ms, &at) ? INT64_MAX : at;
}

static bool topic_gone_or_old(const struct group *group, const struct offset_topic *committed_topic,
			      const struct offset_partition *partition)
{
	struct kafka_string name = {committed_topic->name, committed_topic->name_length};
	const struct topic *topic = groups_topic(group->groups, &name);

	if (topic_gone(group, committed_topic, partition))
		return true;
	if (!group_empty(group) && group->kind->subscribed(group, topic))
		return false;
	if (pending_offsets_latest(group, &name, partition->index))
		return false;
	return groups_wall_ms(group->groups) >= expires_ms(group, &partition->committed);
}

static size_t expire_partition(struct group_partition *partition, size_t most)
{
	size_t forgotten = 0;

	list_foreach_safe(node, after, &partition->groups) {
		struct group *group = container_of(node, struct group, link);
		forgotten += forget_of(group, topic_gone_or_old, most - forgotten);
		group_delete_if_idle(group);
	}
	return forgotten;
}

static void arm(struct groups *groups, int64_t in_ms)
{
	timer_wheel_arm(&groups->wheel, &groups->expiry,
			groups_now_ns(groups) + (uint64_t)in_ms * NS_PER_MS);
}

static void arm_next(struct groups *groups)
{
	arm(groups, groups->expiry_unfinished
			    ? UNFINISHED_MS
			    : groups->options.config->offsets_retention_check_interval_ms);
}

static void expire(struct wheel_timer *timer)
{
	struct groups *groups = container_of(timer, struct groups, expiry);
	size_t forgotten = 0;

	groups->expiry_unfinished = false;
	for (int32_t i = 0; groups->topics && i < groups->partition_count; i++) {
		if (groups->partitions[i].phase == GROUP_PARTITION_LOADED)
			forgotten += expire_partition(&groups->partitions[i],
						      FORGOTTEN_MAX - forgotten);
	}
	if (forgotten)
		log_info("groups", "offsets forgotten count=%zu", forgotten);
	arm_next(groups);
}

void offsets_follow_topics(struct group *group)
{
	forget_of(group, topic_gone, SIZE_MAX);
	if (group->groups->expiry_unfinished)
		arm_next(group->groups);
}

void offset_expiry_start(struct groups *groups)
{
	groups->expiry.expired = expire;
	arm_next(groups);
}
