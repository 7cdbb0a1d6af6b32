/* The folders of what was deleted go.
 *
 *     log_close ───────────> "<topic>/<partition>"  ┐
 *     store_remove_topic ──> "<topic>"              ┴─> store.removals
 *                                                          │ all of them, when the last job is back
 *                                                          v
 *                               background: a few names a step, others' jobs come in between
 *
 * To unlink a file takes milliseconds where its blocks are given back and the file system's journal
 * is busy, and a topic may have tens of thousands.  So one job of a store is out, whatever there is
 * to remove.  Nobody waits for it: who deleted the topic has noted that durably, and hands what is
 * left over again at the next start.  Segments that retention and DeleteRecords let go are not
 * ours: on a full disk those must have made room before they are answered. */
#include "storage/store_internal.h"

#include "base/bytes.h"
#include "base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_A_STEP = 4 };

struct removal {
	struct list link;             /* store.removals, removing.left */
	char name[FOLDER_NAME_BYTES]; /* in the store's folder */
};

struct removing {
	struct store_job job;
	struct store *store;
	int dir_fd; /* the store's */
	struct list left;
};

/* ---- the job ---- */

/* A topic's own folder goes with its last partition; what comes next of the topic would only find
 * it not empty. */
static void remove_topic_of(const struct removing *removing, const char *name)
{
	const struct removal *next = container_of(removing->left.next, struct removal, link);
	size_t length = UUID_HEX_BYTES - 1;
	char topic[UUID_HEX_BYTES];

	if (!list_empty(&removing->left) && strncmp(next->name, name, length) == 0)
		return;
	snprintf(topic, sizeof(topic), "%.*s", (int)length, name);
	folder_remove_empty(removing->dir_fd, topic);
}

static uint64_t step(struct store_job *job)
{
	struct removing *removing = container_of(job, struct removing, job);
	unsigned budget = NAMES_A_STEP;

	if (atomic_load(&job->give_up))
		return STORE_JOB_DONE;
	struct removal *removal = container_of(removing->left.next, struct removal, link);
	if (!folder_remove(removing->dir_fd, removal->name, &budget))
		return 0;
	list_remove(&removal->link);
	remove_topic_of(removing, removal->name);
	free(removal);
	return list_empty(&removing->left) ? STORE_JOB_DONE : 0;
}

static void start(struct store *store);

static void done(struct store_job *job)
{
	struct removing *removing = container_of(job, struct removing, job);
	struct store *store = removing->store;
	bool gave_up = !list_empty(&removing->left);

	while (!list_empty(&removing->left))
		list_push_back(&store->removals, list_pop_front(&removing->left));
	store->removing = NULL;
	free(removing);
	/* Otherwise there was no memory, and housekeeping goes on. */
	if (!gave_up)
		start(store);
}

/* ---- what is to go ---- */

static void start(struct store *store)
{
	if (store->removing || store->removals_ended || list_empty(&store->removals))
		return;
	struct removing *removing = calloc(1, sizeof(*removing));
	if (!removing)
		return;
	*removing = (struct removing){
		.job = {.step = step, .done = done},
		.store = store,
		.dir_fd = store->dir_fd,
	};
	list_init(&removing->left);
	list_move_all(&removing->left, &store->removals);
	store->removing = removing;
	store_job_start(store, &removing->job);
}

static int add(struct store *store, const char *name)
{
	struct removal *removal = calloc(1, sizeof(*removal));

	if (!removal)
		return -ENOMEM;
	snprintf(removal->name, sizeof(removal->name), "%s", name);
	list_push_back(&store->removals, &removal->link);
	start(store);
	return 0;
}

void removal_add(struct store *store, const char *name)
{
	/* Without memory the next start removes it. */
	add(store, name);
}

int store_remove_topic(struct store *store, const struct uuid *topic_id)
{
	char topic[UUID_HEX_BYTES];

	uuid_hex(topic_id, topic);
	return add(store, topic);
}

void removal_housekeep(struct store *store)
{
	start(store);
}

void store_end_removals(struct store *store)
{
	store->removals_ended = true;
	if (store->removing)
		store_job_give_up(store, &store->removing->job);
}

void removal_fini(struct store *store)
{
	check(!store->removing);
	while (!list_empty(&store->removals))
		free(container_of(list_pop_front(&store->removals), struct removal, link));
}
