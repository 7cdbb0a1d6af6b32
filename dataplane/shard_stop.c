/* A clean end, in phases:
 *
 *   draining  no new connections or requests; what is under way is answered (or cut after drain_ms)
 *   quiet     no connection and no request is left; every other shard has been told
 *   closing   every shard is quiet, so no part of anybody's request can come: logs are closed
 *   stopped   the control plane is told, the thread ends */
#include "base/check.h"
#include "base/clock.h"
#include "dataplane/shard_internal.h"
#include "dataplane/tcp/conn.h"

static void peer_is_quiet(struct message *message, void *receiver)
{
	struct shard *shard = receiver;

	(void)message;
	shard->quiet_peers++;
}

static void tell_peers(struct shard *shard)
{
	unsigned peers = shard->options.shard_count;

	for (unsigned to = 0; to < peers; to++) {
		if (to == shard->options.index)
			continue;
		shard->quiet_notes[to].handle = peer_is_quiet;
		shard_send(shard, to, &shard->quiet_notes[to]);
	}
}

static void drain_is_over(struct timer *timer)
{
	struct shard *shard = container_of(timer, struct shard, drain_over);

	conn_close_all(shard, "broker is stopping");
	shard_datagrams_stop(shard);
}

void shard_stop_handle(struct message *message, void *receiver)
{
	struct shard *shard = receiver;

	check(shard->phase < SHARD_DRAINING);
	shard->phase = SHARD_DRAINING;
	shard->stop = container_of(message, struct shard_stop, message);
	shard->drain_over.expired = drain_is_over;
	timers_arm(&shard->timers, &shard->drain_over,
		   shard->now_ns + shard->stop->drain_ms * NS_PER_MS);
	conn_accept_stop(shard);
	conn_drain_all(shard);
	shard_datagrams_drain(shard);
}

void shard_stop_step(struct shard *shard)
{
	if (shard->phase == SHARD_DRAINING && !shard->connection_count && !shard->requests_live &&
	    !shard->accepting && !shard->share_sessions && shard_datagrams_stop(shard)) {
		shard->phase = SHARD_QUIET;
		tell_peers(shard);
	}
	if (shard->phase == SHARD_QUIET && shard->quiet_peers == shard->options.shard_count - 1) {
		shard->phase = SHARD_CLOSING;
		timers_disarm(&shard->timers, &shard->drain_over);
		shard_close_partitions(shard);
	}
	if (shard->phase == SHARD_CLOSING && !shard->partitions_closing && !shard->shares_out &&
	    !shard->transaction_asks_out && !shard->jobs_out) {
		shard->phase = SHARD_STOPPED;
		shard->stop->message.handle = shard->stop->stopped;
		shard_send(shard, mesh_control(shard->mesh), &shard->stop->message);
	}
}
