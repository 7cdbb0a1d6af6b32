/* What the owners of partitions have kept with a share group: how far it has come in each.
 *
 *     owner -- open -->  begins where the group's settings say, if nothing is kept
 *           -- write --> replaces what is kept
 *           <----------- once the record is durable */
#include "control/groups/share_internal.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/errors.h"
#include "control/groups/groups_internal.h"
#include "control/groups/share.h"
#include "dataplane/share/share_ask.h"
#include "dataplane/topics.h"

#include <errno.h>
#include <stdlib.h>

#define RECORD_BYTES_MAX ((size_t)64 << 20)

/* ---- in memory ---- */

struct share_kept *share_kept_find(const struct share_group *share, const struct uuid *topic_id,
				   int32_t partition)
{
	list_foreach(node, &share->kept) {
		struct share_kept *kept = container_of(node, struct share_kept, link);
		if (kept->partition == partition && uuid_equal(&kept->topic_id, topic_id))
			return kept;
	}
	return NULL;
}

static int copy_runs(const struct share_run *runs, size_t count, struct share_run **ret)
{
	*ret = malloc((count + 1) * sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	bytes_copy(*ret, runs, count * sizeof(*runs));
	return 0;
}

struct share_kept *share_keep(struct share_group *share, const struct share_kept *next)
{
	struct share_kept *kept = share_kept_find(share, &next->topic_id, next->partition);
	struct share_run *runs;

	if (copy_runs(next->runs, next->run_count, &runs) < 0)
		return NULL;
	if (!kept) {
		kept = calloc(1, sizeof(*kept));
		if (!kept) {
			free(runs);
			return NULL;
		}
		kept->topic_id = next->topic_id;
		kept->partition = next->partition;
		list_push_back(&share->kept, &kept->link);
		share->kept_count++;
	}
	free(kept->runs);
	kept->runs = runs;
	kept->run_count = next->run_count;
	kept->start = next->start;
	return kept;
}

void share_kept_free(struct share_group *share, struct share_kept *kept)
{
	list_remove(&kept->link);
	share->kept_count--;
	free(kept->runs);
	free(kept);
}

void share_kept_follow_topics(struct share_group *share)
{
	const struct topics *topics = share->group->groups->topics;

	list_foreach_safe(node, after, &share->kept) {
		struct share_kept *kept = container_of(node, struct share_kept, link);
		if (topics_find_id(topics, &kept->topic_id))
			continue;
		/* Without memory for the tombstone it goes with the next picture. */
		if (share_erase_kept(share, kept) == 0)
			share_kept_free(share, kept);
	}
}

/* ---- asked by an owner ---- */

struct ask_answer {
	struct state_wait wait;
	struct groups *groups;
	struct share_ask *ask;
};

static void answer_now(struct groups *groups, struct share_ask *ask, int rc)
{
	ask->rc = rc;
	groups->options.share_answer(groups->options.context, ask);
}

static void durable(struct state_wait *wait, int rc)
{
	struct ask_answer *answer = container_of(wait, struct ask_answer, wait);

	answer_now(answer->groups, answer->ask, rc < 0 ? -ERR_NO_COORDINATOR : 0);
	free(answer);
}

static void answer_when_durable(struct groups *groups, int32_t partition, struct share_ask *ask)
{
	struct ask_answer *answer = malloc(sizeof(*answer));

	if (!answer) {
		answer_now(groups, ask, -ENOMEM);
		return;
	}
	*answer = (struct ask_answer){.wait.done = durable, .groups = groups, .ask = ask};
	groups->options.log->ops->after(groups->options.log, partition, &answer->wait);
}

static int keep(struct share_group *share, const struct share_kept *next)
{
	struct arena arena;

	arena_init(&arena, RECORD_BYTES_MAX);
	int rc = share_append_kept(share, next, &arena);
	arena_fini(&arena);
	if (rc == 0 && !share_keep(share, next))
		rc = -ENOMEM; /* stored, but not known: the owner tries again */
	return rc;
}

static int begin(struct share_group *share, const struct share_ask *ask)
{
	struct kafka_string id = group_id(share->group);
	const struct share_settings *settings = topics_share_settings(share->group->groups->topics,
								      id.data, (size_t)id.length);
	const struct share_kept first = {
		.topic_id = ask->topic_id,
		.partition = ask->partition,
		.start = settings->from_earliest ? ask->log_start : ask->log_end,
	};

	return keep(share, &first);
}

static int open_kept(struct share_group *share, struct share_ask *ask)
{
	const struct share_kept *kept = share_kept_find(share, &ask->topic_id, ask->partition);

	if (!kept) {
		int rc = begin(share, ask);
		if (rc < 0)
			return rc;
		kept = share_kept_find(share, &ask->topic_id, ask->partition);
	}
	if (copy_runs(kept->runs, kept->run_count, &ask->runs) < 0)
		return -ENOMEM;
	ask->run_count = kept->run_count;
	ask->start = kept->start;
	ask->incarnation = share->incarnation;
	return 0;
}

static int write_kept(struct share_group *share, const struct share_ask *ask)
{
	const struct share_kept next = {
		.topic_id = ask->topic_id,
		.partition = ask->partition,
		.start = ask->start,
		.runs = ask->runs,
		.run_count = ask->run_count,
	};

	if (ask->incarnation != share->incarnation)
		return -ERR_UNKNOWN_PARTITION;
	return keep(share, &next);
}

void groups_share(struct groups *groups, struct share_ask *ask)
{
	if (groups->stopping || !groups->topics || groups_ready(groups, &ask->group_id)) {
		answer_now(groups, ask, -ERR_NO_COORDINATOR);
		return;
	}
	struct group *group = group_find(groups, &ask->group_id);
	if (!group || group->kind != &share_kind) {
		answer_now(groups, ask, -ERR_UNKNOWN_PARTITION);
		return;
	}
	struct share_group *share = share_of(group);
	int rc = ask->what == SHARE_ASK_OPEN ? open_kept(share, ask) : write_kept(share, ask);
	if (rc < 0)
		answer_now(groups, ask, rc);
	else
		answer_when_durable(groups, group->partition, ask);
}
