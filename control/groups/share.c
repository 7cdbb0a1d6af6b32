/* Share groups: members are told which partitions to read, and the owners of these give each record
 * to one of them (KIP-932).
 *
 *     Empty <--> Stable
 *
 * Nothing is handed over between members, so a target is in force as soon as its member has asked:
 * there is no reconciling.  share_internal.h says what is kept and where to begin reading. */
#include "control/groups/share.h"

#include "control/groups/groups_internal.h"
#include "control/groups/share_internal.h"

#include <errno.h>
#include <stdlib.h>

int share_begin(struct group *group)
{
	static uint64_t incarnations; /* the coordinator's thread's */
	struct share_group *share = calloc(1, sizeof(*share));

	if (!share)
		return -ENOMEM;
	if (group->kind)
		group->kind->forget(group, KAFKA_UNKNOWN_MEMBER_ID);
	share->group = group;
	share->incarnation = ++incarnations;
	list_init(&share->kept);
	group->state = share;
	group->kind = &share_kind;
	group->empty_since_ms = 0;
	return 0;
}

int share_adopt(struct group *group)
{
	if (group->kind == &share_kind)
		return 0;
	int rc = group->kind ? group->kind->erase(group) : 0;
	return rc < 0 ? rc : share_begin(group);
}

static void forget(struct group *group, enum kafka_error error)
{
	struct share_group *share = share_of(group);

	(void)error; /* nothing is ever parked */
	while (share->member_count)
		share_member_remove(share->members[share->member_count - 1]);
	list_foreach_safe(node, after, &share->kept)
		share_kept_free(share, container_of(node, struct share_kept, link));
	free(share->members);
	free(share);
	group->state = NULL;
}

static void loaded(struct group *group)
{
	struct share_group *share = share_of(group);

	/* Who is without details was named by a record that outlived its member. */
	for (size_t i = share->member_count; i-- > 0;) {
		if (!share->members[i]->details_memory)
			share_member_remove(share->members[i]);
	}
	share->topics_changed = true;
	for (size_t i = 0; i < share->member_count; i++)
		share_member_seen(share->members[i]);
}

static void topics_changed(struct group *group)
{
	share_of(group)->topics_changed = true;
	share_kept_follow_topics(share_of(group));
}

/* ---- what is asked of a group ---- */

static const char *state(const struct group *group)
{
	return share_of(group)->member_count ? "Stable" : "Empty";
}

static const char *protocol_type(const struct group *group)
{
	return "share";
}

static size_t member_count(const struct group *group)
{
	return share_of(group)->member_count;
}

/* Its members have no offsets, and nobody else may put any there. */
static enum kafka_error may_commit(const struct group *group, const struct group_claim *claim)
{
	return KAFKA_GROUP_ID_NOT_FOUND;
}

static enum kafka_error may_fetch(const struct group *group, const struct group_claim *claim)
{
	return KAFKA_GROUP_ID_NOT_FOUND;
}

static bool subscribed(const struct group *group, const struct topic *topic)
{
	return false; /* to offsets: what a former kind has left may go */
}

static bool keeps(const struct group *group)
{
	return share_of(group)->kept_count > 0;
}

const struct group_kind share_kind = {
	.type = "share",
	.state = state,
	.protocol_type = protocol_type,
	.member_count = member_count,
	.may_commit = may_commit,
	.may_fetch = may_fetch,
	.subscribed = subscribed,
	.keeps = keeps,
	.topics_changed = topics_changed,
	.loaded = loaded,
	.rewrite = share_rewrite,
	.live_records = share_live_records,
	.erase = share_erase,
	.forget = forget,
};
