/* sluice.h: libsluice, a client of Sluice and of any other broker that speaks the Kafka protocol.
 *
 * A client is a producer, a consumer of partitions it assigns itself, and an administrator, over
 * one set of connections.  It starts no thread and installs no signal handler: everything happens
 * inside the calls below.
 *
 *   struct sluice_client *client;
 *   int rc = sluice_open(&client, "tcp://127.0.0.1:9092", NULL);
 *   if (rc == 0)
 *       rc = sluice_produce_sync(client, &record, &delivery);
 *
 * Two ways to use it, which mix:
 *   blocking       the calls with a timeout do the client's work until they have an answer;
 *   asynchronous   start things, watch sluice_fd() for reading in an event loop of your own, call
 *                  sluice_process(client, 0) when it is readable: that runs the callbacks.
 * A client that nobody calls does nothing: no batch leaves, no answer is read.
 *
 * Threads: a client, and all that it hands out, belongs to one thread at a time; a handover needs
 * what any handover of memory needs.  Different clients share nothing.  Only sluice_interrupt() may
 * be called from any thread, or a signal handler, at any time before sluice_close begins.
 * Callbacks run inside the call that was made, never later, never elsewhere.  Inside a callback,
 * the calls that wait (marked `waits`) and sluice_close return -EDEADLK; all others are fine.
 *
 * Returns: 0 or a count; below zero an error: -errno of the machine or the library (-EAGAIN,
 * -ETIMEDOUT, ...) or -SLUICE_KAFKA(code), the broker's own answer.  Outputs (`ret`) are written on
 * success only.  sluice_error_text() has a sentence for each, sluice_last_error() more of the
 * story. A timeout is in milliseconds; 0 looks once, -1 has no end. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLUICE_KAFKA(code) (8192 + (code)) /* code as in the protocol, -1 (unknown) to 999 */

const char *sluice_version(void);      /* "0.1.0", of the library that runs */
const char *sluice_error_text(int rc); /* static */
/* "TOPIC_ALREADY_EXISTS", "ETIMEDOUT", ...; static */
const char *sluice_error_name(int rc);

/* ---- options ---- */

/* By the names that Kafka's clients use, where the meaning is theirs; sluice_option_at lists all.
 */
struct sluice_options;

int sluice_options_new(struct sluice_options **ret);
void sluice_options_free(struct sluice_options *options); /* null is fine */
/* -ENOENT: no such option; -EINVAL: not a value for it; -ERANGE: outside its bounds.  A size may
 * end in k or m, a choice is one of its words. */
int sluice_options_set(struct sluice_options *options, const char *name, const char *value);
/* The sentence for the last failure of sluice_options_set: which values it takes, or the nearest
 * name.  Valid until the next call on `options`. */
const char *sluice_options_error(const struct sluice_options *options);

struct sluice_option {
	const char *name;
	const char
		*type; /* "count", "bytes", "ms", "bool", "text" or the choices: "none|gzip|..." */
	int64_t min;
	int64_t max;
	const char *default_text;
	const char *help; /* a sentence */
};
const struct sluice_option *sluice_option_at(size_t index); /* null past the last one */

/* ---- the client ---- */

struct sluice_client;

/* `urls`, separated by commas, are where to begin; more brokers are learnt from the first that
 * answers: tcp://host:port (or host:port), udp://host:port for the datagram transport over a kernel
 * socket, dpdk:DEVICE?address=IP/PREFIX&peer=HOST:PORT for the same over a port of DPDK, see below.
 * `options`, null for the defaults, are copied.  Connects to nothing yet; host names are looked up
 * when needed, and that look-up blocks.
 * -EINVAL: not a URL, or mixed schemes (sluice_open_error has the sentence); -EPROTONOSUPPORT: no
 * such scheme.  Over dpdk: also -EBUSY: a client of this process has the port; -ECONNREFUSED:
 * nobody serves the memif; -errno of DPDK.
 *
 * DEVICE is a PCI address, or a virtual device with its arguments as in DPDK's --vdev:
 * dpdk:net_memif0,role=client,id=0,socket=/run/x?address=10.77.0.2/24&peer=10.77.0.1:9092.  `peer`
 * is the broker's first shard.  Further settings: gateway=IP, mtu=BYTES, queues=N (1; over a memif
 * as many as the broker's dpdk.queues), poll=adaptive|busy.  A port has no descriptor, so calls
 * that wait ask it again and again; after a millisecond of silence they nap between two looks, for
 * 50 microseconds to 1 ms, unless poll=busy.  sluice_fd() then becomes readable when a look is due,
 * with poll=busy it always is. DPDK's environment is started by the first such sluice_open, with a
 * thread of its own, for as long as the process lives, and takes memory for that port: one such
 * client at a time, and those after it with a port that is no larger; a PCI device only once.  Best
 * opened in the thread that uses it. */
int sluice_open(struct sluice_client **ret, const char *urls, const struct sluice_options *options);
/* The sentence for the last failure of sluice_open in this thread. */
const char *sluice_open_error(void);
/* Records not delivered yet are reported with -ECANCELED first: sluice_flush before.  Batches that
 * were fetched must be freed before.  Null is fine. */
int sluice_close(struct sluice_client *client);

/* A descriptor that polls readable when sluice_process has something to do; never read or write it.
 * Its owner is the client. */
int sluice_fd(const struct sluice_client *client);
/* Does what is due; waits up to `timeout_ms` for something to become due.  Returns how many events
 * were handled, -EINTR after sluice_interrupt.  waits */
int sluice_process(struct sluice_client *client, int timeout_ms);
/* Ends the call that waits, or the next one that would, with -EINTR, once. */
void sluice_interrupt(struct sluice_client *client);
/* What went wrong last, with names and addresses; "" when nothing has.  Valid until the next call.
 */
const char *sluice_last_error(const struct sluice_client *client);

/* ---- producing ---- */

#define SLUICE_PARTITION_ANY (-1)

struct sluice_header {
	const char *name;
	size_t name_length;
	const void *value; /* null: a header without value */
	size_t value_length;
};

struct sluice_record {
	const char *topic;
	/* SLUICE_PARTITION_ANY: by the key as Kafka's Java client chooses it (murmur2); without a
	 * key one partition for a batch's worth of bytes, then another. */
	int32_t partition;
	const void *key; /* null: none */
	size_t key_length;
	const void *value; /* null: a tombstone */
	size_t value_length;
	int64_t timestamp_ms; /* since 1970; 0: now */
	const struct sluice_header *headers;
	size_t header_count;
};

struct sluice_delivery {
	int error; /* 0: stored as `acks` demands; else why not, or -ETIMEDOUT where nobody knows */
	const char *topic;
	int32_t partition; /* -1 when none was chosen */
	int64_t offset;    /* -1 with acks=0 and on errors */
	int64_t timestamp_ms;
};

/* Called exactly once for every record that was accepted; `delivery` is valid during the call. */
typedef void sluice_delivered(void *user, const struct sluice_delivery *delivery);

/* Copies the record into a batch and returns.  `delivered` may be null.
 * -EAGAIN: buffer.memory is full, nothing was taken: process and try again; -EMSGSIZE: larger than
 * max.request.size; -EINVAL: no topic, or a partition below -1. */
int sluice_produce(struct sluice_client *client, const struct sluice_record *record,
		   sluice_delivered *delivered, void *user);
/* The same, but waits for memory up to `timeout_ms`: -ETIMEDOUT instead of -EAGAIN.  waits */
int sluice_produce_wait(struct sluice_client *client, const struct sluice_record *record,
			int timeout_ms, sluice_delivered *delivered, void *user);
/* Produces one record at once, without lingering, and waits for its delivery; returns its error.
 * `ret` may be null; its topic is the record's own.  waits */
int sluice_produce_sync(struct sluice_client *client, const struct sluice_record *record,
			struct sluice_delivery *ret);
/* Sends all that was produced and waits until each record is delivered or has failed.
 * -ETIMEDOUT: some are still under way.  timeout 0 only stops the lingering.  waits */
int sluice_flush(struct sluice_client *client, int timeout_ms);
size_t sluice_undelivered(const struct sluice_client *client); /* records */

/* The partition of `count` that Kafka's Java client gives a key. */
int32_t sluice_partition_of_key(const void *key, size_t key_length, int32_t count);

/* ---- consuming ---- */

#define SLUICE_LATEST (-1)
#define SLUICE_EARLIEST (-2)

/* Begins to fetch a partition at `offset`, or at SLUICE_EARLIEST or SLUICE_LATEST as they are when
 * looked up.  Assigning an assigned partition seeks in it; what was fetched and not yet handed out
 * is dropped.  An offset outside the log is answered as auto.offset.reset says. */
int sluice_assign(struct sluice_client *client, const char *topic, int32_t partition,
		  int64_t offset);
/* At the first record of this time or later; at the end when there is none. */
int sluice_assign_time(struct sluice_client *client, const char *topic, int32_t partition,
		       int64_t timestamp_ms);
/* -ENOENT where the partition is not assigned; so too for the calls below. */
int sluice_unassign(struct sluice_client *client, const char *topic, int32_t partition);
int sluice_seek(struct sluice_client *client, const char *topic, int32_t partition, int64_t offset);
int sluice_pause(struct sluice_client *client, const char *topic, int32_t partition);
int sluice_resume(struct sluice_client *client, const char *topic, int32_t partition);
/* The offset after the last batch that sluice_fetch handed out; -EAGAIN: not looked up yet. */
int sluice_position(const struct sluice_client *client, const char *topic, int32_t partition,
		    int64_t *ret);

/* One record batch as stored: records of one partition, in order.  The caller's until freed. */
struct sluice_batch;

struct sluice_batch_info {
	int error; /* not 0: a partition in trouble instead of records; fetching goes on by itself
		    */
	const char *topic;
	int32_t partition;
	int64_t base_offset;
	int64_t next_offset;
	int64_t high_watermark; /* end of the log when this was fetched */
	size_t bytes;           /* as stored */
};

/* Views into the batch: valid until it is freed. */
struct sluice_message {
	const char *topic;
	int32_t partition;
	int64_t offset;
	int64_t timestamp_ms; /* -1: none */
	const void *key;      /* null: none */
	size_t key_length;
	const void *value; /* null: a tombstone */
	size_t value_length;
	int32_t header_count;
	const void *headers; /* for sluice_header_next */
	size_t headers_length;
};

/* 1: *ret is a batch; 0: nothing within `timeout_ms`.  -EINTR.  waits, unless timeout_ms is 0 */
int sluice_fetch(struct sluice_client *client, int timeout_ms, struct sluice_batch **ret);
void sluice_batch_free(struct sluice_batch *batch); /* null is fine */
void sluice_batch_info(const struct sluice_batch *batch, struct sluice_batch_info *ret);
/* 1: *ret is the next record; 0: no more; -SLUICE_KAFKA(2) (CORRUPT_MESSAGE): the batch is not
 * what its checksum or codec promised.  Uncompressed records are not copied. */
int sluice_batch_next(struct sluice_batch *batch, struct sluice_message *ret);
/* 1: *ret is the next header, views as above; 0: no more.  *cursor begins at 0. */
int sluice_header_next(const struct sluice_message *message, size_t *cursor,
		       struct sluice_header *ret);

/* ---- administration; every call waits ---- */

struct sluice_broker {
	int32_t id;
	const char *host;
	int32_t port;
	const char *rack; /* null: none */
};

struct sluice_partition {
	int error;
	int32_t index;
	int32_t leader; /* -1: none */
	const int32_t *replicas;
	size_t replica_count;
	const int32_t *in_sync;
	size_t in_sync_count;
};

struct sluice_topic {
	int error;
	const char *name;
	const char *id; /* 22 characters of base64url; "" where the broker has none */
	int internal;
	const struct sluice_partition *partitions; /* by index */
	size_t partition_count;
};

struct sluice_metadata {
	const char *cluster_id;
	int32_t controller; /* -1: unknown */
	const struct sluice_broker *brokers;
	size_t broker_count;
	const struct sluice_topic *topics; /* by name */
	size_t topic_count;
};

/* Of the named topics, none of which is created; of all with topics null. */
int sluice_metadata(struct sluice_client *client, const char *const *topics, size_t count,
		    struct sluice_metadata **ret);
void sluice_metadata_free(struct sluice_metadata *metadata); /* null is fine */

struct sluice_config {
	const char *name;
	const char *value; /* null: not told; to set: back to the default */
	/* Where the value comes from: "default", "file" (of the broker), "cluster" (set for all
	 * brokers while they run), "broker" (for one), "topic", "group", "logger", "unknown".
	 * Ignored in settings. */
	const char *source;
	const char *help; /* "" when the broker has none; ignored in settings */
	int read_only;
	int sensitive;
};

struct sluice_configs {
	const struct sluice_config *configs; /* by name */
	size_t count;
};

/* A broker's name is its number; no name: every broker of the cluster, of which only what was set
 * for all is told. */
enum sluice_resource { SLUICE_TOPIC = 2, SLUICE_BROKER = 4, SLUICE_GROUP = 32 };

/* partitions -1, replicas -1: the broker's default. */
int sluice_topic_create(struct sluice_client *client, const char *topic, int32_t partitions,
			int16_t replicas, const struct sluice_config *configs, size_t count);
int sluice_topic_delete(struct sluice_client *client, const char *topic);
int sluice_topic_grow(struct sluice_client *client, const char *topic, int32_t partitions);
int sluice_configs_get(struct sluice_client *client, enum sluice_resource type, const char *name,
		       struct sluice_configs **ret);
void sluice_configs_free(struct sluice_configs *configs); /* null is fine */
/* Changes the named settings only. */
int sluice_configs_set(struct sluice_client *client, enum sluice_resource type, const char *name,
		       const struct sluice_config *configs, size_t count);
/* Of SLUICE_EARLIEST, SLUICE_LATEST or a time in ms.  A time after the last record gives -1. */
int sluice_list_offset(struct sluice_client *client, const char *topic, int32_t partition,
		       int64_t timestamp_ms, int64_t *ret_offset, int64_t *ret_timestamp_ms);

/* A partition and an offset in it.  The calls that take many of them answer 0 when brokers could be
 * asked at all, and tell in `error` of each how that one went; what stays unanswered keeps its
 * offset.  -EINVAL: a partition is named twice, or a topic has no name. */
struct sluice_place {
	const char *topic;
	int32_t partition;
	int64_t offset;
	int64_t timestamp_ms;
	int error; /* 0, or why not; -errno where its leader could not be reached */
};

/* As sluice_list_offset, of any number of partitions, with one request to a leader for some
 * thousands of them: takes `timestamp_ms`, gives `offset`, and `timestamp_ms` of its record (-1:
 * none). */
int sluice_list_offsets(struct sluice_client *client, struct sluice_place *places, size_t count);
/* Deletes the records before `offset`, SLUICE_LATEST: all that are readable; gives in `offset`
 * where the partition begins now. */
int sluice_trim(struct sluice_client *client, struct sluice_place *places, size_t count);

/* A place as people name it, which every log has somewhere. */
enum sluice_target_kind { SLUICE_AT_OFFSET, SLUICE_BEFORE_END, SLUICE_AT_TIME };

struct sluice_target {
	enum sluice_target_kind kind;
	/* An offset, also SLUICE_EARLIEST and SLUICE_LATEST; records; ms since 1970. */
	int64_t value;
};

struct sluice_spot {
	const char *topic;
	int32_t partition;
	int64_t first;     /* of the log */
	int64_t end;       /* of the log: the next record's */
	int64_t at;        /* what is meant */
	int64_t committed; /* of a plan (sluice_group_plan) only; -1: nothing */
	int error;         /* 0, or why `first`, `end` and `at` are not known */
};

/* Fills `first` and `end` of them all.  0 and -EINVAL as for places. */
int sluice_spots_extend(struct sluice_client *client, struct sluice_spot *spots, size_t count);
/* The same, and `at`: a time is the first record of then or later, else the end; so many before the
 * end no more than there are; an offset is what it is, also outside the log. */
int sluice_spots_find(struct sluice_client *client, const struct sluice_target *target,
		      struct sluice_spot *spots, size_t count);

/* Asks a broker that sluice_metadata has told of something small.  0: it answers; -ENOENT: no such
 * broker; else why it does not. */
int sluice_broker_check(struct sluice_client *client, int32_t broker);

struct sluice_group {
	const char *id;
	const char *protocol_type; /* "consumer", or "" where it only has offsets */
	const char *state;         /* "Stable", "Empty", ...; "" where the broker does not say */
	const char *type;          /* "classic", "consumer", "share"; likewise */
};

struct sluice_groups {
	const struct sluice_group *groups; /* by id */
	size_t count;
};

/* The groups of all brokers. */
int sluice_group_list(struct sluice_client *client, struct sluice_groups **ret);
void sluice_groups_free(struct sluice_groups *groups); /* null is fine */

struct sluice_group_offset {
	const char *topic;
	int32_t partition;
	int64_t offset;       /* committed: where a member goes on */
	int64_t end;          /* of the log; -1: it is gone, or its leader does not answer */
	int64_t lag;          /* records between; -1: likewise */
	const char *metadata; /* the member's own words; "" */
};

struct sluice_group_offsets {
	const struct sluice_group_offset *offsets; /* by topic and partition */
	size_t count;
};

/* What a group has committed, and what it still has to read.  A group that nobody knows has none.
 */
int sluice_group_offsets(struct sluice_client *client, const char *group,
			 struct sluice_group_offsets **ret);
void sluice_group_offsets_free(struct sluice_group_offsets *offsets); /* null is fine */

struct sluice_assigned {
	const char *topic;
	int32_t partition;
};

struct sluice_member {
	const char *id;
	const char *instance; /* group.instance.id; null: none */
	const char *client_id;
	const char *host;
	int32_t epoch;             /* -1: its protocol has none */
	const char *const *topics; /* subscribed to by name */
	size_t topic_count;
	const struct sluice_assigned *assigned; /* by topic and partition */
	size_t assigned_count;
};

struct sluice_group_description {
	const char *id;
	const char *type;                    /* "classic", "consumer" or "share" */
	const char *state;                   /* "Stable", "Empty", ... */
	const char *protocol_type;           /* "consumer", "connect", ...; "" */
	const char *assignor;                /* "range", "uniform", ...; "" */
	int32_t epoch;                       /* -1: a classic group */
	int32_t coordinator;                 /* broker */
	const struct sluice_member *members; /* by id */
	size_t member_count;
};

/* -SLUICE_KAFKA(69) (GROUP_ID_NOT_FOUND): there is no such group. */
int sluice_group_describe(struct sluice_client *client, const char *group,
			  struct sluice_group_description **ret);
void sluice_group_description_free(struct sluice_group_description *description); /* null is fine */
/* With all it has committed.  -SLUICE_KAFKA(68) (NON_EMPTY_GROUP): it has members. */
int sluice_group_delete(struct sluice_client *client, const char *group);
/* Commits `offset` of each place for a group without members, which is made where nobody knows it.
 * Places get -SLUICE_KAFKA(25) (UNKNOWN_MEMBER_ID) from a group with members. */
int sluice_group_commit(struct sluice_client *client, const char *group,
			struct sluice_place *places, size_t count);
/* Drops what was committed.  Places get -SLUICE_KAFKA(86) (GROUP_SUBSCRIBED_TO_TOPIC) where members
 * read the topic. */
int sluice_group_forget(struct sluice_client *client, const char *group,
			struct sluice_place *places, size_t count);

/* Where a group shall go on.  Spots may be taken out before it is committed. */
struct sluice_group_plan {
	const char *group;
	struct sluice_spot *spots; /* in the order chosen, or by topic and partition */
	size_t count;
};

/* What the target means in the partitions that are chosen; in all that the group has committed with
 * `chosen` null.  Commits nothing.  -EINVAL: a partition is chosen twice, or a topic has no name.
 */
int sluice_group_plan(struct sluice_client *client, const char *group,
		      const struct sluice_assigned *chosen, size_t count,
		      const struct sluice_target *target, struct sluice_group_plan **ret);
void sluice_group_plan_free(struct sluice_group_plan *plan); /* null is fine */
/* As sluice_group_commit, `at` of the spots without an error; `error` of each tells how it went. */
int sluice_group_plan_commit(struct sluice_client *client, struct sluice_group_plan *plan);

#ifdef __cplusplus
}
#endif
