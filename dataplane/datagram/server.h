/* dataplane/datagram/server.h: a shard's side of the datagram transport: sessions of clients whose
 * requests run through the same handlers as those of TCP connections.
 *
 * One server a packet source; a shard may have several (a kernel socket and a port).  Owner: the
 * shard.  Phases: serving -> stopping (new requests are not taken, those under way end) -> stopped
 * -> freed. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct datagram_server;
struct packet_source;
struct shard;
struct transport_statistics;

/* `source` is the server's from now on, also on failure.  -ENOMEM. */
int datagram_server_new(struct datagram_server **ret, struct shard *shard,
			struct packet_source *source);
/* First thing in a turn of the loop: what has come.  Returns how many datagrams. */
unsigned datagram_server_receive(struct datagram_server *server);
/* Last thing: what is due leaves. */
unsigned datagram_server_turn(struct datagram_server *server);
/* How long the shard may sleep, with arrivals ending the sleep; datagram_server_woken follows. */
uint64_t datagram_server_sleep(struct datagram_server *server);
void datagram_server_woken(struct datagram_server *server);
/* Answers what waits (long polls), takes nothing new. */
void datagram_server_drain(struct datagram_server *server);
/* Ends all sessions, whatever is under way.  True: nothing is in flight any more; else again
 * later. */
bool datagram_server_stop(struct datagram_server *server);
void datagram_server_free(struct datagram_server *server); /* after a true stop; null is fine */
unsigned datagram_server_calls(const struct datagram_server *server); /* requests under way */
const struct transport_statistics *datagram_server_statistics(const struct datagram_server *server);
