#include "tests/sim/log_lines.h"

#include "base/check.h"
#include "base/log.h"
#include "tests/sim/schedule.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

/* The linker's names (--wrap) have no header. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

enum {
	LINES = 400,
	LINE_BYTES = 512,
	WATCHERS_MAX = 4,
};

static struct {
	char text[LINES][LINE_BYTES];
	size_t starts[LINES]; /* where the level begins, behind time and speaker */
	unsigned count;       /* of all that were ever said */
	bool show;
	void (*watchers[WATCHERS_MAX])(const char *line);
} lines;

void log_lines_reset(void)
{
	lines.count = 0;
	memset(lines.watchers, 0, sizeof(lines.watchers));
}

void log_lines_show(bool show)
{
	lines.show = show;
}

void log_lines_watch(void (*said)(const char *line))
{
	unsigned i = 0;

	while (lines.watchers[i] && lines.watchers[i] != said)
		check(++i < WATCHERS_MAX);
	lines.watchers[i] = said;
}

__attribute__((format(printf, 2, 0))) static void add(const char *prefix, const char *format,
						      va_list arguments)
{
	char *text = lines.text[lines.count % LINES];
	const struct fiber *fiber = fiber_current();
	uint64_t now_ns = sim_now_ns();
	int start = snprintf(text, LINE_BYTES, "%" PRIu64 ".%09" PRIu64 " %-11s ",
			     now_ns / 1000000000, now_ns % 1000000000,
			     fiber ? fiber_name(fiber) : "-");

	lines.starts[lines.count++ % LINES] = (size_t)start;
	int length = snprintf(text + start, LINE_BYTES - (size_t)start, "%s", prefix);
	vsnprintf(text + start + length, LINE_BYTES - (size_t)(start + length), format, arguments);
	if (lines.show)
		fprintf(stderr, "%s\n", text);
	for (unsigned i = 0; i < WATCHERS_MAX && lines.watchers[i]; i++)
		lines.watchers[i](text + start);
}

void log_lines_add(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add("", format, arguments);
	va_end(arguments);
}

void __wrap_log_line(enum log_level level, const char *module, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

void __wrap_log_line(enum log_level level, const char *module, const char *format, ...)
{
	char prefix[64];
	va_list arguments;

	snprintf(prefix, sizeof(prefix), "%s %.40s: ", log_level_names[level], module);
	va_start(arguments, format);
	add(prefix, format, arguments);
	va_end(arguments);
}

void log_lines_print(FILE *file)
{
	unsigned first = lines.count > LINES ? lines.count - LINES : 0;

	for (unsigned i = first; i < lines.count; i++)
		fprintf(file, "%s\n", lines.text[i % LINES]);
}

const char *log_lines_last(const char *level)
{
	for (unsigned i = lines.count; i > 0 && lines.count - i < LINES; i--) {
		const char *line = lines.text[(i - 1) % LINES] + lines.starts[(i - 1) % LINES];
		if (strncmp(line, level, strlen(level)) == 0)
			return line;
	}
	return NULL;
}
