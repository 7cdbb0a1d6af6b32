/* bench/suite/host_nic.c: the interface by which a broker is reached, and what it does for us.
 *
 * A datagram socket connected to the broker's address has the address that packets would leave
 * from; the interface that has that address is the one.  Nothing is sent. */
#include "bench/suite/host_internal.h"

#include "base/bytes.h"

#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOST_BYTES = 256 };

/* Of "scheme://user@host:port/...", "host:port,host:port", "[v6]:port"; "" when there is none. */
static void host_of_url(const char *url, char host[HOST_BYTES])
{
	const char *scheme_end = strstr(url, "://");
	const char *begin = scheme_end ? scheme_end + 3 : url;
	size_t length = strcspn(begin, "/,?");
	const char *user_end = memchr(begin, '@', length);

	if (user_end) {
		length -= (size_t)(user_end + 1 - begin);
		begin = user_end + 1;
	}
	if (*begin == '[')
		snprintf(host, HOST_BYTES, "%.*s", (int)strcspn(begin + 1, "]"), begin + 1);
	else
		snprintf(host, HOST_BYTES, "%.*s",
			 (int)(strcspn(begin, ":") < length ? strcspn(begin, ":") : length), begin);
}

/* ---- from the address to the interface ---- */

static bool local_address(const struct addrinfo *remote, struct sockaddr_storage *ret)
{
	socklen_t bytes = sizeof(*ret);
	int fd = socket(remote->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool found = fd >= 0 && connect(fd, remote->ai_addr, remote->ai_addrlen) == 0 &&
		     getsockname(fd, (struct sockaddr *)ret, &bytes) == 0;

	if (fd >= 0)
		close(fd);
	return found;
}

static bool same_address(const struct sockaddr *a, const struct sockaddr_storage *b)
{
	if (!a || a->sa_family != b->ss_family)
		return false;
	if (a->sa_family == AF_INET)
		return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
	return a->sa_family == AF_INET6 &&
	       memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
		      &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
	if (address->ss_family != AF_INET)
		return false;
	uint32_t ip = ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr);
	return ip >> 24 == IN_LOOPBACKNET; /* lo has only one of them to its name */
}

static bool interface_with(const struct sockaddr_storage *address, char name[IFNAMSIZ])
{
	struct ifaddrs *all = NULL;
	bool found = is_loopback(address);

	if (found) {
		snprintf(name, IFNAMSIZ, "lo");
		return true;
	}
	if (getifaddrs(&all) != 0)
		return false;
	for (const struct ifaddrs *one = all; one && !found; one = one->ifa_next) {
		found = same_address(one->ifa_addr, address);
		if (found)
			snprintf(name, IFNAMSIZ, "%s", one->ifa_name);
	}
	freeifaddrs(all);
	return found;
}

static bool interface_to(const char *host, char name[IFNAMSIZ])
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
	struct addrinfo *addresses = NULL;
	struct sockaddr_storage local = {0};

	if (!host[0] || getaddrinfo(host, "9", &hints, &addresses) != 0)
		return false;
	bool found = local_address(addresses, &local) && interface_with(&local, name);
	freeaddrinfo(addresses);
	return found;
}

/* ---- what the interface has ---- */

static const struct {
	uint32_t command;
	const char *name;
} offloads[] = {
	{ETHTOOL_GRXCSUM, "rx-checksum"},
	{ETHTOOL_GTXCSUM, "tx-checksum"},
	{ETHTOOL_GSG, "scatter-gather"},
	{ETHTOOL_GTSO, "tso"},
	{ETHTOOL_GGSO, "gso"},
	{ETHTOOL_GGRO, "gro"},
};

static bool ethtool(int fd, const char *interface, void *command)
{
	struct ifreq request = {.ifr_data = command};

	memcpy(request.ifr_name, interface, strnlen(interface, IFNAMSIZ - 1));
	return ioctl(fd, SIOCETHTOOL, &request) == 0;
}

static void append_driver(int fd, const char *interface, char *text, size_t bytes)
{
	struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};

	if (ethtool(fd, interface, &driver))
		host_append(text, bytes, ", %.32s", driver.driver);
}

static void append_offloads(int fd, const char *interface, char *text, size_t bytes)
{
	const char *separator = ", offloads ";

	for (size_t i = 0; i < array_count(offloads); i++) {
		struct ethtool_value value = {.cmd = offloads[i].command};

		if (ethtool(fd, interface, &value) && value.data) {
			host_append(text, bytes, "%s%s", separator, offloads[i].name);
			separator = " ";
		}
	}
}

static void append_line(const char *root, const char *interface, const char *file,
			const char *before, const char *after, char *text, size_t bytes)
{
	char line[32];

	if (host_line(line, sizeof(line), "%s/sys/class/net/%s/%s", root, interface, file) &&
	    strtol(line, NULL, 10) > 0)
		host_append(text, bytes, ", %s%s%s", before, line, after);
}

void host_nic(const char *root, const char *url, char *text, size_t bytes)
{
	char host[HOST_BYTES], interface[IFNAMSIZ];

	text[0] = '\0';
	if (strncmp(url, "dpdk:", 5) == 0) { /* past the kernel: the URL says by what */
		host_append(text, bytes, "DPDK %s", url + 5);
		return;
	}
	host_of_url(url, host);
	if (!interface_to(host, interface))
		return;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	host_append(text, bytes, "%s", interface);
	if (fd >= 0)
		append_driver(fd, interface, text, bytes);
	append_line(root, interface, "speed", "", " Mb/s", text, bytes);
	append_line(root, interface, "mtu", "MTU ", "", text, bytes);
	if (fd >= 0) {
		append_offloads(fd, interface, text, bytes);
		close(fd);
	}
}
