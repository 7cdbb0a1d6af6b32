/* client/channel.h: the seam between requests and what carries them.
 *
 * A channel takes a request's bytes to one broker and brings the answer's bytes back.  tcp.c is one
 * (Kafka's framing over a stream, answers in the order of the requests); datagram.c is the other
 * (the transport of dataplane/transport, a slot for each request), over a kernel socket or a port.
 * A channel knows nothing of the bytes' meaning and retries nothing: when it breaks, it says so and
 * is closed.
 *
 * Phases: open -> opened -> call, call, ... -> perhaps lost -> close.  All on the client's thread;
 * no callback runs inside open or call, and close is not called inside opened or done. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "client/url.h"

struct loop;
struct sluice_options;

/* An answer's bytes, without any framing; freed with the last reference. */
struct channel_buffer {
	uint32_t references;
	size_t length;
	const uint8_t *data; /* in storage */
	_Alignas(16) uint8_t storage[];
};

struct channel_buffer *channel_buffer_new(size_t length); /* one reference; null: no memory */
void channel_buffer_acquire(struct channel_buffer *buffer);
void channel_buffer_release(struct channel_buffer *buffer); /* null is fine */

struct exchange;
enum channel_call_flags { CHANNEL_NO_RESPONSE = 1 };

/* Embedded in the request that owns it.  The vectors and their bytes stay put until `done`, which
 * runs exactly once: with rc 0 and the answer (null where none was wanted: the bytes have left),
 * whose reference is then the owner's, or with an error. */
struct channel_call {
	struct list link; /* the channel's */
	const struct iovec *vectors;
	size_t vector_count;
	size_t bytes;
	unsigned flags;
	void (*done)(struct channel_call *call, int rc, struct channel_buffer *response);
	size_t sent;               /* the channel's: bytes that have left */
	struct exchange *exchange; /* the channel's: datagram.c's */
	uint8_t frame[4];          /* the channel's */
};

struct channel_owner {
	void (*opened)(struct channel_owner *owner);
	/* Before or after opened, at most once: the channel is of no use any more.  The owner
	 * closes it, here and now. */
	void (*lost)(struct channel_owner *owner, int rc);
};

struct channel_settings {
	const char *host;
	int port;
	size_t response_bytes_max;
	int64_t connect_timeout_ms;
	int64_t request_timeout_ms;  /* longest time that a call is waited for */
	uint32_t datagram_bytes_max; /* 0: what the interface takes; streams have none */
};

struct channel {
	const struct channel_ops *ops;
	struct channel_owner *owner;
	uint32_t datagram_bytes; /* from opened on: what has been found to pass; 0: a stream */
};

struct channel_ops {
	const char *scheme;
	bool ordered; /* requests are executed in the order of their calls */
	/* What channels of a loop share, before the first of them and after the last; both null
	 * where there is nothing.  -errno with a sentence in `why`. */
	int (*start)(struct loop *loop, const struct url *url, const struct sluice_options *options,
		     char why[static URL_WHY_BYTES]);
	void (*stop)(struct loop *loop);
	/* Begins to connect.  -errno: not even that. */
	int (*open)(struct channel **ret, struct loop *loop,
		    const struct channel_settings *settings, struct channel_owner *owner);
	/* Legal from opened on. */
	void (*call)(struct channel *channel, struct channel_call *call);
	/* Of a call that is not done: its owner has lost interest.  It is done in a later turn,
	 * with -ETIMEDOUT where no answer has come by now; others go on.  Null: where answers have
	 * to come in order no call can be left out. */
	void (*cancel)(struct channel *channel, struct channel_call *call);
	/* Calls under way are done first, with what `lost` was told, else -ECANCELED.  Null is
	 * fine. */
	void (*close)(struct channel *channel);
};

extern const struct channel_ops channel_tcp;
extern const struct channel_ops channel_udp;
extern const struct channel_ops channel_dpdk;

/* Null: this build carries no such scheme. */
const struct channel_ops *channel_ops_find(const char *scheme);
