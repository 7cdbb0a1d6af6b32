/* bench/suite/driver_common.h: what the drivers share.
 *
 * Errors are complained about in the name of `driver`.  Everything is the caller's thread's. */
#pragma once
#include "bench/suite/driver.h"

#include <poll.h>

/* ---- what the target says ---- */

struct driver_address {
	char host[256];
	uint16_t port;
};

/* Of "scheme://user@host:port/path", "host:port", "[::1]:port", "host".  -EINVAL. */
int driver_address(const struct driver *driver, const char *url, uint16_t default_port,
		   struct driver_address *ret);
/* One of `settings`; the last one of that key counts.  Null: it is not there. */
const char *driver_setting(const struct driver_target *target, const char *key);
/* -EINVAL: not a number from min to max. */
int driver_setting_number(const struct driver *driver, const struct driver_target *target,
			  const char *key, uint64_t fallback, uint64_t min, uint64_t max,
			  uint64_t *ret);
/* Cuts "key=value" at the sign.  -EINVAL: it has none, or a key of `bytes` and more. */
int driver_setting_split(const struct driver *driver, const char *setting, char *key, size_t bytes,
			 const char **ret_value);
/* -EINVAL: `settings`, which may be null, has a key that is not among `known`, ended by null. */
int driver_settings_check(const struct driver *driver, const char *const *settings,
			  const char *const *known);

/* ---- what a client says first ---- */

/* Kafka's ApiVersions, from a client called "sluice-bench". */
extern const struct driver_hello driver_hello_kafka;

/* -EOPNOTSUPP: the target asks for compression, which this library does not know. */
int driver_no_compression(const struct driver *driver, const struct driver_target *target);

/* ---- partitions of what has none ---- */

enum { DRIVER_PARTITION_NAME_BYTES = 280 };

/* "topic", the separator, the number.  -ENAMETOOLONG. */
int driver_partition_name(const struct driver *driver, const char *topic, char separator,
			  unsigned partition, char *name, size_t bytes);
/* The record's own, else by its key, else in turn. */
unsigned driver_partition_of(const struct driver_record *record, unsigned partitions,
			     unsigned *turn);

/* ---- waiting ---- */

uint64_t driver_now_us(void);
/* What is left until then; 0: it is over. */
unsigned driver_left_us(uint64_t deadline_us);
/* Events that are there, 0 when the time is over or a signal came, -errno. */
int driver_wait(int fd, short events, unsigned timeout_us);
