/* dataplane/transport/cookie.h: proof that a client receives at the address it writes from,
 * without remembering it.
 *
 * A cookie is the time of issue and a SipHash-128 over who asked and when, under a secret that only
 * this endpoint knows.  The secret before the current one is accepted too, so replacing it breaks
 * no handshake that is under way.  Owner: one thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/transport/packet.h"

struct transport_address;

enum { COOKIE_SECRET_BYTES = 16 };

struct cookie_jar {
	void *mac; /* reused for each, so that issuing allocates nothing of ours */
	uint8_t secrets[2][COOKIE_SECRET_BYTES];
	uint32_t lifetime_ms;
};

/* -ENOMEM when the cryptographic library cannot be had. */
int cookie_jar_init(struct cookie_jar *jar, const uint8_t secret[static COOKIE_SECRET_BYTES],
		    uint32_t lifetime_ms);
void cookie_jar_fini(struct cookie_jar *jar); /* a zeroed jar is fine */
void cookie_jar_replace(struct cookie_jar *jar, const uint8_t secret[static COOKIE_SECRET_BYTES]);

/* -EIO: the library failed. */
int cookie_issue(struct cookie_jar *jar, struct packet_cookie *ret,
		 const struct transport_address *address, uint64_t client, uint64_t now_ms);
/* Issued by us to this address and client, at most `lifetime_ms` ago. */
bool cookie_valid(struct cookie_jar *jar, const struct packet_cookie *cookie,
		  const struct transport_address *address, uint64_t client, uint64_t now_ms);
