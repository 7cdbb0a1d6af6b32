/* Topics of the broker's own: made when first needed, kept by it alone. */
#include "control/control_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "dataplane/message.h"
#include "dataplane/topics.h"

#include <stdio.h>
#include <string.h>

/* As Kafka has it.  Whatever the defaults of other topics are, nothing of it may expire. */
static int offsets_overrides(const struct config *config, struct topic_overrides *ret)
{
	char segment_bytes[32];
	const char *settings[][2] = {
		{"cleanup.policy", "compact"},
		{"segment.bytes", segment_bytes},
		{"message.timestamp.type", "CreateTime"},
	};
	char why[WHY_BYTES];
	int rc = 0;

	snprintf(segment_bytes, sizeof(segment_bytes), "%lld",
		 (long long)config->offsets_topic_segment_bytes);
	for (size_t i = 0; rc == 0 && i < array_count(settings); i++)
		rc = topic_overrides_set(ret, settings[i][0], settings[i][1], why, sizeof(why));
	return rc;
}

static int create_offsets_topic(struct control *control)
{
	const struct config *config = control->config;
	int32_t count = (int32_t)config->offsets_topic_num_partitions;
	const struct catalog_topic *topic;
	struct topic_overrides overrides = {0};

	if (catalog_partition_count(control->catalog) + count > config->max_partitions)
		return -ERR_LIMIT;
	int rc = offsets_overrides(config, &overrides);
	if (rc == 0)
		rc = catalog_create_topic(control->catalog, OFFSETS_TOPIC, count, &overrides,
					  &topic);
	topic_overrides_fini(&overrides);
	if (rc == 0)
		log_info("catalog", "topic created name=%s partitions=%d", OFFSETS_TOPIC, count);
	return rc;
}

void internal_topics_wish(struct message *message, void *receiver)
{
	struct coordinator_wish *wish = container_of(message, struct coordinator_wish, message);
	struct control *control = receiver;
	unsigned self = mesh_control(control->mesh);

	wish->rc = 0;
	if (!catalog_find(control->catalog, OFFSETS_TOPIC, strlen(OFFSETS_TOPIC)))
		wish->rc = create_offsets_topic(control);
	/* Where it is there already some partition does not open: the shards try again. */
	if (wish->rc == 0)
		publish_changes(control);
	message->handle = wish->granted;
	mesh_send(control->mesh, self, mesh_coordinator(control->mesh), message);
}
