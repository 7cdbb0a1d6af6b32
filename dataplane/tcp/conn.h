/* dataplane/tcp/conn.h: a client's TCP connection: Kafka frames in, responses out in order.
 *
 * Owner: the shard that accepted it.  Phases: open -> closing (no more reads; requests under way
 * end, their answers are dropped) -> freed when nothing is in flight. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct shard;

/* Arms accepting on the shard's listener. */
void conn_accept_start(struct shard *shard);
void conn_accept_stop(struct shard *shard);
/* Memory was given back: lets starved connections read again. */
void conn_resume_starved(struct shard *shard);
/* Closes what has been idle or stuck too long; about once a second. */
void conn_expire(struct shard *shard);
/* Stopping: reads nothing more; closes connections with nothing under way. */
void conn_drain_all(struct shard *shard);
void conn_close_all(struct shard *shard, const char *why); /* `why` (static) is logged */
