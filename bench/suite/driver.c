#include "bench/suite/driver.h"

#include <string.h>

static const struct driver *const drivers[] = {
	&driver_sluice,
#ifdef HAVE_RDKAFKA
	&driver_kafka,
#endif
#ifdef HAVE_HIREDIS
	&driver_redis,
#endif
#ifdef HAVE_NATS
	&driver_nats,
#endif
#ifdef HAVE_RABBITMQ
	&driver_rabbitmq,
#endif
};

const struct driver *driver_at(size_t index)
{
	return index < sizeof(drivers) / sizeof(drivers[0]) ? drivers[index] : NULL;
}

const struct driver *driver_find(const char *name)
{
	const struct driver *driver;

	for (size_t i = 0; (driver = driver_at(i)); i++) {
		if (strcmp(driver->name, name) == 0)
			return driver;
	}
	return NULL;
}
