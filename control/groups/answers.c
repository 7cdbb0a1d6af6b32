/* An answer waits, in its request's memory, for every partition that it rests on. */
#include "control/groups/groups_internal.h"

#include "base/arena.h"
#include "base/bytes.h"

#include <errno.h>

struct answer;

struct answer_wait {
	struct state_wait wait;
	struct answer *answer;
};

struct answer {
	struct groups *groups;
	struct control_request *request;
	size_t pending;
	int rc; /* of the first wait that failed */
	struct answer_wait waits[];
};

static void answer_now(struct groups *groups, struct control_request *request)
{
	groups->options.answer(groups->options.context, request);
}

static void one_done(struct answer *answer, int rc)
{
	if (rc < 0 && answer->rc == 0)
		answer->rc = rc;
	if (--answer->pending > 0)
		return;
	if (answer->rc < 0)
		groups_refuse(answer->groups, answer->request, KAFKA_NOT_COORDINATOR);
	else
		answer_now(answer->groups, answer->request);
}

static void wait_done(struct state_wait *wait, int rc)
{
	one_done(container_of(wait, struct answer_wait, wait)->answer, rc);
}

/* Null: the request has been answered with the failure. */
static struct answer *answer_new(struct groups *groups, struct control_request *request,
				 size_t count)
{
	struct answer *answer = arena_calloc(request->arena, 1,
					     sizeof(*answer) + count * sizeof(struct answer_wait));

	if (!answer) {
		request->rc = -ENOMEM;
		answer_now(groups, request);
		return NULL;
	}
	answer->groups = groups;
	answer->request = request;
	return answer;
}

static void wait_for(struct answer *answer, struct answer_wait *one, int32_t partition)
{
	struct state_log *log = answer->groups->options.log;

	one->answer = answer;
	one->wait.done = wait_done;
	log->ops->after(log, partition, &one->wait);
}

void groups_answer(struct groups *groups, int32_t partition, struct control_request *request)
{
	struct answer *answer = answer_new(groups, request, 1);

	if (!answer)
		return;
	answer->pending = 1;
	wait_for(answer, &answer->waits[0], partition);
}

/* Waits for the partitions that `rests_on` (one flag a partition) names. */
static void answer_after(struct groups *groups, const bool *rests_on,
			 struct control_request *request)
{
	size_t count = 0;

	for (int32_t i = 0; i < groups->partition_count; i++)
		count += rests_on[i];
	struct answer *answer = answer_new(groups, request, count);
	if (!answer)
		return;
	/* One more than there are, or the answer could leave before all have been asked. */
	answer->pending = count + 1;
	struct answer_wait *next = answer->waits;
	for (int32_t i = 0; i < groups->partition_count; i++) {
		if (rests_on[i])
			wait_for(answer, next++, i);
	}
	one_done(answer, 0);
}

static bool *flags_new(struct groups *groups, struct control_request *request)
{
	bool *flags = arena_calloc(request->arena, (size_t)groups->partition_count, sizeof(*flags));

	if (!flags) {
		request->rc = -ENOMEM;
		answer_now(groups, request);
	}
	return flags;
}

static bool loaded(const struct groups *groups, int32_t partition)
{
	return groups->partitions[partition].phase == GROUP_PARTITION_LOADED;
}

void groups_answer_all(struct groups *groups, struct control_request *request)
{
	bool *flags = flags_new(groups, request);

	if (!flags)
		return;
	for (int32_t i = 0; i < groups->partition_count; i++)
		flags[i] = loaded(groups, i);
	answer_after(groups, flags, request);
}

void groups_answer_ids(struct groups *groups, const struct kafka_string *ids, size_t stride,
		       int32_t count, struct control_request *request)
{
	bool *flags = flags_new(groups, request);

	if (!flags)
		return;
	for (int32_t i = 0; i < count && groups->partition_count; i++) {
		const struct kafka_string *id =
			(const void *)((const char *)ids + (size_t)i * stride);
		int32_t partition = group_partition_of(id, groups->partition_count);
		flags[partition] = loaded(groups, partition);
	}
	answer_after(groups, flags, request);
}

void groups_refuse(struct groups *groups, struct control_request *request, enum kafka_error error)
{
	refusal_fill(request, error);
	answer_now(groups, request);
}

int groups_copy_text(struct arena *arena, const struct kafka_string *text, struct kafka_string *ret)
{
	char *copy = text->length < 0 ? NULL
				      : arena_strndup(arena, text->data, (size_t)text->length);

	*ret = (struct kafka_string){copy, copy ? text->length : -1};
	return copy || text->length < 0 ? 0 : -ENOMEM;
}
