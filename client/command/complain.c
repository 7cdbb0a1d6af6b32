#include "client/command/command.h"
#include "client/command/progress.h"

#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 1, 0))) static void complain_list(const char *format,
								va_list arguments)
{
	fflush(stdout);
	progress_hide();
	fputs("sluice: ", stderr);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): both callers have started it. */
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

void complain(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain_list(format, arguments);
	va_end(arguments);
}

int complain_usage(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain_list(format, arguments);
	va_end(arguments);
	fputs("        `sluice help` shows what there is\n", stderr);
	return EXIT_USAGE;
}
