#include "control/http/workers.h"

#include "base/bytes.h"
#include "control/http/admin_client.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum {
	WORKERS = 3,      /* a search through messages and a slow request leave one for the rest */
	WAITING_MAX = 32, /* more than a few people's browsers ask for at a time */
	IDLE_SECONDS = 60,
};

struct worker {
	struct workers *workers;
	struct admin_client client;
	pthread_t thread;
};

struct workers {
	struct worker each[WORKERS];
	unsigned started;     /* of them; the starter's */
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t changed;
	struct list waiting;
	unsigned waiting_count;
	bool ending;
};

static bool is_idle(const struct workers *workers)
{
	return list_empty(&workers->waiting) && !workers->ending;
}

/* Locked. */
static void wait_for_work(struct workers *workers, struct admin_client *client)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_SECONDS;
	while (is_idle(workers) && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&workers->changed, &workers->lock, &until);
	if (is_idle(workers))
		admin_client_close(client);
	while (is_idle(workers))
		pthread_cond_wait(&workers->changed, &workers->lock);
}

/* Locked.  Null: the end. */
static struct work *next(struct workers *workers)
{
	struct list *node = list_pop_front(&workers->waiting);

	if (!node)
		return NULL;
	workers->waiting_count--;
	return container_of(node, struct work, link);
}

static void *run(void *argument)
{
	struct worker *worker = argument;
	struct workers *workers = worker->workers;
	struct work *work;

	pthread_setname_np(pthread_self(), "http-worker");
	pthread_mutex_lock(&workers->lock);
	for (;;) {
		wait_for_work(workers, &worker->client);
		work = next(workers);
		if (!work)
			break;
		struct admin_client *client = workers->ending ? NULL : &worker->client;
		pthread_mutex_unlock(&workers->lock);
		work->run(work, client);
		pthread_mutex_lock(&workers->lock);
	}
	pthread_mutex_unlock(&workers->lock);
	return NULL;
}

static int init(struct workers *workers)
{
	pthread_condattr_t attributes;

	list_init(&workers->waiting);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	int rc = pthread_cond_init(&workers->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	if (rc == 0)
		rc = pthread_mutex_init(&workers->lock, NULL);
	return -rc;
}

static int start(struct workers *workers, struct worker *worker, const char *urls)
{
	int rc = admin_client_init(&worker->client, urls);

	if (rc < 0)
		return rc;
	worker->workers = workers;
	rc = -pthread_create(&worker->thread, NULL, run, worker);
	if (rc < 0)
		admin_client_fini(&worker->client);
	else
		workers->started++;
	return rc;
}

int workers_start(struct workers **ret, const char *urls)
{
	struct workers *workers = calloc(1, sizeof(*workers));

	if (!workers)
		return -ENOMEM;
	int rc = init(workers);
	if (rc < 0) {
		free(workers);
		return rc;
	}
	for (unsigned i = 0; rc == 0 && i < WORKERS; i++)
		rc = start(workers, &workers->each[i], urls);
	if (rc < 0) {
		workers_end(workers);
		workers_free(workers);
		return rc;
	}
	*ret = workers;
	return 0;
}

void workers_end(struct workers *workers)
{
	pthread_mutex_lock(&workers->lock);
	workers->ending = true;
	pthread_cond_broadcast(&workers->changed);
	pthread_mutex_unlock(&workers->lock);
	for (unsigned i = 0; i < workers->started; i++) {
		admin_client_interrupt(&workers->each[i].client);
		pthread_join(workers->each[i].thread, NULL);
		admin_client_fini(&workers->each[i].client);
	}
	workers->started = 0;
}

void workers_free(struct workers *workers)
{
	if (!workers)
		return;
	pthread_cond_destroy(&workers->changed);
	pthread_mutex_destroy(&workers->lock);
	free(workers);
}

bool workers_full(struct workers *workers)
{
	pthread_mutex_lock(&workers->lock);
	bool full = workers->ending || workers->waiting_count >= WAITING_MAX;
	pthread_mutex_unlock(&workers->lock);
	return full;
}

void workers_send(struct workers *workers, struct work *work)
{
	pthread_mutex_lock(&workers->lock);
	bool ended = workers->ending;
	if (!ended) {
		list_push_back(&workers->waiting, &work->link);
		workers->waiting_count++;
		pthread_cond_signal(&workers->changed);
	}
	pthread_mutex_unlock(&workers->lock);
	if (ended)
		work->run(work, NULL);
}
