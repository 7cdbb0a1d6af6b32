/* Topics of the broker's own: made when first needed, kept by it alone. */
#include "control/internal_topics.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "control/control_internal.h"
#include "dataplane/message.h"
#include "dataplane/topics.h"

#include <stdio.h>
#include <string.h>

struct internal_rules {
	int64_t partition_count; /* when it is made */
	int64_t segment_bytes;
};

static struct internal_rules rules_of(const struct config *config, enum internal_topic topic)
{
	if (topic == INTERNAL_OFFSETS)
		return (struct internal_rules){config->offsets_topic_num_partitions,
					       config->offsets_topic_segment_bytes};
	check(topic == INTERNAL_TRANSACTIONS);
	return (struct internal_rules){config->transaction_state_log_num_partitions,
				       config->transaction_state_log_segment_bytes};
}

const char *internal_topic_name(enum internal_topic topic)
{
	static const char *const names[] = {
		[INTERNAL_OFFSETS] = OFFSETS_TOPIC,
		[INTERNAL_TRANSACTIONS] = TRANSACTIONS_TOPIC,
	};

	check(topic < array_count(names));
	return names[topic];
}

struct internal_topic_state internal_topic_state(const struct control *control,
						 enum internal_topic topic)
{
	const char *name = internal_topic_name(topic);
	const struct catalog_topic *made = catalog_find(control->catalog, name, strlen(name));
	struct internal_rules rules = rules_of(control->config, topic);

	return (struct internal_topic_state){
		.exists = made,
		.partition_count = made ? made->partition_count : (int32_t)rules.partition_count,
	};
}

/* As Kafka has it.  Whatever the defaults of other topics are, nothing of it may expire. */
static int overrides_of(const struct internal_rules *rules, struct topic_overrides *ret)
{
	char segment_bytes[32];
	const char *settings[][2] = {
		{"cleanup.policy", "compact"},
		{"segment.bytes", segment_bytes},
		{"message.timestamp.type", "CreateTime"},
	};
	char why[WHY_BYTES];
	int rc = 0;

	snprintf(segment_bytes, sizeof(segment_bytes), "%lld", (long long)rules->segment_bytes);
	for (size_t i = 0; rc == 0 && i < array_count(settings); i++)
		rc = topic_overrides_set(ret, settings[i][0], settings[i][1], why, sizeof(why));
	return rc;
}

static int create(struct control *control, enum internal_topic which)
{
	const struct internal_rules rules = rules_of(control->config, which);
	const char *name = internal_topic_name(which);
	int32_t count = (int32_t)rules.partition_count;
	const struct catalog_topic *topic;
	struct topic_overrides overrides = {0};

	if (catalog_partition_count(control->catalog) + count > control->config->max_partitions)
		return -ERR_LIMIT;
	int rc = overrides_of(&rules, &overrides);
	if (rc == 0)
		rc = catalog_create_topic(control->catalog, name, count, &overrides, &topic);
	topic_overrides_fini(&overrides);
	if (rc == 0)
		log_info("catalog", "topic created name=%s partitions=%d", name, count);
	return rc;
}

void internal_topics_wish(struct message *message, void *receiver)
{
	struct coordinator_wish *wish = container_of(message, struct coordinator_wish, message);
	struct control *control = receiver;
	unsigned self = mesh_control(control->mesh);

	wish->rc = 0;
	if (!internal_topic_state(control, wish->topic).exists)
		wish->rc = create(control, wish->topic);
	/* Where it is there already some partition does not open: the shards try again. */
	if (wish->rc == 0)
		publish_changes(control);
	message->handle = wish->granted;
	mesh_send(control->mesh, self, mesh_coordinator(control->mesh), message);
}
