/* A consumer over libnats: pulls from a JetStream consumer for each stream, as the library's pull
 * subscription does, but with the next pull under way before the last one is used up.
 *
 * All pulls of one consumer are answered below one subscription.  A record's subject is its stream;
 * a status ("this pull has ended") comes with "INBOX.index" as its subject.
 *
 *     without a group: JetStream consumers of our own, nothing acknowledged
 *     in a group:      durable ones of the group's name, each record acknowledged */
#include "bench/suite/driver_common.h"
#include "bench/suite/driver_nats.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BATCH_DEFAULT = 500, /* records a pull asks for */
	SUBJECT_BYTES = 96,
	REQUEST_SUBJECT_BYTES = 400,
	IDLE_S = 3600, /* consumers may stand still while a backlog grows */
	ACKS_PENDING_MAX = 20000,
	LEAVE_MS = 5000,
};

struct source {
	const char *stream; /* the topic's */
	const char *topic;  /* so too */
	char *pull;         /* the subject that pulls are asked of; owned */
	unsigned due;       /* records that are still to come of the pulls under way */
};

struct driver_consumer {
	struct nats_link link;
	natsSubscription *answers;
	char inbox[SUBJECT_BYTES - 24]; /* with its dot */
	struct topics topics;
	struct source *sources;
	size_t source_count;
	size_t source_last; /* records come in runs */
	unsigned batch;
	bool grouped;
	int failure;
	driver_received *received;
	void *context;
};

/* ---- opening ---- */

static int add_topic(struct driver_consumer *consumer, struct nats_admin *admin, const char *name,
		     const struct driver_consumer_options *options)
{
	struct source *sources;
	struct topic *topic;
	unsigned p;
	int rc = nats_topic(admin, &consumer->topics, name, &topic);

	if (rc < 0)
		return rc;
	sources = reallocarray(consumer->sources, consumer->source_count + topic->partition_count,
			       sizeof(*sources));
	if (!sources)
		return -ENOMEM;
	consumer->sources = sources;
	for (p = 0; p < topic->partition_count; p++)
		if (options->group || p % options->share_count == options->share_index)
			sources[consumer->source_count++] = (struct source){
				.stream = topic->partitions[p], .topic = topic->name};
	return 0;
}

/* Where it starts is decided by the server when it makes it. */
static int open_source(struct nats_admin *admin, struct source *source,
		       const struct driver_consumer_options *options)
{
	char subject[REQUEST_SUBJECT_BYTES];
	jsConsumerInfo *info = NULL;
	jsConsumerConfig config;
	natsStatus status;

	jsConsumerConfig_Init(&config);
	config.DeliverPolicy = options->from_earliest ? js_DeliverAll : js_DeliverNew;
	config.AckPolicy = options->group ? js_AckExplicit : js_AckNone;
	config.Durable = options->group;
	if (options->group) {
		config.MaxAckPending = ACKS_PENDING_MAX;
	} else {
		config.MemoryStorage = true;
		config.InactiveThreshold = (int64_t)IDLE_S * 1000000000;
	}
	status = js_AddConsumer(&info, admin->stream, source->stream, &config, NULL, NULL);
	if (status != NATS_OK)
		return nats_failed(source->stream, status);
	snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.MSG.NEXT.%s.%s", source->stream,
		 info->Name);
	jsConsumerInfo_Destroy(info);
	source->pull = strdup(subject);
	return source->pull ? 0 : -ENOMEM;
}

static int open_sources(struct driver_consumer *consumer, const char *url,
			const struct driver_consumer_options *options)
{
	const char *const *topic;
	struct nats_admin admin;
	size_t i;
	int rc = nats_admin_open(&admin, url);

	for (topic = options->topics; rc == 0 && *topic; topic++)
		rc = add_topic(consumer, &admin, *topic, options);
	for (i = 0; rc == 0 && i < consumer->source_count; i++)
		rc = open_source(&admin, &consumer->sources[i], options);
	nats_admin_close(&admin);
	return rc;
}

static int subscribe(struct driver_consumer *consumer)
{
	char subject[SUBJECT_BYTES];
	natsInbox *inbox = NULL;
	natsStatus status = natsInbox_Create(&inbox);

	if (status == NATS_OK) {
		snprintf(consumer->inbox, sizeof(consumer->inbox), "%s.", (const char *)inbox);
		snprintf(subject, sizeof(subject), "%s*", consumer->inbox);
		status = natsConnection_SubscribeSync(&consumer->answers, consumer->link.connection,
						      subject);
	}
	natsInbox_Destroy(inbox);
	/* Read at once whenever they come: the pulls are the limit. */
	if (status == NATS_OK)
		status = natsSubscription_SetPendingLimits(consumer->answers, -1, -1);
	return status == NATS_OK ? 0 : nats_failed("subscribe", status);
}

int nats_consumer_new(const struct driver_target *target,
		      const struct driver_consumer_options *options, struct driver_consumer **ret)
{
	struct driver_consumer *consumer = calloc(1, sizeof(*consumer));
	uint64_t batch = BATCH_DEFAULT;
	int rc;

	if (!consumer)
		return -ENOMEM;
	consumer->grouped = options->group != NULL;
	consumer->received = options->received;
	consumer->context = options->context;
	rc = driver_settings_check(&driver_nats, target->settings, nats_settings);
	if (rc == 0)
		rc = driver_setting_number(&driver_nats, target, "batch", batch, 1, 100000, &batch);
	consumer->batch = (unsigned)batch;
	if (rc == 0)
		rc = open_sources(consumer, target->url, options);
	if (rc == 0)
		rc = nats_link_open(&consumer->link, target);
	if (rc == 0)
		rc = subscribe(consumer);
	if (rc < 0) {
		nats_consumer_free(consumer);
		return rc;
	}
	*ret = consumer;
	return 0;
}

/* ---- pulling ---- */

static int pull(struct driver_consumer *consumer, size_t index)
{
	struct source *source = &consumer->sources[index];
	char reply[SUBJECT_BYTES], request[32];
	int bytes = snprintf(request, sizeof(request), "{\"batch\":%u}", consumer->batch);
	natsStatus status;

	snprintf(reply, sizeof(reply), "%s%zu", consumer->inbox, index);
	status = natsConnection_PublishRequest(consumer->link.connection, source->pull, reply,
					       request, bytes);
	if (status != NATS_OK)
		return nats_failed(source->stream, status);
	source->due += consumer->batch;
	return 0;
}

/* Half a batch before a pull is used up the next one goes out. */
static int pull_all(struct driver_consumer *consumer)
{
	bool asked = false;
	size_t i;
	int rc = 0;

	for (i = 0; rc == 0 && i < consumer->source_count; i++)
		if (consumer->sources[i].due <= consumer->batch / 2) {
			rc = pull(consumer, i);
			asked = true;
		}
	return rc == 0 && asked ? nats_link_send(&consumer->link) : rc;
}

static struct source *source_of(struct driver_consumer *consumer, const char *stream)
{
	size_t i;

	if (!strcmp(consumer->sources[consumer->source_last].stream, stream))
		return &consumer->sources[consumer->source_last];
	for (i = 0; i < consumer->source_count; i++)
		if (!strcmp(consumer->sources[i].stream, stream)) {
			consumer->source_last = i;
			return &consumer->sources[i];
		}
	return NULL;
}

/* 404 and 408: the pull has ended; the next one is due at once.  Else it is an error. */
static void take_status(struct driver_consumer *consumer, natsMsg *message)
{
	const char *subject = natsMsg_GetSubject(message);
	size_t index = strtoul(subject + strlen(consumer->inbox), NULL, 10);
	const char *status = "no such consumer", *why = "";

	if (index < consumer->source_count)
		consumer->sources[index].due = 0;
	natsMsgHeader_Get(message, "Status", &status);
	natsMsgHeader_Get(message, "Description", &why);
	if (!strcmp(status, "404") || !strcmp(status, "408"))
		return;
	driver_complain(&driver_nats, "pull: %s %s", status, why);
	consumer->failure = -EPROTO;
}

static int take(struct driver_consumer *consumer, natsMsg *message)
{
	const char *subject = natsMsg_GetSubject(message);
	const char *reply = natsMsg_GetReply(message);
	struct source *source;
	natsStatus status = NATS_OK;

	if (!strncmp(subject, consumer->inbox, strlen(consumer->inbox))) {
		take_status(consumer, message);
		return 0;
	}
	source = source_of(consumer, subject);
	if (!source)
		return 0;
	if (source->due)
		source->due--;
	consumer->received(consumer->context, source->topic, natsMsg_GetData(message),
			   (size_t)natsMsg_GetDataLength(message));
	if (consumer->grouped && reply)
		status = natsConnection_Publish(consumer->link.connection, reply, "+ACK", 4);
	if (status != NATS_OK)
		consumer->failure = nats_failed("acknowledge", status);
	return 1;
}

/* Messages that have been read. */
static int serve(struct driver_consumer *consumer)
{
	natsMsg *message = NULL;
	int count = 0;

	while (!consumer->failure &&
	       natsSubscription_NextMsg(&message, consumer->answers, 0) == NATS_OK) {
		count += take(consumer, message);
		natsMsg_Destroy(message);
	}
	if (count && consumer->grouped && !consumer->failure)
		consumer->failure = nats_link_send(&consumer->link);
	return count;
}

int nats_consumer_poll(struct driver_consumer *consumer, unsigned timeout_us)
{
	int count;

	if (!consumer->failure)
		consumer->failure = pull_all(consumer);
	if (!consumer->failure)
		consumer->failure = nats_link_wait(&consumer->link, true, 0);
	count = serve(consumer);
	if (!count && timeout_us && !consumer->failure) {
		consumer->failure = nats_link_wait(&consumer->link, true, timeout_us);
		count = serve(consumer);
	}
	return count ? count : consumer->failure;
}

/* ---- leaving ---- */

/* What is on its way to a member would come to others only when its acknowledgement is overdue: it
 * is waited for and taken. */
static void leave(struct driver_consumer *consumer)
{
	uint64_t deadline_us = driver_now_us() + LEAVE_MS * UINT64_C(1000);

	if (natsSubscription_Drain(consumer->answers) != NATS_OK)
		return;
	while (!consumer->failure && driver_left_us(deadline_us) &&
	       natsSubscription_WaitForDrainCompletion(consumer->answers, 1) == NATS_TIMEOUT) {
		consumer->failure = nats_link_send(&consumer->link);
		if (!consumer->failure)
			consumer->failure = nats_link_wait(&consumer->link, true, 1000);
		serve(consumer);
	}
	if (!consumer->failure)
		nats_link_send(&consumer->link);
}

void nats_consumer_free(struct driver_consumer *consumer)
{
	size_t i;

	if (!consumer)
		return;
	if (consumer->answers && consumer->grouped && !consumer->failure)
		leave(consumer);
	natsSubscription_Destroy(consumer->answers);
	nats_link_close(&consumer->link);
	for (i = 0; i < consumer->source_count; i++)
		free(consumer->sources[i].pull);
	free(consumer->sources);
	topics_fini(&consumer->topics);
	free(consumer);
}
