/* dataplane/request.h: one Kafka request from decode to the end of its response.
 *
 * Phases: decoded -> handling (maybe on several threads, by messages) -> answered -> sent -> freed.
 * Owner: the shard of its connection, except for what a message has handed over.  Memory of the
 * request and its response is its arena, gone when the request is freed. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/list.h"
#include "kafka_messages.h"
#include "dataplane/kafka/wire.h"

struct channel;
struct request;
struct shard;
struct share_sessions;

/* Where requests come from and their answers go: a TCP connection, or a slot of a datagram session.
 * Embedded in either; lives until its last request is released. */
struct channel_ops {
	/* Decoded, its handler runs next: the channel keeps it, in order of arrival. */
	void (*begin)(struct channel *channel, struct request *request);
	/* Its turn to leave has come, or will when those before it have. */
	void (*answered)(struct channel *channel, struct request *request);
	/* Optional.  It is about to be freed, and does not look at its frame any more. */
	void (*freed)(struct channel *channel, struct request *request);
};
struct channel {
	const struct channel_ops *ops;
	const char *peer;              /* "127.0.0.1:4711" */
	struct share_sessions *shares; /* null: it can have none */
};

struct request {
	struct list link; /* its channel's; or in shard.free_requests */
	struct shard *shard;
	struct channel *channel; /* null: gone, its request is being released */
	struct arena arena;
	void *frame; /* null: the frame lies in the arena, or is the channel's */
	size_t frame_capacity;
	size_t charged_bytes; /* of shard.inflight_bytes */
	uint64_t begun_ns;    /* shard_turn_ns */
	struct kafka_request_header header;
	const struct kafka_api *api;
	void *message;  /* struct kafka_<api>_request */
	void *response; /* struct kafka_<api>_response, default-initialised */
	void *state;    /* the handler's */
	struct wire_writer writer;
	bool answered;
	bool silent;  /* acks=0: nothing is sent */
	bool closing; /* close the channel once this one's turn has come */
	/* Optional.  The connection is gone or the broker stops: answer soon. */
	void (*cancel)(struct request *request);
	/* Optional.  The response was sent (or dropped): let go of what it referred to, then call
	 * request_free, at once or later.  Without it the request is freed right away. */
	void (*release)(struct request *request);
};

enum frame_use {
	FRAME_COPY, /* small: copied into the request's arena */
	FRAME_TAKE, /* of shard.frames, `capacity` bytes: the request's from now on */
	FRAME_LEND, /* the channel's, which keeps it until ops->freed */
};

/* Decodes `frame` (without its size) and starts the handler.  -ERR_BAD_REQUEST, -ERR_VERSION,
 * -ENOMEM: nothing can be answered, close the channel; `frame` stays the caller's. */
int request_start(struct shard *shard, struct channel *channel, void *frame, size_t length,
		  enum frame_use use, size_t capacity);
/* The handler is done: encodes `response` and passes it to the connection. */
void request_answer(struct request *request);
/* No answer; the connection is closed when the requests before it are answered. */
void request_fail(struct request *request, const char *why);
/* The handler has taken much memory and keeps it for a while: it counts from now on. */
void request_charge(struct request *request);
/* Nothing refers to the frame any more, so its memory need not wait for the answer. */
void request_give_frame(struct request *request);
void request_released(struct request *request); /* the connection's: calls release or frees */
void request_free(struct request *request);
void request_pool_fini(struct shard *shard);

/* Memory of the request; fails the request's handler with null when its limit is reached. */
static inline void *request_alloc(struct request *request, size_t count, size_t size)
{
	return arena_alloc_array(&request->arena, count, size);
}

/* The same, zeroed. */
static inline void *request_calloc(struct request *request, size_t count, size_t size)
{
	return arena_calloc(&request->arena, count, size);
}
