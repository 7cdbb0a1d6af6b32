/* The members of a classic group: who they are, how they are found, and what they agree on.
 *
 * A member is one allocation with its texts behind it, but for what changes while it lives: its
 * protocols (each JoinGroup) and its assignment (each generation).  Both tables are keyed by a hash
 * of the text; the rare second text of one hash is refused. */
#include "control/groups/classic_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "control/groups/groups_internal.h"
#include "kafka_messages.h"

#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

static size_t text_bytes(const struct kafka_string *text)
{
	return text->length > 0 ? (size_t)text->length : 0;
}

static void put_text(struct kafka_string *to, char **at, const struct kafka_string *text)
{
	const size_t length = text_bytes(text);

	*to = (struct kafka_string){*at, text->length};
	bytes_copy(*at, text->data, length);
	*at += length;
}

struct classic_member *classic_member_new(const struct classic_identity *identity)
{
	struct classic_member *member = calloc(1, sizeof(*member) + text_bytes(&identity->id) +
							  text_bytes(&identity->instance_id) +
							  text_bytes(&identity->client_id) +
							  text_bytes(&identity->client_host));

	if (!member)
		return NULL;
	char *at = (char *)(member + 1);
	put_text(&member->id, &at, &identity->id);
	put_text(&member->instance_id, &at, &identity->instance_id);
	put_text(&member->client_id, &at, &identity->client_id);
	put_text(&member->client_host, &at, &identity->client_host);
	member->session.expired = classic_session_expired;
	return member;
}

void classic_member_free(struct classic_member *member)
{
	if (!member)
		return;
	check(!member->classic && !member->join && !member->sync);
	free(member->protocols);
	/* Owned, though views are of constant bytes. */
	free((void *)(uintptr_t)member->assignment.data);
	free(member);
}

int classic_member_assign(struct classic_member *member, const struct kafka_bytes *assignment)
{
	const size_t length = assignment->length > 0 ? (size_t)assignment->length : 0;
	uint8_t *copy = length ? malloc(length) : NULL;

	if (length && !copy)
		return -ENOMEM;
	bytes_copy(copy, assignment->data, length);
	free((void *)(uintptr_t)member->assignment.data);
	member->assignment = (struct kafka_bytes){copy, (int32_t)length};
	return 0;
}

/* ---- the two tables ---- */

/* Seeded, as clients choose what an id begins with, and instance ids altogether. */
static uint64_t hash_of(const struct classic *classic, const struct kafka_string *text)
{
	return XXH3_64bits_withSeed(text->data, text_bytes(text),
				    classic->group->groups->hash_seed);
}

struct classic_member *classic_members_find(const struct classic *classic,
					    const struct kafka_string *id)
{
	struct classic_member *member = map64_get(&classic->by_id, hash_of(classic, id));

	return member && kafka_string_equal(&member->id, id) ? member : NULL;
}

struct classic_member *classic_members_find_static(const struct classic *classic,
						   const struct kafka_string *instance_id)
{
	struct classic_member *member = map64_get(&classic->by_instance,
						  hash_of(classic, instance_id));

	return member && kafka_string_equal(&member->instance_id, instance_id) ? member : NULL;
}

static int put_new(struct map64 *map, uint64_t hash, struct classic_member *member)
{
	return map64_get(map, hash) ? -EEXIST : map64_put(map, hash, member);
}

static int index_member(struct classic *classic, struct classic_member *member)
{
	int rc = put_new(&classic->by_id, hash_of(classic, &member->id), member);

	if (rc < 0 || member->instance_id.length < 0)
		return rc;
	rc = put_new(&classic->by_instance, hash_of(classic, &member->instance_id), member);
	if (rc < 0)
		map64_remove(&classic->by_id, hash_of(classic, &member->id));
	return rc;
}

static void unindex_member(struct classic *classic, const struct classic_member *member)
{
	map64_remove(&classic->by_id, hash_of(classic, &member->id));
	if (member->instance_id.length >= 0)
		map64_remove(&classic->by_instance, hash_of(classic, &member->instance_id));
}

enum kafka_error classic_members_identify(const struct classic *classic,
					  const struct kafka_string *id,
					  const struct kafka_string *instance_id,
					  struct classic_member **ret)
{
	struct classic_member *member;

	if (instance_id->length >= 0) {
		member = classic_members_find_static(classic, instance_id);
		if (member && !kafka_string_equal(&member->id, id))
			return KAFKA_FENCED_INSTANCE_ID;
	} else {
		member = classic_members_find(classic, id);
	}
	if (!member || classic_member_pending(member))
		return KAFKA_UNKNOWN_MEMBER_ID;
	*ret = member;
	return KAFKA_NONE;
}

/* ---- coming and going ---- */

static void enlist(struct classic *classic, struct classic_member *member)
{
	list_push_back(&classic->members, &member->link);
	classic->member_count++;
	if (!classic->leader)
		classic->leader = member;
	classic->group->empty_since_ms = 0;
}

int classic_members_add(struct classic *classic, struct classic_member *member)
{
	int rc = index_member(classic, member);

	if (rc < 0)
		return rc;
	check(!classic_member_pending(member));
	member->classic = classic;
	enlist(classic, member);
	return 0;
}

int classic_members_add_pending(struct classic *classic, struct classic_member *member)
{
	int rc = index_member(classic, member);

	if (rc < 0)
		return rc;
	check(classic_member_pending(member));
	member->classic = classic;
	list_push_back(&classic->pending, &member->link);
	classic->pending_count++;
	return 0;
}

void classic_members_admit(struct classic_member *member)
{
	check(!classic_member_pending(member) && member->classic->pending_count > 0);
	list_remove(&member->link);
	member->classic->pending_count--;
	enlist(member->classic, member);
}

static void delist(struct classic_member *member)
{
	struct classic *classic = member->classic;

	list_remove(&member->link);
	if (classic_member_pending(member)) {
		classic->pending_count--;
		return;
	}
	classic->member_count--;
	classic_synced(member);
	if (classic->leader == member)
		classic->leader = classic->member_count ? classic_member_at(classic->members.next)
							: NULL;
}

static void disconnect(struct classic_member *member)
{
	timer_wheel_disarm(&member->classic->group->groups->wheel, &member->session);
	unindex_member(member->classic, member);
	member->classic = NULL;
}

void classic_members_remove(struct classic_member *member, enum kafka_error error)
{
	static const struct kafka_string no_id = {"", 0};

	classic_refuse_join(member, error, &no_id);
	classic_refuse_sync(member, error);
	delist(member);
	disconnect(member);
	classic_member_free(member);
}

static void refuse(struct classic *classic, struct control_request *request, enum kafka_error error)
{
	if (request)
		groups_refuse(classic->group->groups, request, error);
}

static void clear(struct classic *classic, struct list *members, enum kafka_error error)
{
	struct list *link;

	while ((link = list_pop_front(members))) {
		struct classic_member *member = classic_member_at(link);

		refuse(classic, member->join, error);
		refuse(classic, member->sync, error);
		member->join = NULL;
		member->sync = NULL;
		timer_wheel_disarm(&classic->group->groups->wheel, &member->session);
		member->classic = NULL;
		classic_member_free(member);
	}
}

void classic_members_clear(struct classic *classic, enum kafka_error error)
{
	clear(classic, &classic->members, error);
	clear(classic, &classic->pending, error);
	map64_fini(&classic->by_id);
	map64_fini(&classic->by_instance);
	classic->leader = NULL;
	classic->member_count = 0;
	classic->pending_count = 0;
	classic->joining_count = 0;
	classic->unsynced_count = 0;
}

int classic_members_replace(struct classic_member *member, struct classic_member *next)
{
	struct classic *classic = member->classic;
	int rc = put_new(&classic->by_id, hash_of(classic, &next->id), next);

	if (rc < 0)
		return rc;
	classic_refuse_join(member, KAFKA_FENCED_INSTANCE_ID, &member->id);
	classic_refuse_sync(member, KAFKA_FENCED_INSTANCE_ID);
	disconnect(member);
	/* Cannot fail: the slot of the one before is free. */
	rc = map64_put(&classic->by_instance, hash_of(classic, &next->instance_id), next);
	check(rc == 0);
	list_push_back(&member->link, &next->link);
	list_remove(&member->link);
	next->classic = classic;
	next->assignment = member->assignment;
	next->unsynced = member->unsynced;
	member->assignment = (struct kafka_bytes){0};
	if (classic->leader == member)
		classic->leader = next;
	classic_member_free(member);
	return 0;
}

/* ---- what they agree on ---- */

static bool all_offer(const struct classic *classic, const struct kafka_string *protocol)
{
	list_foreach(link, &classic->members) {
		if (!classic_protocols_find(classic_member_at(link)->protocols, protocol))
			return false;
	}
	return true;
}

static bool offers_all_of(const struct kafka_join_group_request *request,
			  const struct classic_protocols *protocols)
{
	for (int32_t i = 0; i < protocols->count; i++) {
		int32_t j = 0;

		while (j < request->protocols_count &&
		       !kafka_string_equal(&request->protocols[j].name, &protocols->items[i].name))
			j++;
		if (j == request->protocols_count)
			return false;
	}
	return true;
}

bool classic_members_support(const struct classic *classic,
			     const struct kafka_join_group_request *request)
{
	if (classic->member_count == 0)
		return true;
	if (!kafka_string_equal(&classic->protocol_type, &request->protocol_type))
		return false;
	/* Members have something in common.  Who offers all that one of them does, offers that
	 * too: as most clients of a group are alike, it is not walked for each of them. */
	if (offers_all_of(request, classic_member_at(classic->members.next)->protocols))
		return true;
	for (int32_t i = 0; i < request->protocols_count; i++) {
		if (all_offer(classic, &request->protocols[i].name))
			return true;
	}
	return false;
}

/* Each member votes for the first of its protocols that is a candidate. */
static void vote(const struct classic_protocols *protocols,
		 const struct classic_protocols *candidates, const bool *candidate, size_t *votes)
{
	for (int32_t i = 0; i < protocols->count; i++) {
		const struct classic_protocol *choice =
			classic_protocols_find(candidates, &protocols->items[i].name);
		if (choice && candidate[choice - candidates->items]) {
			votes[choice - candidates->items]++;
			return;
		}
	}
}

const struct kafka_string *classic_members_vote(const struct classic *classic)
{
	/* What all offer is among what the first one offers. */
	const struct classic_protocols *candidates =
		classic_member_at(classic->members.next)->protocols;
	bool candidate[CLASSIC_PROTOCOLS_MAX];
	size_t votes[CLASSIC_PROTOCOLS_MAX] = {0};
	int32_t best = 0;

	check(classic->member_count > 0);
	for (int32_t i = 0; i < candidates->count; i++)
		candidate[i] = all_offer(classic, &candidates->items[i].name);
	list_foreach(link, &classic->members)
		vote(classic_member_at(link)->protocols, candidates, candidate, votes);
	for (int32_t i = 1; i < candidates->count; i++) {
		if (votes[i] > votes[best])
			best = i;
	}
	return &candidates->items[best].name;
}

int32_t classic_members_rebalance_timeout_ms(const struct classic *classic)
{
	int32_t longest = 0;

	list_foreach(link, &classic->members) {
		const struct classic_member *member = classic_member_at(link);

		if (member->rebalance_timeout_ms > longest)
			longest = member->rebalance_timeout_ms;
	}
	return longest;
}
