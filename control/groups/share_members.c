/* Members of a share group in memory, their sessions, and the end of one. */
#include "control/groups/share_internal.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "control/groups/groups_internal.h"
#include "dataplane/topics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Memory ran out in a timer: how soon it is tried again. */
#define RETRY_NS NS_PER_SECOND

static struct groups *groups_of(const struct share_member *member)
{
	return member->share->group->groups;
}

struct share_member *share_member_find(const struct share_group *share,
				       const struct kafka_string *id)
{
	for (size_t i = 0; i < share->member_count; i++) {
		if (kafka_string_equal(&share->members[i]->id, id))
			return share->members[i];
	}
	return NULL;
}

static void session_expired(struct wheel_timer *timer)
{
	struct share_member *member = container_of(timer, struct share_member, session);
	struct groups *groups = groups_of(member);

	if (share_member_fence(member) < 0)
		timer_wheel_arm(&groups->wheel, timer, groups_now_ns(groups) + RETRY_NS);
}

static int make_room(struct share_group *share)
{
	size_t capacity = share->member_capacity ? 2 * share->member_capacity : 4;

	if (share->member_count < share->member_capacity)
		return 0;
	struct share_member **members = realloc(share->members,
						capacity * sizeof(struct share_member *));
	if (!members)
		return -ENOMEM;
	share->members = members;
	share->member_capacity = capacity;
	return 0;
}

struct share_member *share_member_add(struct share_group *share, const struct kafka_string *id)
{
	struct share_member *member = calloc(1, sizeof(*member));
	char *text = malloc((size_t)id->length + 1);

	if (!member || !text || make_room(share) < 0) {
		free(member);
		free(text);
		return NULL;
	}
	bytes_copy(text, id->data, (size_t)id->length);
	member->share = share;
	member->id_text = text;
	member->id = (struct kafka_string){text, id->length};
	member->session.expired = session_expired;
	share->members[share->member_count++] = member;
	return member;
}

void share_member_remove(struct share_member *member)
{
	struct share_group *share = member->share;
	size_t at = 0;

	while (share->members[at] != member)
		at++;
	share->member_count--;
	memmove(&share->members[at], &share->members[at + 1],
		(share->member_count - at) * sizeof(struct share_member *));
	timer_wheel_disarm(&groups_of(member)->wheel, &member->session);
	partition_set_fini(&member->target);
	partition_set_fini(&member->assigned);
	free(member->details_memory);
	free(member->id_text);
	free(member);
}

/* ---- details ---- */

static int compare_names(const void *a, const void *b)
{
	const struct kafka_string *x = a, *y = b;
	size_t shorter = (size_t)(x->length < y->length ? x->length : y->length);
	int order = bytes_compare(x->data, y->data, shorter);

	return order ? order : (x->length > y->length) - (x->length < y->length);
}

static void sort_names(struct share_details *details)
{
	size_t kept = 0;

	if (!details->name_count)
		return;
	qsort(details->names, details->name_count, sizeof(*details->names), compare_names);
	for (size_t i = 1; i < details->name_count; i++) {
		if (compare_names(&details->names[i], &details->names[kept]) != 0)
			details->names[++kept] = details->names[i];
	}
	details->name_count = kept + 1;
}

static bool text_equal(const struct kafka_string *a, const struct kafka_string *b)
{
	return a->length < 0 ? b->length < 0 : b->length >= 0 && kafka_string_equal(a, b);
}

bool share_details_equal(const struct share_details *a, const struct share_details *b)
{
	if (a->name_count != b->name_count || !text_equal(&a->rack_id, &b->rack_id) ||
	    !text_equal(&a->client_id, &b->client_id) ||
	    !text_equal(&a->client_host, &b->client_host))
		return false;
	for (size_t i = 0; i < a->name_count; i++) {
		if (!text_equal(&a->names[i], &b->names[i]))
			return false;
	}
	return true;
}

static size_t length_of(const struct kafka_string *text)
{
	return text->length > 0 ? (size_t)text->length : 0;
}

static struct kafka_string put(const struct kafka_string *from, char **at)
{
	struct kafka_string copied = {.length = from->length};

	if (from->length >= 0) {
		bytes_copy(*at, from->data, (size_t)from->length);
		copied.data = *at;
		*at += from->length;
	}
	return copied;
}

/* | names | texts | in one block. */
int share_set_details(struct share_member *member, const struct share_details *details)
{
	size_t bytes = length_of(&details->rack_id) + length_of(&details->client_id) +
		       length_of(&details->client_host);

	for (size_t i = 0; i < details->name_count; i++)
		bytes += length_of(&details->names[i]);
	void *memory = malloc(details->name_count * sizeof(struct kafka_string) + bytes + 1);
	if (!memory)
		return -ENOMEM;
	struct kafka_string *names = memory;
	char *at = (char *)(names + details->name_count);
	/* The new ones may point into the old text. */
	for (size_t i = 0; i < details->name_count; i++)
		names[i] = put(&details->names[i], &at);
	struct share_details copied = {
		.rack_id = put(&details->rack_id, &at),
		.client_id = put(&details->client_id, &at),
		.client_host = put(&details->client_host, &at),
		.names = names,
		.name_count = details->name_count,
	};
	sort_names(&copied);
	free(member->details_memory);
	member->details_memory = memory;
	member->details = copied;
	return 0;
}

/* ---- sessions ---- */

void share_member_seen(struct share_member *member)
{
	struct groups *groups = groups_of(member);
	struct kafka_string id = group_id(member->share->group);
	const struct share_settings *settings = topics_share_settings(groups->topics, id.data,
								      (size_t)id.length);

	timer_wheel_arm(&groups->wheel, &member->session,
			groups_now_ns(groups) + (uint64_t)settings->session_timeout_ms * NS_PER_MS);
}

int share_member_fence(struct share_member *member)
{
	struct share_group *share = member->share;
	int rc = share_append_group(share, share->epoch + 1, share->topics_hash);

	if (rc < 0)
		return rc;
	share->epoch++;
	rc = share_erase_member(member);
	if (rc == 0)
		share_member_remove(member);
	return rc;
}
