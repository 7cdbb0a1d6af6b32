/* The log is one array of what records begin with; a consumer has its place in it, a group one for
 * all its members.  A record belongs to partition number % shares. */
#include "tests/bench/fake_driver.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"

enum {
	LOG_MAX = 4 << 20,
	WINDOW_DEFAULT = 1000,
	GROUPS_MAX = 8,
	VALUE_BYTES_MAX = 4096,
	A_POLL = 256,
};

struct entry {
	uint64_t first; /* eight bytes of its value */
	char topic[64];
	uint32_t value_bytes;
};

struct group {
	char name[96];
	size_t at;
};

static struct fake {
	pthread_mutex_t lock;
	struct fake_faults faults;
	struct fake_counts counts;
	_Atomic uint64_t first_ns;
	struct entry *log;
	size_t logged;
	struct group groups[GROUPS_MAX];
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct driver_producer {
	driver_delivered *delivered;
	void *context;
	atomic_bool in_use;
	size_t window;
	size_t waiting; /* tags, the oldest first */
	uint64_t *tags;
	int *answers;
};

struct driver_consumer {
	struct driver_consumer_options options;
	char topics[2][64];
	char group_name[96];
	struct group *group; /* null: alone */
	size_t at;
	atomic_bool in_use;
};

static uint64_t now_ns(void)
{
	return clock_monotonic_ns(clock_system());
}

static void nap_ms(uint64_t ms)
{
	struct timespec time = {.tv_sec = (time_t)(ms / 1000),
				.tv_nsec = (long)(ms % 1000 * NS_PER_MS)};

	nanosleep(&time, NULL);
}

void fake_reset(const struct fake_faults *faults)
{
	free(fake.log);
	fake.faults = *faults;
	fake.counts = (struct fake_counts){0};
	fake.first_ns = 0;
	fake.log = calloc(LOG_MAX, sizeof(*fake.log));
	fake.logged = 0;
	memset(fake.groups, 0, sizeof(fake.groups));
	check(fake.log != NULL);
}

struct fake_counts fake_counts(void)
{
	return fake.counts;
}

/* Is now between `at_ms` and `for_ms` later, after the first record? */
static bool is_time(unsigned at_ms, unsigned for_ms)
{
	uint64_t since_ms = fake.first_ns ? (now_ns() - fake.first_ns) / NS_PER_MS : 0;

	return at_ms && since_ms >= at_ms && since_ms < at_ms + for_ms;
}

static void enter(atomic_bool *in_use)
{
	if (atomic_exchange(in_use, true)) {
		pthread_mutex_lock(&fake.lock);
		fake.counts.overlaps++;
		pthread_mutex_unlock(&fake.lock);
	}
}

static void leave(atomic_bool *in_use)
{
	atomic_store(in_use, false);
}

static bool is_one_of(uint64_t number, unsigned every)
{
	return every && number % every == every - 1;
}

/* ---- topics ---- */

static int fake_version(const struct driver_target *target, char *text, size_t bytes)
{
	snprintf(text, bytes, "fake 1");
	return 0;
}

static int fake_topic_create(const struct driver_target *target, const char *topic,
			     unsigned partitions, const char *const *configs)
{
	if (fake.faults.topics_refused)
		return -EPROTO;
	fake.counts.topics++;
	return 0;
}

static int fake_topic_delete(const struct driver_target *target, const char *topic)
{
	fake.counts.topics--;
	return 0;
}

/* ---- producers ---- */

static int fake_producer_new(const struct driver_target *target, driver_delivered *delivered,
			     void *context, struct driver_producer **ret)
{
	struct driver_producer *producer = calloc(1, sizeof(*producer));

	check(producer != NULL);
	producer->delivered = delivered;
	producer->context = context;
	producer->window = target->window ? target->window : WINDOW_DEFAULT;
	producer->tags = calloc(producer->window, sizeof(*producer->tags));
	producer->answers = calloc(producer->window, sizeof(*producer->answers));
	check(producer->tags && producer->answers);
	pthread_mutex_lock(&fake.lock);
	fake.counts.producers++;
	fake.counts.producers_made++;
	pthread_mutex_unlock(&fake.lock);
	*ret = producer;
	return 0;
}

static void store(const struct driver_record *record)
{
	struct entry *entry = &fake.log[fake.logged++];

	check(fake.logged <= LOG_MAX);
	memcpy(&entry->first, record->value, sizeof(entry->first));
	snprintf(entry->topic, sizeof(entry->topic), "%s", record->topic);
	entry->value_bytes = (uint32_t)record->value_bytes;
}

/* Returns what it is acknowledged with. */
static int take(const struct driver_record *record)
{
	uint64_t number = fake.counts.records++;

	if (!fake.first_ns)
		fake.first_ns = now_ns();
	if (is_one_of(number, fake.faults.refuse_every))
		return -EPROTO;
	if (!is_one_of(number, fake.faults.lose_every))
		store(record);
	if (is_one_of(number, fake.faults.double_every))
		store(record);
	return 0;
}

static int fake_produce(struct driver_producer *producer, const struct driver_record *record,
			uint64_t tag)
{
	int rc = 0;

	enter(&producer->in_use);
	pthread_mutex_lock(&fake.lock);
	bool blocks = is_time(fake.faults.blocks_at_ms, fake.faults.blocks_ms);
	if (blocks)
		fake.faults.blocks_at_ms = 0; /* once */
	if (fake.faults.dies_after && fake.counts.records >= fake.faults.dies_after) {
		rc = -ECONNRESET;
	} else if (producer->waiting == producer->window) {
		rc = -EAGAIN;
	} else {
		producer->tags[producer->waiting] = tag;
		producer->answers[producer->waiting++] = take(record);
	}
	pthread_mutex_unlock(&fake.lock);
	if (blocks)
		nap_ms(fake.faults.blocks_ms);
	leave(&producer->in_use);
	return rc;
}

static int answer(struct driver_producer *producer)
{
	size_t count = producer->waiting;

	if (is_time(fake.faults.silent_at_ms, fake.faults.silent_ms))
		return 0;
	for (size_t i = 0; i < count; i++)
		producer->delivered(producer->context, producer->tags[i], producer->answers[i]);
	producer->waiting = 0;
	return (int)count;
}

static int fake_producer_poll(struct driver_producer *producer, unsigned timeout_us)
{
	enter(&producer->in_use);
	int ran = answer(producer);
	if (!ran && timeout_us)
		nap_ms(timeout_us < 1000 ? 0 : 1);
	if (!ran)
		ran = answer(producer);
	leave(&producer->in_use);
	return ran;
}

static int fake_producer_flush(struct driver_producer *producer, unsigned timeout_ms)
{
	uint64_t end_ns = now_ns() + timeout_ms * NS_PER_MS;

	while (producer->waiting && now_ns() < end_ns)
		fake_producer_poll(producer, 1000);
	return producer->waiting ? -ETIMEDOUT : 0;
}

static void fake_producer_free(struct driver_producer *producer)
{
	if (!producer)
		return;
	pthread_mutex_lock(&fake.lock);
	fake.counts.producers--;
	pthread_mutex_unlock(&fake.lock);
	free(producer->tags);
	free(producer->answers);
	free(producer);
}

/* ---- consumers ---- */

static struct group *group_of(const char *name)
{
	for (size_t i = 0; i < GROUPS_MAX; i++) {
		struct group *group = &fake.groups[i];
		if (strcmp(group->name, name) == 0)
			return group;
		if (!*group->name) {
			snprintf(group->name, sizeof(group->name), "%s", name);
			return group;
		}
	}
	check(!"a group too many");
	return NULL;
}

static int fake_consumer_new(const struct driver_target *target,
			     const struct driver_consumer_options *options,
			     struct driver_consumer **ret)
{
	if (fake.faults.consumers_refused)
		return -EPROTO;
	struct driver_consumer *consumer = calloc(1, sizeof(*consumer));

	check(consumer != NULL);
	consumer->options = *options;
	snprintf(consumer->topics[0], sizeof(consumer->topics[0]), "%s", options->topics[0]);
	pthread_mutex_lock(&fake.lock);
	fake.counts.consumers++;
	fake.counts.consumers_made++;
	consumer->at = options->from_earliest ? 0 : fake.logged;
	if (options->group)
		consumer->group = group_of(options->group);
	pthread_mutex_unlock(&fake.lock);
	*ret = consumer;
	return 0;
}

/* The next entry that is this consumer's; false: none yet. */
static bool next(struct driver_consumer *consumer, struct entry *ret)
{
	size_t *at = consumer->group ? &consumer->group->at : &consumer->at;

	while (*at < fake.logged) {
		size_t number = (*at)++;
		const struct entry *entry = &fake.log[number];
		if (strcmp(entry->topic, consumer->topics[0]) != 0)
			continue;
		if (!consumer->group &&
		    number % consumer->options.share_count != consumer->options.share_index)
			continue;
		*ret = *entry;
		return true;
	}
	return false;
}

static int fake_consumer_poll(struct driver_consumer *consumer, unsigned timeout_us)
{
	static const char zeros[VALUE_BYTES_MAX];
	char value[VALUE_BYTES_MAX];
	struct entry entry;
	int ran = 0;

	enter(&consumer->in_use);
	memcpy(value, zeros, sizeof(value));
	while (ran < A_POLL) {
		pthread_mutex_lock(&fake.lock);
		bool there = next(consumer, &entry);
		pthread_mutex_unlock(&fake.lock);
		if (!there)
			break;
		memcpy(value, &entry.first, sizeof(entry.first));
		consumer->options.received(consumer->options.context, entry.topic, value,
					   entry.value_bytes);
		ran++;
	}
	if (!ran && timeout_us)
		nap_ms(1);
	leave(&consumer->in_use);
	return ran;
}

static void fake_consumer_free(struct driver_consumer *consumer)
{
	if (!consumer)
		return;
	pthread_mutex_lock(&fake.lock);
	fake.counts.consumers--;
	pthread_mutex_unlock(&fake.lock);
	free(consumer);
}

const struct driver fake_driver = {
	.name = "fake",
	.help = "a broker in memory",
	.default_url = "fake:",
	.version = fake_version,
	.topic_create = fake_topic_create,
	.topic_delete = fake_topic_delete,
	.producer_new = fake_producer_new,
	.produce = fake_produce,
	.producer_poll = fake_producer_poll,
	.producer_flush = fake_producer_flush,
	.producer_free = fake_producer_free,
	.consumer_new = fake_consumer_new,
	.consumer_poll = fake_consumer_poll,
	.consumer_free = fake_consumer_free,
};
