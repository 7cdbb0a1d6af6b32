#include "bench/suite/driver_sluice.h"

#include "bench/suite/driver_common.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"

enum { BATCHES_A_POLL = 16 };

struct driver_consumer {
	struct sluice_client *client;
	driver_received *received;
	void *context;
	bool in_trouble; /* said so already */
};

static int assign(struct sluice_client *client, const struct driver_consumer_options *options,
		  const char *topic, int32_t partition)
{
	int64_t offset = SLUICE_EARLIEST;
	int64_t timestamp_ms;
	int rc = 0;

	if ((unsigned)partition % options->share_count != options->share_index)
		return 0;
	/* Looked up now: what is produced from now on lies behind it. */
	if (!options->from_earliest)
		rc = sluice_list_offset(client, topic, partition, SLUICE_LATEST, &offset,
					&timestamp_ms);
	return rc < 0 ? rc : sluice_assign(client, topic, partition, offset);
}

static int assign_all(struct sluice_client *client, const struct driver_consumer_options *options)
{
	struct sluice_metadata *metadata;
	size_t topics = 0;

	while (options->topics[topics])
		topics++;
	int rc = sluice_metadata(client, options->topics, topics, &metadata);
	if (rc < 0)
		return rc;
	for (size_t t = 0; rc == 0 && t < metadata->topic_count; t++) {
		const struct sluice_topic *topic = &metadata->topics[t];
		rc = topic->error;
		for (size_t p = 0; rc == 0 && p < topic->partition_count; p++)
			rc = assign(client, options, topic->name, topic->partitions[p].index);
	}
	sluice_metadata_free(metadata);
	return rc;
}

int native_consumer_new(const struct driver_target *target,
			const struct driver_consumer_options *options, struct driver_consumer **ret)
{
	const char *url = driver_setting(target, NATIVE_CONSUMER_URL);

	if (options->group) {
		driver_complain(&driver_sluice, "libsluice has no groups: use --driver kafka");
		return -EOPNOTSUPP;
	}
	check(options->share_index < options->share_count);
	struct driver_consumer *consumer = calloc(1, sizeof(*consumer));
	if (!consumer)
		return -ENOMEM;
	consumer->received = options->received;
	consumer->context = options->context;
	int rc = native_client_new(target, url ? url : target->url, &consumer->client);
	if (rc == 0) {
		rc = assign_all(consumer->client, options);
		if (rc < 0)
			rc = native_complain(consumer->client, "partitions", rc);
	}
	if (rc < 0) {
		sluice_close(consumer->client);
		free(consumer);
		return rc;
	}
	*ret = consumer;
	return 0;
}

/* Returns the number of its records. */
static int hand_on(struct driver_consumer *consumer, struct sluice_batch *batch)
{
	struct sluice_batch_info info;
	struct sluice_message message;
	int ran = 0;
	int rc;

	sluice_batch_info(batch, &info);
	if (info.error && !consumer->in_trouble)
		native_complain(consumer->client, "fetch", info.error);
	consumer->in_trouble = info.error != 0;
	while ((rc = sluice_batch_next(batch, &message)) == 1) {
		consumer->received(consumer->context, message.topic, message.value,
				   message.value_length);
		ran++;
	}
	sluice_batch_free(batch);
	return rc < 0 && !info.error ? native_complain(consumer->client, "fetch", rc) : ran;
}

int native_consumer_poll(struct driver_consumer *consumer, unsigned timeout_us)
{
	struct sluice_batch *batch;
	int ran = 0;
	int rc = 0;

	/* sluice_fetch counts milliseconds. */
	if (timeout_us && timeout_us < 1000)
		rc = driver_wait(sluice_fd(consumer->client), POLLIN, timeout_us);
	if (rc >= 0)
		rc = sluice_fetch(consumer->client, (int)(timeout_us / 1000), &batch);
	for (unsigned batches = 1; rc == 1; batches++) {
		rc = hand_on(consumer, batch);
		if (rc < 0)
			return rc;
		ran += rc;
		if (batches == BATCHES_A_POLL)
			break;
		rc = sluice_fetch(consumer->client, 0, &batch);
	}
	if (rc < 0 && rc != -EINTR)
		return native_complain(consumer->client, "fetch", rc);
	return ran;
}

void native_consumer_free(struct driver_consumer *consumer)
{
	if (!consumer)
		return;
	sluice_close(consumer->client);
	free(consumer);
}
