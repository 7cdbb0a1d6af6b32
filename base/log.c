#include "base/log.h"

#include "base/errors.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *const log_level_names[] = {"debug", "info", "warn", "error", "info"};

const char *const log_area_names[LOG_AREA_COUNT] = {
#define AREA(name) [LOG_AREA_##name] = #name,
#include "base/log_areas.def"
#undef AREA
	[LOG_AREA_OTHER] = "other",
};

/* Less LOG_INFO, so that what nobody has set is that.  Each is read and written by itself: a line
 * is dropped or is not, and nothing follows from it. */
static _Atomic signed char levels[LOG_AREA_COUNT];

/* ---- levels ---- */

void log_set_levels(const struct log_levels *wanted)
{
	for (int i = 0; i < LOG_AREA_COUNT; i++)
		atomic_store_explicit(&levels[i], (signed char)(wanted->of[i] - LOG_INFO),
				      memory_order_relaxed);
}

void log_set_level(enum log_level level)
{
	struct log_levels all;

	for (int i = 0; i < LOG_AREA_COUNT; i++)
		all.of[i] = level;
	log_set_levels(&all);
}

/* The area that the `length` letters at `name` are; LOG_AREA_OTHER. */
static int find_area(const char *name, size_t length)
{
	int area = 0;

	while (area < LOG_AREA_OTHER &&
	       (strncmp(log_area_names[area], name, length) != 0 || log_area_names[area][length]))
		area++;
	return area;
}

static int find_level(const char *name, size_t length)
{
	for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
		if (strncmp(log_level_names[level], name, length) == 0 &&
		    !log_level_names[level][length])
			return level;
	}
	return -1;
}

static void list_areas(char *text, size_t text_bytes)
{
	size_t used = 0;

	for (int i = 0; i < LOG_AREA_OTHER && used < text_bytes; i++)
		used += (size_t)snprintf(text + used, text_bytes - used, "%s%s", i ? ", " : "",
					 log_area_names[i]);
}

/* One of the entries; the first may be a level alone. */
static int parse_entry(struct log_levels *levels_of, const char *entry, size_t length, bool first,
		       char *why, size_t why_bytes)
{
	size_t name_length = strcspn(entry, "=, ");
	bool named = entry[name_length] == '=';
	const char *level_text = named ? entry + name_length + 1 : entry;
	int level = find_level(level_text, length - (size_t)(level_text - entry));
	int area = named ? find_area(entry, name_length) : LOG_AREA_OTHER;
	char areas[256];

	if (level < 0 || (!named && !first)) {
		snprintf(why, why_bytes, "\"%.*s\" is no %s: debug, info, warn or error",
			 (int)length, entry, named || first ? "level" : "AREA=LEVEL");
		return -ERR_CONFIG;
	}
	if (named && area == LOG_AREA_OTHER) {
		list_areas(areas, sizeof(areas));
		snprintf(why, why_bytes, "\"%.*s\" is no area of the log: %s", (int)name_length,
			 entry, areas);
		return -ERR_CONFIG;
	}
	if (named)
		levels_of->of[area] = (enum log_level)level;
	for (int i = 0; !named && i < LOG_AREA_COUNT; i++)
		levels_of->of[i] = (enum log_level)level;
	return 0;
}

int log_levels_parse(struct log_levels *ret, const char *text, char *why, size_t why_bytes)
{
	struct log_levels parsed;

	for (int i = 0; i < LOG_AREA_COUNT; i++)
		parsed.of[i] = LOG_INFO;
	bool first = true;
	for (const char *at = text;; at++, first = false) {
		at += strspn(at, " ");
		size_t length = strcspn(at, ", ");
		int rc = parse_entry(&parsed, at, length, first, why, why_bytes);
		if (rc < 0)
			return rc;
		at += length;
		at += strspn(at, " ");
		if (!*at)
			break;
		if (*at != ',') {
			snprintf(why, why_bytes, "expected a comma before \"%.40s\"", at);
			return -ERR_CONFIG;
		}
	}
	*ret = parsed;
	return 0;
}

/* ---- lines ---- */

static bool is_dropped(enum log_level level, const char *module)
{
	int area = find_area(module, strcspn(module, " "));

	if (level == LOG_MILESTONE)
		level = LOG_ERROR;
	return (int)level - LOG_INFO < atomic_load_explicit(&levels[area], memory_order_relaxed);
}

void log_line(enum log_level level, const char *module, const char *format, ...)
{
	char line[1024];

	if (is_dropped(level, module))
		return;
	int length = snprintf(line, sizeof(line) - 1, "%s %.100s: ", log_level_names[level],
			      module);

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
