#include "dataplane/share/share_session.h"

#include "base/bytes.h"
#include "base/check.h"
#include "dataplane/request.h"
#include "dataplane/shard_internal.h"
#include "dataplane/share/share.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SESSIONS_PER_CONNECTION_MAX = 16 }; /* a client has one */

/* ---- the end ---- */

static bool is_owner(const struct share_session *session, const struct share_row *row,
		     unsigned shard)
{
	return (row->topic_number + (unsigned)row->partition) %
		       session->shard->options.shard_count ==
	       shard;
}

static void free_session(struct share_session *session)
{
	session->shard->share_sessions--;
	free(session->rows);
	free(session);
}

static void give_back(struct message *message, void *receiver)
{
	struct share_session *session = container_of(message, struct share_session, message);
	struct shard *shard = receiver;

	for (size_t i = 0; i < session->row_count; i++) {
		const struct share_row *row = &session->rows[i];
		if (!is_owner(session, row, shard->options.index))
			continue;
		const struct partition *partition =
			shard_partition(shard, partition_key(row->topic_number, row->partition));
		struct share *share = partition ? share_find(partition, &session->group) : NULL;
		if (share)
			share_give_back(share, session->holder);
	}
	/* From shard to shard, the session's own last. */
	unsigned home = session->shard->options.index;
	if (shard->options.index == home) {
		free_session(session);
		return;
	}
	session->at = (session->at + 1) % session->shard->options.shard_count;
	shard_send(shard, session->at, message);
}

static void end(struct share_session *session)
{
	struct shard *shard = session->shard;

	if (!session->closed || session->requests)
		return;
	session->message.handle = give_back;
	session->at = (shard->options.index + 1) % shard->options.shard_count;
	if (shard->options.shard_count == 1)
		give_back(&session->message, shard);
	else
		shard_send(shard, session->at, &session->message);
}

void share_session_ended(struct share_session *session)
{
	check(session->requests > 0);
	session->requests--;
	end(session);
}

void share_session_close(struct channel *channel, struct share_session *session)
{
	struct share_session **place = &channel->shares->first;

	if (session->closed)
		return;
	while (*place != session)
		place = &(*place)->next;
	*place = session->next;
	channel->shares->count--;
	session->closed = true;
	end(session);
}

void share_sessions_close(struct channel *channel)
{
	while (channel->shares->first)
		share_session_close(channel, channel->shares->first);
}

/* ---- the beginning ---- */

static struct share_session *find(const struct channel *channel, const struct kafka_string *group,
				  const struct kafka_string *member)
{
	struct share_session *session = channel->shares->first;

	while (session && !(kafka_string_equal(&session->group, group) &&
			    kafka_string_equal(&session->member, member)))
		session = session->next;
	return session;
}

static struct share_session *make(struct request *request, const struct kafka_string *group,
				  const struct kafka_string *member)
{
	struct share_sessions *sessions = request->channel->shares;
	struct shard *shard = request->shard;
	size_t group_length = (size_t)group->length, member_length = (size_t)member->length;
	struct share_session *session = calloc(1, sizeof(*session) + group_length + member_length);

	if (!session)
		return NULL;
	memcpy(session->text, group->data, group_length);
	memcpy(session->text + group_length, member->data, member_length);
	session->group = (struct kafka_string){session->text, group->length};
	session->member = (struct kafka_string){session->text + group_length, member->length};
	session->shard = shard;
	session->holder = shard->share_holders++ * shard->options.shard_count +
			  shard->options.index;
	session->next = sessions->first;
	sessions->first = session;
	sessions->count++;
	shard->share_sessions++;
	return session;
}

static enum kafka_error open_session(struct request *request, const struct kafka_string *group,
				     const struct kafka_string *member, struct share_session **ret)
{
	struct share_session *former = find(request->channel, group, member);

	if (former)
		share_session_close(request->channel, former);
	if (request->channel->shares->count >= SESSIONS_PER_CONNECTION_MAX)
		return KAFKA_SHARE_SESSION_LIMIT_REACHED;
	*ret = make(request, group, member);
	return *ret ? KAFKA_NONE : KAFKA_SHARE_SESSION_LIMIT_REACHED;
}

enum kafka_error share_session_begin(struct request *request, const struct kafka_string *group,
				     const struct kafka_string *member, int32_t epoch,
				     struct share_session **ret)
{
	struct share_session *session;

	/* A datagram session has no connection that could end. */
	if (!request->channel->shares || group->length <= 0 || member->length <= 0)
		return KAFKA_INVALID_REQUEST;
	if (epoch == SHARE_SESSION_OPEN) {
		enum kafka_error error = open_session(request, group, member, &session);
		if (error)
			return error;
	} else {
		session = find(request->channel, group, member);
		if (!session)
			return KAFKA_SHARE_SESSION_NOT_FOUND;
		if (epoch != SHARE_SESSION_CLOSE && epoch != session->epoch)
			return KAFKA_INVALID_SHARE_SESSION_EPOCH;
	}
	session->epoch = session->epoch == INT32_MAX ? 1 : session->epoch + 1;
	session->requests++;
	*ret = session;
	return KAFKA_NONE;
}

/* ---- rows ---- */

static size_t place_of(const struct share_session *session, const struct uuid *topic_id,
		       int32_t partition)
{
	size_t low = 0, high = session->row_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct share_row *row = &session->rows[middle];
		int order = memcmp(&row->topic_id, topic_id, sizeof(*topic_id));
		if (order < 0 || (order == 0 && row->partition < partition))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct share_row *share_session_find(const struct share_session *session,
				     const struct uuid *topic_id, int32_t partition)
{
	size_t place = place_of(session, topic_id, partition);
	struct share_row *row = &session->rows[place];

	return place < session->row_count && row->partition == partition &&
			       uuid_equal(&row->topic_id, topic_id)
		       ? row
		       : NULL;
}

struct share_row *share_session_row(struct share_session *session, const struct topic *topic,
				    int32_t partition)
{
	struct share_row *row = share_session_find(session, &topic->id, partition);

	if (row)
		return row;
	if (session->row_count == session->row_capacity) {
		size_t capacity = session->row_capacity ? session->row_capacity * 2 : 4;
		struct share_row *rows = realloc(session->rows, capacity * sizeof(*rows));
		if (!rows)
			return NULL;
		session->rows = rows;
		session->row_capacity = capacity;
	}
	size_t place = place_of(session, &topic->id, partition);
	row = &session->rows[place];
	memmove(row + 1, row, (session->row_count - place) * sizeof(*row));
	session->row_count++;
	*row = (struct share_row){
		.topic_id = topic->id,
		.topic_number = topic->number,
		.partition = partition,
	};
	return row;
}
