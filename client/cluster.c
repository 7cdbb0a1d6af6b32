/* The picture of brokers, topics and leaders, asked for when it is needed: a topic is new, a broker
 * has denied to lead a partition, or the picture is old.  One Metadata request is under way at a
 * time and names every topic of this client.
 *
 * A topic that no broker knows may be about to be made, so its error counts only after
 * topic.metadata.propagation.max.ms; other errors count at once. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "client/client_internal.h"
#include "dataplane/kafka/kafka_errors.h"
#include "kafka_messages.h"

enum {
	METADATA_VERSION_MAX = 12,
	TOPIC_NAME_MAX = 249,
	ERROR_KEPT_MS = 1000, /* before a topic in error is asked for again */
};

/* ---- brokers ---- */

static void lost(struct peer *peer, int rc, void *user)
{
	struct sluice_client *client = user;

	client_fail(client, rc, "%s://%s:%d: %s", peer->url.scheme, peer->url.host, peer->url.port,
		    sluice_error_text(client_error_of(rc)));
	cluster_refresh(client, NULL);
}

static void broker_free(struct broker *broker)
{
	for (int role = 0; role < BROKER_ROLES; role++)
		peer_fini(&broker->peers[role]);
	free(broker);
}

static int broker_add(struct sluice_client *client, struct list *to, int32_t id,
		      uint16_t datagram_port, const struct url *url)
{
	struct broker *broker = calloc(1, sizeof(*broker));

	if (!broker)
		return -ENOMEM;
	broker->id = id;
	broker->datagram_port = datagram_port;
	for (int role = 0; role < BROKER_ROLES; role++) {
		struct peer *peer = &broker->peers[role];
		int rc = peer_init(peer, &client->loop, &client->options, url);
		if (rc < 0) {
			while (role-- > 0)
				peer_fini(&broker->peers[role]);
			free(broker);
			return rc;
		}
		peer->told = lost;
		peer->user = client;
	}
	list_push_back(to, &broker->link);
	return 0;
}

static struct broker *find_broker(const struct sluice_client *client, int32_t id,
				  uint16_t datagram_port)
{
	list_foreach(node, &client->cluster.brokers) {
		struct broker *broker = container_of(node, struct broker, link);
		if (broker->id == id && broker->datagram_port == datagram_port)
			return broker;
	}
	return NULL;
}

struct broker *cluster_broker(const struct sluice_client *client, int32_t id)
{
	return find_broker(client, id, 0);
}

struct broker *cluster_leader(struct sluice_client *client, const struct partition *partition)
{
	struct broker *node = cluster_broker(client, partition->leader);
	uint16_t port = partition->datagram_port;

	if (!node || !port)
		return node;
	struct url url = node->peers[BROKER_MAIN].url;
	if (strcmp(url.scheme, "tcp") == 0 || url.port == port)
		return node;
	struct broker *shard = find_broker(client, partition->leader, port);
	if (shard)
		return shard;
	url.port = port;
	if (broker_add(client, &client->cluster.brokers, partition->leader, port, &url) < 0)
		return NULL;
	return find_broker(client, partition->leader, port);
}

static size_t list_length(const struct list *list)
{
	size_t length = 0;

	list_foreach(node, list)
		length++;
	return length;
}

size_t cluster_address_count(const struct sluice_client *client)
{
	return list_length(&client->cluster.brokers) + list_length(&client->cluster.bootstrap);
}

static struct broker *nth(const struct list *list, size_t index)
{
	list_foreach(node, list) {
		if (index-- == 0)
			return container_of(node, struct broker, link);
	}
	return NULL;
}

struct broker *cluster_any(const struct sluice_client *client, unsigned attempt)
{
	const struct cluster *cluster = &client->cluster;
	const struct list *lists[] = {&cluster->brokers, &cluster->bootstrap};

	for (size_t i = 0; attempt == 0 && i < array_count(lists); i++) {
		list_foreach(node, lists[i]) {
			struct broker *broker = container_of(node, struct broker, link);
			if (broker->peers[BROKER_MAIN].state == PEER_READY)
				return broker;
		}
	}
	size_t brokers = list_length(&cluster->brokers);
	size_t count = cluster_address_count(client);
	check(count > 0);
	size_t index = attempt % count;
	return index < brokers ? nth(&cluster->brokers, index)
			       : nth(&cluster->bootstrap, index - brokers);
}

int cluster_take_broker(struct sluice_client *client, int32_t id, const struct kafka_string *host,
			int32_t port)
{
	struct broker *first = nth(&client->cluster.bootstrap, 0);
	struct broker *broker = cluster_broker(client, id);
	struct url url = first->peers[BROKER_MAIN].url;

	/* The addresses told are those of the stream listeners; a datagram client stays with the
	 * one it was given, and so does who was told to. */
	if (strcmp(url.scheme, "tcp") == 0 && client->options.advertised) {
		if (host->length <= 0 || host->length >= URL_HOST_BYTES)
			return 0;
		memcpy(url.host, host->data, (size_t)host->length);
		url.host[host->length] = 0;
		url.port = port;
	}
	if (!broker)
		return broker_add(client, &client->cluster.brokers, id, 0, &url);
	for (int role = 0; role < BROKER_ROLES; role++)
		broker->peers[role].url = url; /* for the next connection */
	return 0;
}

/* ---- topics ---- */

/* FNV-1a */
static uint64_t hash_of(const char *name)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	return hash;
}

struct topic *cluster_topic_find(const struct sluice_client *client, const char *name)
{
	struct topic *topic = map64_get(&client->cluster.by_name, hash_of(name));

	while (topic && strcmp(topic->name, name) != 0)
		topic = topic->same_hash;
	return topic;
}

static void topic_free(struct topic *topic)
{
	for (int32_t i = 0; i < topic->partition_count; i++)
		free(topic->partitions[i]);
	free(topic->partitions);
	free(topic->name);
	free(topic);
}

static void wait_for(struct sluice_client *client, struct topic *topic)
{
	topic->error = 0;
	topic->answered = false;
	topic->wait_until_ns = client_deadline(client->options.topic_wait_ms);
}

static void refresh_at(struct cluster *cluster, uint64_t at_ns)
{
	if (cluster->stale && cluster->not_before_ns <= at_ns)
		return;
	cluster->stale = true;
	cluster->not_before_ns = at_ns;
}

int cluster_topic(struct sluice_client *client, const char *name, struct topic **ret)
{
	struct cluster *cluster = &client->cluster;
	struct topic *topic = cluster_topic_find(client, name);

	if (topic) {
		if (topic->error && loop_now() > topic->wait_until_ns + ERROR_KEPT_MS * NS_PER_MS)
			cluster_refresh(client, topic);
		*ret = topic;
		return 0;
	}
	size_t length = strlen(name);
	if (length == 0 || length > TOPIC_NAME_MAX)
		return -EINVAL;
	topic = calloc(1, sizeof(*topic));
	if (!topic)
		return -ENOMEM;
	topic->name = strdup(name);
	topic->sticky = -1;
	topic->same_hash = map64_get(&cluster->by_name, hash_of(name));
	list_init(&topic->parked);
	if (!topic->name || map64_put(&cluster->by_name, hash_of(name), topic) < 0) {
		topic_free(topic);
		return -ENOMEM;
	}
	list_push_back(&cluster->topics, &topic->link);
	wait_for(client, topic);
	refresh_at(cluster, 0);
	*ret = topic;
	return 0;
}

static struct partition *partition_new(struct topic *topic, int32_t index)
{
	struct partition *partition = calloc(1, sizeof(*partition));

	if (!partition)
		return NULL;
	partition->topic = topic;
	partition->index = index;
	partition->leader = CLIENT_NOBODY;
	partition->leader_epoch = -1;
	list_init(&partition->active);
	list_init(&partition->ready);
	return partition;
}

/* Partitions only ever become more; one that is not told of any more has no leader. */
static int grow(struct topic *topic, int32_t count)
{
	if (count <= topic->partition_count)
		return 0;
	struct partition **partitions = realloc(topic->partitions,
						(size_t)count * sizeof(struct partition *));
	if (!partitions)
		return -ENOMEM;
	topic->partitions = partitions;
	while (topic->partition_count < count) {
		struct partition *partition = partition_new(topic, topic->partition_count);
		if (!partition)
			return -ENOMEM;
		partitions[topic->partition_count++] = partition;
	}
	return 0;
}

/* Whether all partitions have a leader now. */
static bool take_partitions(struct topic *topic,
			    const struct kafka_metadata_response_metadata_response_topic *told)
{
	bool complete = told->partitions_count > 0;

	for (int32_t i = 0; i < topic->partition_count; i++)
		topic->partitions[i]->leader = CLIENT_NOBODY;
	for (int32_t i = 0; i < told->partitions_count; i++) {
		const struct kafka_metadata_response_metadata_response_partition *one =
			&told->partitions[i];
		if (one->partition_index < 0 || one->partition_index >= topic->partition_count)
			continue;
		struct partition *partition = topic->partitions[one->partition_index];
		partition->leader = one->leader_id;
		partition->leader_epoch = one->leader_epoch;
		partition->datagram_port = one->datagram_port;
		complete = complete && one->leader_id >= 0;
	}
	return complete;
}

/* Whether it is to be asked for again soon. */
static bool take_topic(struct sluice_client *client, struct topic *topic,
		       const struct kafka_metadata_response_metadata_response_topic *told)
{
	int error = client_kafka_error(told->error_code);

	if (error && client_retriable(error) && loop_now() < topic->wait_until_ns)
		return true;
	if (!error && grow(topic, told->partitions_count) < 0)
		error = -ENOMEM;
	topic->error = error;
	topic->answered = true;
	topic->id = told->topic_id;
	if (error) {
		client_fail(client, error, "topic '%s': %s", topic->name, sluice_error_text(error));
		topic->wait_until_ns = loop_now();
	}
	bool again = !error && !take_partitions(topic, told);
	producer_topic_changed(client, topic);
	return again;
}

/* ---- asking ---- */

static void pause_asking(struct sluice_client *client)
{
	struct cluster *cluster = &client->cluster;
	uint64_t pause_ms = (uint64_t)client->options.retry_backoff_ms;

	cluster->attempt++;
	cluster->stale = true;
	cluster->not_before_ns = loop_now() + (pause_ms ? pause_ms : 1) * NS_PER_MS;
}

static struct topic *topic_told(const struct sluice_client *client, const struct kafka_string *name)
{
	char text[TOPIC_NAME_MAX + 1];

	if (name->length <= 0 || name->length > TOPIC_NAME_MAX)
		return NULL;
	memcpy(text, name->data, (size_t)name->length);
	text[name->length] = 0;
	return cluster_topic_find(client, text);
}

void cluster_take_brokers(struct sluice_client *client,
			  const struct kafka_metadata_response *response)
{
	client->cluster.controller = response->controller_id;
	/* One that finds no memory is missing until the next answer. */
	for (int32_t i = 0; i < response->brokers_count; i++)
		cluster_take_broker(client, response->brokers[i].node_id,
				    &response->brokers[i].host, response->brokers[i].port);
}

static void take_metadata(struct sluice_client *client,
			  const struct kafka_metadata_response *response)
{
	bool again = false;

	cluster_take_brokers(client, response);
	for (int32_t i = 0; i < response->topics_count; i++) {
		struct topic *topic = topic_told(client, &response->topics[i].name);
		if (topic && take_topic(client, topic, &response->topics[i]))
			again = true;
	}
	if (again) {
		pause_asking(client);
		return;
	}
	client->cluster.attempt = 0;
	/* Unless somebody has wanted more meanwhile. */
	if (!client->cluster.stale)
		client->cluster.not_before_ns =
			client_deadline(client->options.metadata_max_age_ms);
}

static void metadata_done(struct request *request, int rc)
{
	struct sluice_client *client = request->user;

	client->cluster.asking = false;
	if (rc < 0)
		pause_asking(client);
	else
		take_metadata(client, request->response);
	request_free(request);
}

static int name_topics(struct sluice_client *client, struct request *request)
{
	struct kafka_metadata_request *message = request->message;
	size_t count = list_length(&client->cluster.topics);

	message->topics = arena_calloc(&request->arena, count, sizeof(*message->topics));
	if (!message->topics)
		return -ENOMEM;
	list_foreach(node, &client->cluster.topics) {
		const struct topic *topic = container_of(node, struct topic, link);
		message->topics[message->topics_count++].name = kafka_string_of(topic->name);
	}
	message->allow_auto_topic_creation = client->options.auto_create;
	return 0;
}

static void ask(struct sluice_client *client)
{
	struct cluster *cluster = &client->cluster;
	struct request *request = request_new(KAFKA_METADATA, metadata_done, client);

	if (!request || name_topics(client, request) < 0) {
		request_free(request);
		pause_asking(client);
		return;
	}
	request->version_max = METADATA_VERSION_MAX;
	cluster->asking = true;
	cluster->asked_ns = loop_now();
	cluster->stale = false;
	struct broker *broker = cluster_any(client, cluster->attempt);
	peer_send(&broker->peers[BROKER_MAIN], request, 0);
}

void cluster_refresh(struct sluice_client *client, struct topic *topic)
{
	struct cluster *cluster = &client->cluster;

	if (topic && (topic->error || topic->answered))
		wait_for(client, topic);
	/* At once, but not in a storm when the answers do not help. */
	refresh_at(cluster,
		   cluster->asked_ns + (uint64_t)client->options.retry_backoff_ms * NS_PER_MS);
}

static void timer_expired(struct timer *timer)
{
	struct sluice_client *client = container_of(timer, struct sluice_client, cluster.timer);

	client->cluster.stale = true;
	/* The pump that follows every turn does the rest. */
}

void cluster_pump(struct sluice_client *client)
{
	struct cluster *cluster = &client->cluster;

	if (cluster->asking || list_empty(&cluster->topics))
		return;
	if (cluster->stale && loop_now() >= cluster->not_before_ns)
		ask(client);
	else if (!cluster->timer.place || cluster->timer.due_ns != cluster->not_before_ns)
		loop_arm(&client->loop, &cluster->timer, cluster->not_before_ns);
}

/* ---- beginning and end ---- */

void cluster_init(struct sluice_client *client)
{
	struct cluster *cluster = &client->cluster;

	list_init(&cluster->brokers);
	list_init(&cluster->bootstrap);
	list_init(&cluster->topics);
	cluster->controller = CLIENT_NOBODY;
	cluster->timer.expired = timer_expired;
}

static int start_transport(struct sluice_client *client, const struct url *url,
			   char why[static URL_WHY_BYTES])
{
	const struct channel_ops *ops = channel_ops_find(url->scheme);
	int rc = ops->start ? ops->start(&client->loop, url, &client->options, why) : 0;

	if (rc == 0)
		client->cluster.transport = ops;
	return rc;
}

int cluster_bootstrap(struct sluice_client *client, const char *urls,
		      char why[static URL_WHY_BYTES])
{
	const char *at = urls ? urls : "";
	struct url first = {0};
	struct url url;

	while (at) {
		int rc = url_next(&at, &url, why);
		if (rc < 0)
			return rc;
		if (!channel_ops_find(url.scheme)) {
			snprintf(why, URL_WHY_BYTES,
				 "%s: there is no such transport, use tcp://, udp:// or dpdk:",
				 url.scheme);
			return -EPROTONOSUPPORT;
		}
		if (*first.scheme && strcmp(first.scheme, url.scheme) != 0) {
			snprintf(why, URL_WHY_BYTES, "%s: and %s: cannot be mixed", first.scheme,
				 url.scheme);
			return -EINVAL;
		}
		rc = *first.scheme ? 0 : start_transport(client, &url, why);
		if (rc < 0)
			return rc;
		first = url;
		rc = broker_add(client, &client->cluster.bootstrap, CLIENT_NOBODY, 0, &url);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void close_peers(struct list *brokers)
{
	list_foreach(node, brokers) {
		struct broker *broker = container_of(node, struct broker, link);
		for (int role = 0; role < BROKER_ROLES; role++)
			peer_fini(&broker->peers[role]);
	}
}

void cluster_close_peers(struct sluice_client *client)
{
	close_peers(&client->cluster.brokers);
	close_peers(&client->cluster.bootstrap);
}

static void free_brokers(struct list *brokers)
{
	struct list *node;

	while ((node = list_pop_front(brokers)))
		broker_free(container_of(node, struct broker, link));
}

void cluster_fini(struct sluice_client *client)
{
	struct cluster *cluster = &client->cluster;
	struct list *node;

	free_brokers(&cluster->brokers);
	free_brokers(&cluster->bootstrap);
	while ((node = list_pop_front(&cluster->topics)))
		topic_free(container_of(node, struct topic, link));
	map64_fini(&cluster->by_name);
	loop_disarm(&client->loop, &cluster->timer);
	if (cluster->transport && cluster->transport->stop)
		cluster->transport->stop(&client->loop);
}
