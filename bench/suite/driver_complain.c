#include "bench/suite/driver.h"

#include <stdarg.h>
#include <stdio.h>

void driver_complain(const struct driver *driver, const char *format, ...)
{
	char line[1024];
	va_list arguments;

	va_start(arguments, format);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): started above. */
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	/* In one piece, as other threads may complain too. */
	fprintf(stderr, "sluice-bench: %s: %s\n", driver->name, line);
}
