#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static enum log_level lowest = LOG_INFO;

void log_set_level(enum log_level level)
{
	lowest = level;
}

void log_line(enum log_level level, const char *module, const char *format, ...)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	char line[1024];

	if (level < lowest)
		return;
	int length = snprintf(line, sizeof(line) - 1, "%s %.100s: ", names[level], module);

	va_list args;
	va_start(args, format);
	int more = vsnprintf(line + length, sizeof(line) - 1 - (size_t)length, format, args);
	va_end(args);
	length += more < 0 ? 0 : more;
	if (length > (int)sizeof(line) - 2)
		length = (int)sizeof(line) - 2;
	line[length++] = '\n';
	/* Nobody is left to tell when standard error is gone. */
	ssize_t written = write(STDERR_FILENO, line, (size_t)length);
	(void)written;
}
