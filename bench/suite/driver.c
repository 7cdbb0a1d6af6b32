#include "bench/suite/driver.h"

#include <stdarg.h>
#include <stdio.h>
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

void driver_complain(const struct driver *driver, const char *format, ...)
{
	char line[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	/* In one piece, as other threads may complain too. */
	fprintf(stderr, "sluice-bench: %s: %s\n", driver->name, line);
}
