/* Produces and consumes orders with librdkafka:
 *
 *   orders produce COUNT      sends orders, each under the key of its customer
 *   orders consume COUNT      works on that many as a member of the group `billing-c` */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char topic[] = "orders";
static long failed;

static void fail(const char *what)
{
	fprintf(stderr, "orders: %s\n", what);
	exit(1);
}

static void delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *user)
{
	(void)client;
	(void)user;
	if (message->err)
		failed++;
}

static rd_kafka_t *open_client(rd_kafka_type_t type, const char *const settings[][2])
{
	const char *broker = getenv("BROKER");
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char why[512];

	rd_kafka_conf_set_dr_msg_cb(conf, delivered);
	if (rd_kafka_conf_set(conf, "bootstrap.servers", broker ? broker : "127.0.0.1:9092", why,
			      sizeof(why)))
		fail(why);
	for (size_t i = 0; settings[i][0]; i++) {
		if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof(why)))
			fail(why);
	}
	rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof(why));
	if (!client)
		fail(why);
	return client;
}

static void produce(long count)
{
	/* Idempotence: what is sent again after a lost answer is stored once, in order. */
	static const char *const settings[][2] = {{"enable.idempotence", "true"}, {NULL}};
	rd_kafka_t *client = open_client(RD_KAFKA_PRODUCER, settings);
	char key[32];
	char value[64];
	char id[32];

	for (long number = 0; number < count; number++) {
		/* One key, one partition: a customer's orders stay in order.  The header is for the
		 * dedup window, whoever sends the order again. */
		snprintf(key, sizeof(key), "customer-%ld", number % 3);
		snprintf(value, sizeof(value), "{\"order\":%ld}", number);
		snprintf(id, sizeof(id), "order-%ld", number);
		rd_kafka_resp_err_t error = rd_kafka_producev(
			client, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY(key, strlen(key)),
			RD_KAFKA_V_VALUE(value, strlen(value)),
			RD_KAFKA_V_HEADER("dedup-id", id, -1),
			RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK),
			RD_KAFKA_V_END);
		if (error)
			fail(rd_kafka_err2str(error));
		rd_kafka_poll(client, 0);
	}
	if (rd_kafka_flush(client, 60000) || failed)
		fail("not all orders were stored");
	rd_kafka_destroy(client);
	printf("%ld orders are stored\n", count);
}

static void subscribe(rd_kafka_t *client)
{
	rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);

	rd_kafka_poll_set_consumer(client);
	rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
	if (rd_kafka_subscribe(client, topics))
		fail("cannot subscribe");
	rd_kafka_topic_partition_list_destroy(topics);
}

static void consume(long count)
{
	static const char *const settings[][2] = {{"group.id", "billing-c"},
						  {"auto.offset.reset", "earliest"},
						  {"enable.auto.commit", "false"},
						  {NULL}};
	rd_kafka_t *client = open_client(RD_KAFKA_CONSUMER, settings);
	long done = 0;

	subscribe(client);
	while (done < count) {
		rd_kafka_message_t *message = rd_kafka_consumer_poll(client, 1000);
		if (!message)
			continue;
		if (message->err)
			fail(rd_kafka_message_errstr(message));
		done++; /* the work */
		/* After the work: what a crash interrupts is given again, to whoever takes over. */
		if (rd_kafka_commit_message(client, message, 0))
			fail("cannot commit");
		rd_kafka_message_destroy(message);
	}
	rd_kafka_consumer_close(client);
	rd_kafka_destroy(client);
	printf("%ld orders are billed\n", done);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		fail("orders produce|consume COUNT");
	if (strcmp(argv[1], "produce") == 0)
		produce(strtol(argv[2], NULL, 10));
	else
		consume(strtol(argv[2], NULL, 10));
	return 0;
}
