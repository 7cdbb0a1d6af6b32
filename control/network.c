#include "control/network.h"

#include "base/errors.h"
#include "base/log.h"
#include "control/config.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/port.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	ADDRESSES_MAX = 8,
	NAME_BYTES = 64,
	MEMIF_PATH_BYTES = 256,
};

/* What the strings in port_options point to. */
struct port_settings {
	struct port_options options;
	struct port_ip addresses[ADDRESSES_MAX];
	char device[NAME_BYTES];
};

/* In the order of the choices of dpdk.exception. */
static const enum port_exception exceptions[] = {
	PORT_EXCEPTION_AUTO,
	PORT_EXCEPTION_NONE,
	PORT_EXCEPTION_TAP,
};

/* In the order of the choices of dpdk.udp.checksum. */
static const enum port_udp_checksum udp_checksums[] = {
	PORT_UDP_CHECKSUM_AUTO,
	PORT_UDP_CHECKSUM_ALWAYS,
	PORT_UDP_CHECKSUM_DEVICE,
};

/* "0000:00:05.0", "00:05.0"; a vdev begins with its driver's name. */
static bool is_pci_address(const char *text)
{
	size_t digits = strspn(text, "0123456789abcdefABCDEF");

	return digits >= 2 && text[digits] == ':';
}

static int refuse(const char *key, const char *text, const char *expected, char *why,
		  size_t why_bytes)
{
	snprintf(why, why_bytes, "%s = \"%.80s\": expected %s", key, text, expected);
	return -ERR_CONFIG;
}

/* The next item of a comma-separated list; false at its end. */
static bool next_item(const char **at, char item[static NAME_BYTES])
{
	while (**at == ' ' || **at == ',')
		(*at)++;
	size_t length = strcspn(*at, ", ");
	if (!length)
		return false;
	snprintf(item, NAME_BYTES, "%.*s", (int)length, *at);
	*at += length;
	return true;
}

static int set_addresses(struct port_settings *settings, const char *text, char *why,
			 size_t why_bytes)
{
	char item[NAME_BYTES];
	unsigned count = 0;

	for (const char *at = text; next_item(&at, item);) {
		if (count == ADDRESSES_MAX ||
		    port_ip_parse(&settings->addresses[count++], item) < 0)
			return refuse("dpdk.address", text, "up to 8 of IP/PREFIX, comma-separated",
				      why, why_bytes);
	}
	settings->options.addresses = count ? settings->addresses : NULL;
	settings->options.address_count = count;
	return 0;
}

static int set_gateways(struct port_settings *settings, const char *text, char *why,
			size_t why_bytes)
{
	char item[NAME_BYTES];
	struct port_ip gateway;

	for (const char *at = text; next_item(&at, item);) {
		if (port_ip_parse(&gateway, item) < 0)
			return refuse("dpdk.gateway", text, "an IPv4 and an IPv6 address at most",
				      why, why_bytes);
		memcpy(strchr(item, ':') ? settings->options.gateway_v6
					 : settings->options.gateway_v4,
		       gateway.ip, sizeof(gateway.ip));
	}
	return 0;
}

static int settings_of(struct port_settings *ret, const struct config *config, unsigned shard_count,
		       char *why, size_t why_bytes)
{
	const char *port = config->dpdk_port;
	int name_bytes = (int)strcspn(port, ",");

	*ret = (struct port_settings){0};
	snprintf(ret->device, sizeof(ret->device), "%.*s", name_bytes, port);
	ret->options = (struct port_options){
		.device = ret->device,
		.shard_count = shard_count,
		.queues_max = (unsigned)config->dpdk_queues,
		.mtu = (uint16_t)config->dpdk_mtu,
		.vlan = (int)config->dpdk_vlan,
		.no_interrupts = config->poll == CONFIG_POLL_BUSY,
		.exception = exceptions[config->dpdk_exception],
		.udp_checksum = udp_checksums[config->dpdk_udp_checksum],
	};
	int rc = set_addresses(ret, config->dpdk_address, why, why_bytes);
	return rc < 0 ? rc : set_gateways(ret, config->dpdk_gateway, why, why_bytes);
}

int network_start(const struct config *config, unsigned shard_count, char *why, size_t why_bytes)
{
	const char *port = config->dpdk_port;
	char vdev[PORT_VDEV_BYTES];
	const char *const vdevs = vdev;
	struct port_settings settings;
	struct eal_options options = {
		.thread_count = shard_count + 3,
		.hugepages = config->dpdk_hugepages,
		.telemetry = config->dpdk_telemetry,
	};

	if (port[0]) {
		int rc = settings_of(&settings, config, shard_count, why, why_bytes);
		if (rc < 0)
			return rc;
		options.memory_bytes = port_memory_bytes(&settings.options);
		if (is_pci_address(port)) {
			options.devices = &port;
			options.device_count = 1;
		} else {
			rc = port_vdev(vdev, port, &settings.options, why, why_bytes);
			if (rc < 0)
				return rc;
			options.vdevs = &vdevs;
			options.vdev_count = 1;
		}
	}
	char reason[256] = "";
	int rc = eal_start_with(&options, reason, sizeof(reason));
	if (rc < 0)
		snprintf(why, why_bytes, "%s%s%s", port[0] ? port : "", port[0] ? ": " : "",
			 reason);
	return rc;
}

static const char *sent_checksums(const struct port_info *info)
{
	if (info->tx_checksum)
		return "device";
	return info->no_udp_checksum ? "none" : "software";
}

static void log_port(const struct port *port, const char *device)
{
	struct port_info info = port_info(port);
	struct port_link link = port_link(port);
	char address[INET6_ADDRSTRLEN] = "none";

	if (info.address_count) {
		const uint8_t *ip = port_ip(port, 0);
		bool v4 = ip[10] == 0xff && ip[11] == 0xff;
		inet_ntop(v4 ? AF_INET : AF_INET6, ip + (v4 ? 12 : 0), address, sizeof(address));
	}
	log_info("network",
		 "port device=%s driver=%s mac=%02x:%02x:%02x:%02x:%02x:%02x address=%s mtu=%u "
		 "queues=%u steering=%s rss=%s checksums=%s/%s zero_copy=%s interrupts=%s "
		 "kernel=%s link=%s",
		 device, info.driver, info.mac[0], info.mac[1], info.mac[2], info.mac[3],
		 info.mac[4], info.mac[5], address, info.mtu, info.queue_count,
		 info.steering ? "flow" : "software", info.rss ? "yes" : "no",
		 info.rx_checksum ? "device" : "software", sent_checksums(&info),
		 info.zero_copy ? "yes" : "no", info.interrupts ? "yes" : "no", info.exception,
		 link.up ? "up" : "down");
}

int network_port_start(struct port **ret, const struct config *config, unsigned shard_count,
		       uint16_t udp_port, char *why, size_t why_bytes)
{
	struct port_settings settings;

	*ret = NULL;
	if (!config->dpdk_port[0])
		return 0;
	int rc = settings_of(&settings, config, shard_count, why, why_bytes);
	if (rc < 0)
		return rc;
	settings.options.udp_port_first = udp_port;
	rc = port_start(ret, &settings.options, why, why_bytes);
	if (rc == 0)
		log_port(*ret, settings.device);
	return rc;
}

/* Of all shards: what is not zero, and hand-overs in any case. */
static void log_statistics(struct port *port, unsigned shard_count)
{
	char text[1024] = "";
	size_t used = 0;
	size_t count;
	const struct port_statistic_text *texts = port_statistic_texts(&count);

	for (size_t i = 0; i < count && used < sizeof(text); i++) {
		uint64_t sum = 0;
		for (unsigned shard = 0; shard < shard_count; shard++) {
			const struct port_statistics *statistics =
				port_queue_statistics(port_queue(port, shard));
			sum += ((const uint64_t *)statistics)[i];
		}
		if (sum || strcmp(texts[i].name, "handed_over") == 0)
			used += (size_t)snprintf(text + used, sizeof(text) - used, " %s=%llu",
						 texts[i].name, (unsigned long long)sum);
	}
	log_info("network", "port counted%s", text);
}

/* Of "net_memif0,role=server,socket-abstract=no,socket=PATH". */
static void remove_memif_socket(const char *vdev)
{
	static const char name[] = ",socket=";
	const char *begin = strstr(vdev, name);
	char path[MEMIF_PATH_BYTES];

	if (!begin || !strstr(vdev, "socket-abstract=no"))
		return;
	begin += strlen(name);
	snprintf(path, sizeof(path), "%.*s", (int)strcspn(begin, ","), begin);
	if (unlink(path) < 0 && errno != ENOENT)
		log_warn("network", "cannot remove the memif's socket path=%s: %s", path,
			 strerror(errno));
}

static struct port *left_open;

void network_port_stop(struct port *port, const struct config *config, unsigned shard_count)
{
	if (port)
		log_statistics(port, shard_count);
	if (port && strcmp(port_info(port).driver, "net_memif") == 0) {
		remove_memif_socket(config->dpdk_port);
		left_open = port;
		return;
	}
	port_stop(port);
}

void network_stop(void)
{
	if (!left_open)
		eal_stop();
}
