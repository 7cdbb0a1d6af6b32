/* The cluster and its brokers. */
#include "base/clock.h"
#include "client/sluice.h"
#include "control/http/ask.h"
#include "control/http/v1/v1.h"
#include "control/view.h"

#include <errno.h>
#include <microhttpd.h>
#include <string.h>

struct facts {
	bool known; /* there is a picture */
	char cluster_id[UUID_TEXT_BYTES];
	char host[256];
	uint16_t port;
	int32_t node_id;
	size_t topics;
	int64_t partitions;
	const char *io;
};

static void look(struct control *control, void *context)
{
	const struct topics *topics = control_topics(control);
	struct facts *facts = context;

	if (!topics)
		return;
	*facts = (struct facts){
		.known = true,
		.port = topics->port,
		.node_id = topics->node_id,
		.topics = topics->count,
		.partitions = control_partition_count(control),
		.io = control_io_name(control),
	};
	memcpy(facts->cluster_id, topics->cluster_id, sizeof(facts->cluster_id));
	memcpy(facts->host, topics->host, sizeof(facts->host));
}

void v1_cluster(const struct http_request *request, struct http_answer *answer)
{
	const struct control *control = request->control;
	struct facts facts = {0};
	int rc = ask_control(request->control, look, &facts);

	if (rc < 0 || !facts.known) {
		answer_failure(answer, rc < 0 ? rc : -EAGAIN, "the broker is starting or stopping");
		return;
	}
	uint64_t up_ns = clock_monotonic_ns(clock_system()) - control_started_ns(control);
	json_t *json = json_pack("{s:s, s:i, s:s, s:b, s:I, s:s, s:i, s:I, s:I, s:i, s:s}",
				 "cluster_id", facts.cluster_id, "broker_id", facts.node_id,
				 "version", sluice_version(), "ready", control_is_ready(control),
				 "uptime_ms", (json_int_t)(up_ns / NS_PER_MS), "host", facts.host,
				 "port", facts.port, "topics", (json_int_t)facts.topics,
				 "partitions", (json_int_t)facts.partitions, "shards",
				 (int)control_shard_count(control), "io", facts.io);
	answer_json(answer, MHD_HTTP_OK, json);
}

void v1_brokers(const struct http_request *request, struct http_answer *answer)
{
	static const char *const no_topics[1];
	struct sluice_client *client = v1_client(request, answer);
	struct sluice_metadata *metadata = NULL;

	if (!client)
		return;
	int rc = sluice_metadata(client, no_topics, 0, &metadata);
	if (rc < 0) {
		v1_failed(request, answer, rc);
		return;
	}
	json_t *brokers = json_array();
	for (size_t i = 0; i < metadata->broker_count; i++) {
		const struct sluice_broker *broker = &metadata->brokers[i];
		json_array_append_new(
			brokers, json_pack("{s:i, s:s, s:i, s:s?, s:b}", "id", broker->id, "host",
					   broker->host, "port", broker->port, "rack", broker->rack,
					   "controller", broker->id == metadata->controller));
	}
	answer_json(answer, MHD_HTTP_OK, json_pack("{s:o}", "brokers", brokers));
	sluice_metadata_free(metadata);
}
