#include "bench/suite/driver_common.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- what the target says ---- */

static int port_of(const char *text, size_t length, uint16_t fallback, uint16_t *ret)
{
	char *end;
	long port;

	if (!length) {
		*ret = fallback;
		return 0;
	}
	if (*text != ':' || length < 2 || text[1] < '0' || text[1] > '9')
		return -EINVAL;
	errno = 0;
	port = strtol(text + 1, &end, 10);
	if (errno || end != text + length || port < 1 || port > UINT16_MAX)
		return -EINVAL;
	*ret = (uint16_t)port;
	return 0;
}

int driver_address(const struct driver *driver, const char *url, uint16_t default_port,
		   struct driver_address *ret)
{
	const char *scheme_end = strstr(url, "://");
	const char *host = scheme_end ? scheme_end + 3 : url;
	size_t length = strcspn(host, "/?");
	const char *user_end = memchr(host, '@', length);
	const char *host_end;
	struct driver_address address = {0};
	size_t host_length;

	if (user_end) {
		length -= (size_t)(user_end + 1 - host);
		host = user_end + 1;
	}
	if (length && *host == '[') {
		host++;
		length--;
		host_end = memchr(host, ']', length);
		if (!host_end)
			goto refused;
		host_length = (size_t)(host_end - host);
		host_end++;
	} else {
		host_end = memchr(host, ':', length);
		if (!host_end)
			host_end = host + length;
		host_length = (size_t)(host_end - host);
	}
	if (!host_length || host_length >= sizeof(address.host) ||
	    port_of(host_end, (size_t)(host + length - host_end), default_port, &address.port) < 0)
		goto refused;
	memcpy(address.host, host, host_length);
	*ret = address;
	return 0;
refused:
	driver_complain(driver, "'%s' is no address, write host:port", url);
	return -EINVAL;
}

int driver_setting_split(const struct driver *driver, const char *setting, char *key, size_t bytes,
			 const char **ret_value)
{
	const char *sign = strchr(setting, '=');

	if (!sign || sign == setting || (size_t)(sign - setting) >= bytes) {
		driver_complain(driver, "'%s' is no setting, write key=value", setting);
		return -EINVAL;
	}
	memcpy(key, setting, (size_t)(sign - setting));
	key[sign - setting] = '\0';
	*ret_value = sign + 1;
	return 0;
}

const char *driver_setting(const struct driver_target *target, const char *key)
{
	const char *const *setting = target->settings;
	size_t length = strlen(key);
	const char *value = NULL;

	for (; setting && *setting; setting++)
		if (!strncmp(*setting, key, length) && (*setting)[length] == '=')
			value = *setting + length + 1;
	return value;
}

int driver_setting_number(const struct driver *driver, const struct driver_target *target,
			  const char *key, uint64_t fallback, uint64_t min, uint64_t max,
			  uint64_t *ret)
{
	const char *text = driver_setting(target, key);
	unsigned long long value;
	char *end;

	if (!text) {
		*ret = fallback;
		return 0;
	}
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *text < '0' || *text > '9' || *end || value < min || value > max) {
		driver_complain(driver, "%s=%s is no number from %" PRIu64 " to %" PRIu64, key,
				text, min, max);
		return -EINVAL;
	}
	*ret = value;
	return 0;
}

static void complain_of_key(const struct driver *driver, const char *key, const char *const *known)
{
	char names[256] = "none";
	size_t length = 0;

	for (; *known && length < sizeof(names); known++)
		length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%s",
					   length ? ", " : "", *known);
	driver_complain(driver, "there is no setting %s; there are: %s", key, names);
}

int driver_settings_check(const struct driver *driver, const char *const *settings,
			  const char *const *known)
{
	const char *const *name;
	const char *value;
	char key[128];
	int rc;

	for (; settings && *settings; settings++) {
		rc = driver_setting_split(driver, *settings, key, sizeof(key), &value);
		if (rc < 0)
			return rc;
		for (name = known; *name && strcmp(*name, key) != 0; name++)
			;
		if (!*name) {
			complain_of_key(driver, key, known);
			return -EINVAL;
		}
	}
	return 0;
}

/* ---- what a client says first ---- */

/* 22 bytes: ApiVersions, version 0, correlation id 0, the client's name. */
#define API_VERSIONS "\0\0\0\x16\0\x12\0\0\0\0\0\0\0\x0csluice-bench"

const struct driver_hello driver_hello_kafka = {
	.text = API_VERSIONS,
	.bytes = sizeof(API_VERSIONS) - 1,
	.default_port = 9092,
};

int driver_no_compression(const struct driver *driver, const struct driver_target *target)
{
	if (!target->compression || !*target->compression || !strcmp(target->compression, "none"))
		return 0;
	driver_complain(driver, "its library does not compress (%s)", target->compression);
	return -EOPNOTSUPP;
}

/* ---- partitions of what has none ---- */

int driver_partition_name(const struct driver *driver, const char *topic, char separator,
			  unsigned partition, char *name, size_t bytes)
{
	int length = snprintf(name, bytes, "%s%c%u", topic, separator, partition);

	if (length > 0 && (size_t)length < bytes)
		return 0;
	driver_complain(driver, "the topic's name %.32s... is too long", topic);
	return -ENAMETOOLONG;
}

/* FNV-1a: it spreads short keys well, which is all that is asked. */
static uint32_t hash_of(const uint8_t *key, size_t bytes)
{
	uint32_t hash = 2166136261u;
	size_t i;

	for (i = 0; i < bytes; i++)
		hash = (hash ^ key[i]) * 16777619u;
	return hash;
}

unsigned driver_partition_of(const struct driver_record *record, unsigned partitions,
			     unsigned *turn)
{
	if (record->partition >= 0)
		return (unsigned)record->partition;
	if (record->key)
		return hash_of(record->key, record->key_bytes) % partitions;
	return (*turn)++ % partitions;
}

/* ---- waiting ---- */

uint64_t driver_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

unsigned driver_left_us(uint64_t deadline_us)
{
	uint64_t now_us = driver_now_us();

	return now_us < deadline_us ? (unsigned)(deadline_us - now_us) : 0;
}

int driver_wait(int fd, short events, unsigned timeout_us)
{
	struct timespec timeout = {.tv_sec = timeout_us / 1000000,
				   .tv_nsec = (long)(timeout_us % 1000000) * 1000};
	struct pollfd wanted = {.fd = fd, .events = events};
	int rc = ppoll(&wanted, 1, &timeout, NULL);

	if (rc < 0)
		return errno == EINTR ? 0 : -errno;
	return rc ? wanted.revents : 0;
}
