/* bench/suite/driver.h: what the suite asks of a client library.
 *
 * Phases: topics are made by one thread; then each producer and consumer is opened, used and freed
 * by a thread of its own; then topics are deleted.  A driver keeps nothing outside its objects, and
 * measures nothing: callbacks come, inside poll or produce, as soon as the library knows.
 *
 * Returns: 0 or a count; -errno, or -EPROTO for an answer of the broker's; driver_complain has said
 * why, for people. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum driver_acks {
	DRIVER_ACKS_NONE,
	DRIVER_ACKS_ONE,
	DRIVER_ACKS_ALL,
};

/* "0", "1", "all", as Kafka calls them. */
static inline const char *driver_acks_text(enum driver_acks acks)
{
	static const char *const texts[] = {"0", "1", "all"};

	return texts[acks];
}

/* Where, and how; the workload's own. */
struct driver_target {
	const char *url;             /* as the driver understands it */
	const char *const *settings; /* "key=value" of the library's own, ended by null */
	enum driver_acks acks;
	uint32_t batch_bytes_max; /* 0: the library's default; so too below */
	uint32_t linger_us;
	uint32_t window; /* records that may be under way in one producer */
	const char *compression;
	bool dedup; /* each record has an id, and the topic a window */
};

struct driver_record {
	const char *topic;
	int32_t partition; /* -1: as the library chooses by the key */
	const void *key;   /* null: none */
	size_t key_bytes;
	const void *value;
	size_t value_bytes;
	uint64_t id; /* with dedup: unique in the run */
};

struct driver_producer;
struct driver_consumer;

/* rc 0: stored as acks demands. */
typedef void driver_delivered(void *context, uint64_t tag, int rc);
/* The value is valid during the call. */
typedef void driver_received(void *context, const char *topic, const void *value,
			     size_t value_bytes);

struct driver_consumer_options {
	const char *const *topics; /* ended by null */
	const char *group; /* competing consumers; null: all partitions are assigned to it */
	/* Without a group: only partitions p with p % share_count == share_index, which may be
	 * none. */
	unsigned share_index;
	unsigned share_count;
	bool from_earliest; /* else what comes after consumer_new has returned */
	driver_received *received;
	void *context;
};

/* What a client says first on a TCP connection, and is answered. */
struct driver_hello {
	const char *text;
	size_t bytes;
	uint16_t default_port;
};

struct driver {
	const char *name;
	const char *help; /* one line: what it talks to, with which library */
	const char *default_url;
	/* The library's and the broker's version, for the report.  0, or -errno; text is cut. */
	int (*version)(const struct driver_target *target, char *text, size_t bytes);
	/* Empty, with one replica.  `configs` are of the broker's own, "key=value". */
	int (*topic_create)(const struct driver_target *target, const char *topic,
			    unsigned partitions, const char *const *configs);
	int (*topic_delete)(const struct driver_target *target, const char *topic);

	int (*producer_new)(const struct driver_target *target, driver_delivered *delivered,
			    void *context, struct driver_producer **ret);
	/* Copies the record.  `tag` comes back with delivered, once.  -EAGAIN: the window is full,
	 * nothing was taken: poll. */
	int (*produce)(struct driver_producer *producer, const struct driver_record *record,
		       uint64_t tag);
	/* Runs callbacks; waits up to timeout_us for the first.  Returns how many ran. */
	int (*producer_poll)(struct driver_producer *producer, unsigned timeout_us);
	/* What lingers leaves now; -ETIMEDOUT: some is still under way. */
	int (*producer_flush)(struct driver_producer *producer, unsigned timeout_ms);
	/* Null is fine. */
	void (*producer_free)(struct driver_producer *producer);

	/* Returns when records that are produced from now on will be received. */
	int (*consumer_new)(const struct driver_target *target,
			    const struct driver_consumer_options *options,
			    struct driver_consumer **ret);
	/* Likewise. */
	int (*consumer_poll)(struct driver_consumer *consumer, unsigned timeout_us);
	void (*consumer_free)(struct driver_consumer *consumer);

	/* Makes connections that do nothing.  Null: that takes more than a word. */
	const struct driver_hello *hello;
};

/* ---- driver.c ---- */

/* Null: there is none of that name, or it was not built. */
const struct driver *driver_find(const char *name);
/* Null past the last one. */
const struct driver *driver_at(size_t index);

/* ---- driver_complain.c ---- */

/* "sluice-bench: kafka: ..." on standard error.  Any thread. */
void driver_complain(const struct driver *driver, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- what is built, each in driver_NAME.c ---- */
extern const struct driver driver_sluice; /* libsluice: tcp, udp, dpdk */
#ifdef HAVE_RDKAFKA
extern const struct driver driver_kafka; /* librdkafka: any Kafka broker, Sluice too */
#endif
#ifdef HAVE_HIREDIS
extern const struct driver driver_redis; /* Redis Streams */
#endif
#ifdef HAVE_NATS
extern const struct driver driver_nats; /* JetStream */
#endif
#ifdef HAVE_RABBITMQ
extern const struct driver driver_rabbitmq; /* streams over AMQP 0-9-1 */
#endif
