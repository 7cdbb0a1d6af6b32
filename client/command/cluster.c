#include <inttypes.h>

#include "client/command/command.h"
#include "client/command/output.h"

static size_t partition_total(const struct sluice_metadata *metadata)
{
	size_t total = 0;

	for (size_t i = 0; i < metadata->topic_count; i++)
		total += metadata->topics[i].partition_count;
	return total;
}

static void info_json(const struct sluice_metadata *metadata)
{
	fputs("{\"cluster_id\":", stdout);
	json_string(stdout, metadata->cluster_id);
	printf(",\"controller\":%" PRId32 ",\"topics\":%zu,\"partitions\":%zu,\"brokers\":[",
	       metadata->controller, metadata->topic_count, partition_total(metadata));
	for (size_t i = 0; i < metadata->broker_count; i++) {
		const struct sluice_broker *broker = &metadata->brokers[i];
		printf("%s{\"id\":%" PRId32 ",\"host\":", i ? "," : "", broker->id);
		json_string(stdout, broker->host);
		printf(",\"port\":%" PRId32 ",\"rack\":", broker->port);
		json_string(stdout, broker->rack);
		putchar('}');
	}
	puts("]}");
}

static void info_table(const struct sluice_metadata *metadata)
{
	struct table table;

	printf("cluster %s: %zu topics, %zu partitions\n\n",
	       metadata->cluster_id ? metadata->cluster_id : "-", metadata->topic_count,
	       partition_total(metadata));
	table_init(&table, 5, "BROKER", "HOST", "PORT", "RACK", "CONTROLLER");
	for (size_t i = 0; i < metadata->broker_count; i++) {
		const struct sluice_broker *broker = &metadata->brokers[i];
		table_add(&table, "%" PRId32, broker->id);
		table_add(&table, "%s", broker->host);
		table_add(&table, "%" PRId32, broker->port);
		table_add(&table, "%s", broker->rack ? broker->rack : "-");
		table_add(&table, "%s", broker->id == metadata->controller ? "yes" : "");
	}
	table_finish(&table);
}

int verb_cluster_info(struct invocation *invocation)
{
	struct sluice_metadata *metadata;
	int rc = sluice_metadata(invocation->client, NULL, 0, &metadata);

	if (rc < 0)
		return complain_of(invocation, rc);
	if (invocation->json)
		info_json(metadata);
	else
		info_table(metadata);
	sluice_metadata_free(metadata);
	return output_finish(EXIT_DONE);
}
