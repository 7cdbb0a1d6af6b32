/* A shard's datagram servers, one a packet source, as one thing for its loop. */
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "dataplane/datagram/faulty_source.h"
#include "dataplane/datagram/packet_source.h"
#include "dataplane/datagram/port_source.h"
#include "dataplane/datagram/server.h"
#include "dataplane/datagram/udp_socket.h"
#include "dataplane/shard_internal.h"

#include <unistd.h>

/* Each source gets a sequence of its own. */
static int wrap_in_faults(struct shard *shard, struct packet_source **source)
{
	struct faults faults = *shard->options.faults;

	faults.seed += shard->options.index * DATAGRAM_SERVERS_MAX + shard->datagrams.count;
	return faulty_source_new(source, *source, &faults);
}

static int add_server(struct shard *shard, struct packet_source *source)
{
	struct datagrams *datagrams = &shard->datagrams;

	check(datagrams->count < DATAGRAM_SERVERS_MAX);
	int rc = shard->options.faults ? wrap_in_faults(shard, &source) : 0;
	if (rc == 0)
		rc = datagram_server_new(&datagrams->servers[datagrams->count], shard, source);
	if (rc == 0)
		datagrams->count++;
	return rc;
}

int shard_datagrams_open(struct shard *shard)
{
	struct packet_source *source;
	int rc = 0;

	if (shard->options.udp_socket >= 0) {
		rc = udp_socket_new(&source, shard->options.udp_socket, shard->io);
		if (rc == 0)
			rc = add_server(shard, source);
		else
			close(shard->options.udp_socket);
	}
	if (rc == 0 && shard->options.port) {
		rc = port_source_new(&source, shard->options.port, shard->options.index,
				     shard->mesh, shard->io);
		if (rc == 0)
			rc = add_server(shard, source);
	}
	return rc;
}

unsigned shard_datagrams_receive(struct shard *shard)
{
	unsigned done = 0;

	for (unsigned i = 0; i < shard->datagrams.count; i++)
		done += datagram_server_receive(shard->datagrams.servers[i]);
	return done;
}

unsigned shard_datagrams_turn(struct shard *shard)
{
	unsigned done = 0;

	for (unsigned i = 0; i < shard->datagrams.count; i++)
		done += datagram_server_turn(shard->datagrams.servers[i]);
	return done;
}

uint64_t shard_datagrams_sleep(struct shard *shard, uint64_t wait_ns)
{
	for (unsigned i = 0; i < shard->datagrams.count; i++) {
		uint64_t sleep_ns = datagram_server_sleep(shard->datagrams.servers[i]);
		if (sleep_ns < wait_ns)
			wait_ns = sleep_ns;
	}
	return wait_ns;
}

void shard_datagrams_woken(struct shard *shard)
{
	for (unsigned i = 0; i < shard->datagrams.count; i++)
		datagram_server_woken(shard->datagrams.servers[i]);
}

void shard_datagrams_drain(struct shard *shard)
{
	for (unsigned i = 0; i < shard->datagrams.count; i++)
		datagram_server_drain(shard->datagrams.servers[i]);
}

bool shard_datagrams_stop(struct shard *shard)
{
	bool stopped = true;

	for (unsigned i = 0; i < shard->datagrams.count; i++)
		stopped &= datagram_server_stop(shard->datagrams.servers[i]);
	return stopped;
}

void shard_datagrams_free(struct shard *shard)
{
	for (unsigned i = 0; i < shard->datagrams.count; i++)
		datagram_server_free(shard->datagrams.servers[i]);
	shard->datagrams.count = 0;
}
