#include "hw/nic_use.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Addresses are all of 16 bytes here, IPv4 ones as ::ffff:a.b.c.d. */
struct address {
	uint8_t bytes[16];
};

struct route {
	char interface[64];
	struct address to;
	unsigned prefix; /* of 128 bits */
};

enum { PEERS_MAX = 64, SSH_PORT = 22, MAPPED_BITS = 96, ESTABLISHED = 1, ROUTE_REJECT = 0x200 };

__attribute__((format(printf, 2, 3))) static void add_use(struct nic_uses *uses, const char *format,
							  ...)
{
	char why[NIC_USE_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, sizeof(why), format, arguments);
	va_end(arguments);
	for (size_t i = 0; i < uses->count; i++) {
		if (strcmp(uses->why[i], why) == 0)
			return;
	}
	if (uses->count < NIC_USES_MAX)
		memcpy(uses->why[uses->count++], why, sizeof(why));
}

/* ---- texts of /proc/net ---- */

static struct address map_ipv4(uint32_t network_order)
{
	struct address address = {.bytes = {[10] = 0xff, [11] = 0xff}};

	memcpy(address.bytes + 12, &network_order, 4);
	return address;
}

static bool parse_address(const char *text, struct address *ret)
{
	struct in_addr ipv4;

	if (inet_pton(AF_INET, text, &ipv4) == 1) {
		*ret = map_ipv4(ipv4.s_addr);
		return true;
	}
	return inet_pton(AF_INET6, text, ret->bytes) == 1;
}

static void print_address(const struct address *address, char text[static INET6_ADDRSTRLEN])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (memcmp(address->bytes, mapped, sizeof(mapped)) == 0)
		inet_ntop(AF_INET, address->bytes + 12, text, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, address->bytes, text, INET6_ADDRSTRLEN);
}

/* 32 digits, the bytes in their order. */
static bool parse_bytes(const char *text, struct address *ret)
{
	char two[3] = "";

	if (strspn(text, "0123456789abcdefABCDEF") < 32)
		return false;
	for (size_t i = 0; i < 16; i++) {
		memcpy(two, text + 2 * i, 2);
		ret->bytes[i] = (uint8_t)strtoul(two, NULL, 16);
	}
	return true;
}

/* Words of 8 digits as this machine stores them: one for IPv4, four for IPv6. */
static bool parse_words(const char *text, struct address *ret)
{
	size_t digits = strspn(text, "0123456789abcdefABCDEF");
	char eight[9] = "";
	uint32_t words[4];

	if (digits != 8 && digits != 32)
		return false;
	for (size_t i = 0; i < digits / 8; i++) {
		memcpy(eight, text + 8 * i, 8);
		words[i] = (uint32_t)strtoul(eight, NULL, 16);
	}
	if (digits == 8)
		*ret = map_ipv4(words[0]);
	else
		memcpy(ret->bytes, words, sizeof(words));
	return true;
}

enum { WORDS_MAX = 12, WORD_BYTES = 72 };

/* The words of the line at `*at`, which moves to the next one; false at the end. */
static bool next_line(const char **at, char words[static WORDS_MAX][WORD_BYTES], size_t *ret_count)
{
	const char *line = *at;
	size_t count = 0;

	if (!*line)
		return false;
	while (*line && *line != '\n') {
		line += strspn(line, " \t");
		size_t length = strcspn(line, " \t\n");
		if (length && count < WORDS_MAX)
			snprintf(words[count++], WORD_BYTES, "%.*s", (int)length, line);
		line += length;
	}
	*at = line + (*line == '\n');
	*ret_count = count;
	return true;
}

/* ---- routes ---- */

static bool parse_ipv4_route(char words[static WORDS_MAX][WORD_BYTES], size_t count,
			     struct route *ret)
{
	if (count < 8 || strspn(words[1], "0123456789ABCDEFabcdef") != 8)
		return false;
	ret->to = map_ipv4((uint32_t)strtoul(words[1], NULL, 16));
	ret->prefix = MAPPED_BITS +
		      (unsigned)__builtin_popcount((unsigned)strtoul(words[7], NULL, 16));
	snprintf(ret->interface, sizeof(ret->interface), "%.63s", words[0]);
	return !(strtoul(words[3], NULL, 16) & ROUTE_REJECT);
}

static bool parse_ipv6_route(char words[static WORDS_MAX][WORD_BYTES], size_t count,
			     struct route *ret)
{
	if (count < 10 || !parse_bytes(words[0], &ret->to))
		return false;
	ret->prefix = (unsigned)strtoul(words[1], NULL, 16);
	snprintf(ret->interface, sizeof(ret->interface), "%.63s", words[9]);
	/* What nothing is reached by: multicast, and routes that refuse. */
	return ret->prefix <= 128 && ret->to.bytes[0] != 0xff &&
	       !(strtoul(words[8], NULL, 16) & ROUTE_REJECT);
}

static bool covers(const struct route *route, const struct address *address)
{
	unsigned bytes = route->prefix / 8;
	unsigned bits = route->prefix % 8;

	if (memcmp(route->to.bytes, address->bytes, bytes) != 0)
		return false;
	return bits == 0 || (route->to.bytes[bytes] ^ address->bytes[bytes]) >> (8 - bits) == 0;
}

struct peers {
	struct address at[PEERS_MAX];
	struct route best[PEERS_MAX]; /* the longest that covers it; interface "" : none yet */
	size_t count;
};

static void take_route(struct nic_uses *uses, struct peers *peers, const struct route *route,
		       bool ipv6, const char *interface)
{
	bool is_default = route->prefix == (ipv6 ? 0 : MAPPED_BITS);

	for (size_t i = 0; i < peers->count; i++) {
		struct route *best = &peers->best[i];
		if (covers(route, &peers->at[i]) &&
		    (!best->interface[0] || route->prefix > best->prefix))
			*best = *route;
	}
	if (is_default && strcmp(route->interface, interface) == 0)
		add_use(uses, "it carries the default route of IPv%d", ipv6 ? 6 : 4);
}

static int read_routes(const struct host_root *root, struct nic_uses *uses, struct peers *peers,
		       bool ipv6, const char *interface)
{
	char words[WORDS_MAX][WORD_BYTES];
	struct route route;
	size_t count;
	char *text;
	int rc = host_file(root, &text, ipv6 ? "proc/net/ipv6_route" : "proc/net/route");

	if (rc < 0)
		return ipv6 && rc == -ENOENT ? 0 : rc;
	const char *at = text;
	while (next_line(&at, words, &count)) {
		if (ipv6 ? parse_ipv6_route(words, count, &route)
			 : parse_ipv4_route(words, count, &route))
			take_route(uses, peers, &route, ipv6, interface);
	}
	free(text);
	return 0;
}

/* ---- sessions ---- */

static void add_peer(struct peers *peers, const struct address *address)
{
	for (size_t i = 0; i < peers->count; i++) {
		if (memcmp(&peers->at[i], address, sizeof(*address)) == 0)
			return;
	}
	if (peers->count < PEERS_MAX)
		peers->at[peers->count++] = *address;
}

/* Connections to the ssh server.  sudo hides the environment's word of them, this does not. */
static void read_connections(const struct host_root *root, struct peers *peers, const char *path)
{
	char words[WORDS_MAX][WORD_BYTES];
	struct address address;
	size_t count;
	char *text;

	if (host_file(root, &text, "%s", path) < 0)
		return;
	const char *at = text;
	while (next_line(&at, words, &count)) {
		const char *port = count > 3 ? strchr(words[1], ':') : NULL;
		char *colon = count > 3 ? strchr(words[2], ':') : NULL;
		if (!port || !colon || strtoul(port + 1, NULL, 16) != SSH_PORT ||
		    strtoul(words[3], NULL, 16) != ESTABLISHED)
			continue;
		*colon = 0;
		if (parse_words(words[2], &address))
			add_peer(peers, &address);
	}
	free(text);
}

static void read_environment(struct peers *peers, const char *ssh_connection)
{
	struct address address;
	char text[64];

	if (!ssh_connection)
		return;
	snprintf(text, sizeof(text), "%.*s", (int)strcspn(ssh_connection, " %"), ssh_connection);
	if (parse_address(text, &address))
		add_peer(peers, &address);
}

/* ---- addresses ---- */

static void read_ipv6_addresses(const struct host_root *root, struct nic_uses *uses,
				const char *interface)
{
	char words[WORDS_MAX][WORD_BYTES];
	char printed[INET6_ADDRSTRLEN];
	struct address address;
	size_t count;
	char *text;

	if (host_file(root, &text, "proc/net/if_inet6") < 0)
		return;
	const char *at = text;
	while (next_line(&at, words, &count)) {
		if (count < 6 || strcmp(words[5], interface) != 0 ||
		    !parse_bytes(words[0], &address))
			continue;
		/* Every interface that is up has one of the link. */
		if (address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80)
			continue;
		print_address(&address, printed);
		add_use(uses, "it has the address %s", printed);
	}
	free(text);
}

/* The kernel routes what an address of IPv4 brings with it; the addresses themselves it tells
 * without their interfaces. */
static void read_ipv4_networks(const struct host_root *root, struct nic_uses *uses,
			       const char *interface)
{
	char words[WORDS_MAX][WORD_BYTES];
	char printed[INET6_ADDRSTRLEN];
	struct route route;
	size_t count;
	char *text;

	if (host_file(root, &text, "proc/net/route") < 0)
		return;
	const char *at = text;
	while (next_line(&at, words, &count)) {
		if (!parse_ipv4_route(words, count, &route) || route.prefix == MAPPED_BITS ||
		    strcmp(route.interface, interface) != 0)
			continue;
		print_address(&route.to, printed);
		add_use(uses, "it leads to the network %s/%u", printed, route.prefix - MAPPED_BITS);
	}
	free(text);
}

static void read_uppers(const struct host_root *root, struct nic_uses *uses, const char *interface)
{
	struct host_names names;

	if (host_names(root, &names, "sys/class/net/%s", interface) < 0)
		return;
	for (size_t i = 0; i < names.count; i++) {
		if (strncmp(names.at[i], "upper_", 6) == 0)
			add_use(uses, "%.64s lies on it", names.at[i] + 6);
	}
	host_names_free(&names);
}

int nic_uses_find(struct nic_uses *ret, const struct host_root *root, const char *interface,
		  const char *ssh_connection)
{
	char printed[INET6_ADDRSTRLEN];
	struct peers peers = {0};

	*ret = (struct nic_uses){0};
	read_connections(root, &peers, "proc/net/tcp");
	read_connections(root, &peers, "proc/net/tcp6");
	read_environment(&peers, ssh_connection);
	int rc = read_routes(root, ret, &peers, false, interface);
	if (rc == 0)
		rc = read_routes(root, ret, &peers, true, interface);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < peers.count; i++) {
		if (strcmp(peers.best[i].interface, interface) != 0)
			continue;
		print_address(&peers.at[i], printed);
		add_use(ret, "the ssh session of %s comes through it", printed);
	}
	read_uppers(root, ret, interface);
	read_ipv4_networks(root, ret, interface);
	read_ipv6_addresses(root, ret, interface);
	return 0;
}
