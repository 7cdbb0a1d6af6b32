/* bench/suite/driver_kafka.h: librdkafka, as the producer's and the consumer's half need it. */
#pragma once
#include "bench/suite/driver.h"

#include <librdkafka/rdkafka.h>

/* Of librdkafka's names, ended by a null one. */
struct kafka_setting {
	const char *name;
	const char *value; /* null: the library's default stays */
};

/* -errno, and -EPROTO for what has none. */
int kafka_rc(rd_kafka_resp_err_t error);
/* The target's address and `own`, then the target's settings, which win.  -EINVAL, complained. */
int kafka_conf_new(const struct driver_target *target, const struct kafka_setting *own,
		   rd_kafka_conf_t **ret);
/* Takes conf, even when it fails. */
int kafka_client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **ret);
/* How many partitions the topic has.  -ENOENT, -EAGAIN: some have no leader yet; -errno. */
int kafka_partitions(rd_kafka_t *client, const char *topic, unsigned timeout_ms);
/* Where each partition ends, asked in one request a broker; those that have an offset keep it. */
rd_kafka_resp_err_t kafka_seek_ends(rd_kafka_t *client, rd_kafka_topic_partition_list_t *partitions,
				    unsigned timeout_ms);

/* ---- an eventfd that is readable when the queue has something: timeouts in microseconds ---- */

int kafka_signal_open(rd_kafka_queue_t *queue, int *ret_fd);
/* Queue first: what was in it before does not signal again.  As driver_wait. */
int kafka_signal_wait(int fd, unsigned timeout_us);

/* ---- the halves ---- */

int kafka_producer_new(const struct driver_target *target, driver_delivered *delivered,
		       void *context, struct driver_producer **ret);
int kafka_produce(struct driver_producer *producer, const struct driver_record *record,
		  uint64_t tag);
int kafka_producer_poll(struct driver_producer *producer, unsigned timeout_us);
int kafka_producer_flush(struct driver_producer *producer, unsigned timeout_ms);
void kafka_producer_free(struct driver_producer *producer);

int kafka_consumer_new(const struct driver_target *target,
		       const struct driver_consumer_options *options, struct driver_consumer **ret);
int kafka_consumer_poll(struct driver_consumer *consumer, unsigned timeout_us);
void kafka_consumer_free(struct driver_consumer *consumer);
