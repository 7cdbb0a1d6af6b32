#include "client/command/command.h"

#include <stdarg.h>
#include <stdio.h>

enum { COMPLAINT_BYTES = 4096 }; /* longer ones are cut */

static void print(const char *text)
{
	fflush(stdout);
	fprintf(stderr, "sluice: %s\n", text);
}

void complain(const char *format, ...)
{
	char text[COMPLAINT_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	print(text);
}

int complain_usage(const char *format, ...)
{
	char text[COMPLAINT_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	print(text);
	fputs("        `sluice help` shows what there is\n", stderr);
	return EXIT_USAGE;
}
