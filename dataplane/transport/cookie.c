#include "dataplane/transport/cookie.h"

#include "base/bytes.h"
#include "dataplane/transport/transport.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

int cookie_jar_init(struct cookie_jar *jar, const uint8_t secret[static COOKIE_SECRET_BYTES],
		    uint32_t lifetime_ms)
{
	size_t mac_bytes = PACKET_COOKIE_MAC_BYTES;
	OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &mac_bytes),
			       OSSL_PARAM_construct_end()};
	EVP_MAC *siphash = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_SIPHASH, NULL);
	EVP_MAC_CTX *mac = EVP_MAC_CTX_new(siphash);

	EVP_MAC_free(siphash);
	if (!mac || !EVP_MAC_CTX_set_params(mac, params)) {
		EVP_MAC_CTX_free(mac);
		return -ENOMEM;
	}
	*jar = (struct cookie_jar){.mac = mac, .lifetime_ms = lifetime_ms};
	memcpy(jar->secrets[0], secret, COOKIE_SECRET_BYTES);
	memcpy(jar->secrets[1], secret, COOKIE_SECRET_BYTES);
	return 0;
}

void cookie_jar_fini(struct cookie_jar *jar)
{
	EVP_MAC_CTX_free(jar->mac);
	OPENSSL_cleanse(jar, sizeof(*jar));
}

void cookie_jar_replace(struct cookie_jar *jar, const uint8_t secret[static COOKIE_SECRET_BYTES])
{
	memcpy(jar->secrets[1], jar->secrets[0], COOKIE_SECRET_BYTES);
	memcpy(jar->secrets[0], secret, COOKIE_SECRET_BYTES);
}

/* Over version, address, port, client and time of issue, each at its place. */
static bool mac_of(struct cookie_jar *jar, const uint8_t *secret,
		   const struct transport_address *address, uint64_t client, uint64_t issued_ms,
		   uint8_t ret[static PACKET_COOKIE_MAC_BYTES])
{
	uint8_t about[36] = {PACKET_VERSION};
	size_t written = 0;

	memcpy(about + 1, address->ip, sizeof(address->ip));
	store_be16(about + 17, address->port);
	store_be64(about + 20, client);
	store_be64(about + 28, issued_ms);
	return EVP_MAC_init(jar->mac, secret, COOKIE_SECRET_BYTES, NULL) &&
	       EVP_MAC_update(jar->mac, about, sizeof(about)) &&
	       EVP_MAC_final(jar->mac, ret, &written, PACKET_COOKIE_MAC_BYTES) &&
	       written == PACKET_COOKIE_MAC_BYTES;
}

int cookie_issue(struct cookie_jar *jar, struct packet_cookie *ret,
		 const struct transport_address *address, uint64_t client, uint64_t now_ms)
{
	struct packet_cookie cookie = {.issued_ms = now_ms};

	if (!mac_of(jar, jar->secrets[0], address, client, now_ms, cookie.mac))
		return -EIO;
	*ret = cookie;
	return 0;
}

bool cookie_valid(struct cookie_jar *jar, const struct packet_cookie *cookie,
		  const struct transport_address *address, uint64_t client, uint64_t now_ms)
{
	uint8_t mac[PACKET_COOKIE_MAC_BYTES];

	if (cookie->issued_ms > now_ms || now_ms - cookie->issued_ms > jar->lifetime_ms)
		return false;
	for (unsigned i = 0; i < array_count(jar->secrets); i++) {
		if (mac_of(jar, jar->secrets[i], address, client, cookie->issued_ms, mac) &&
		    CRYPTO_memcmp(mac, cookie->mac, sizeof(mac)) == 0)
			return true;
	}
	return false;
}
