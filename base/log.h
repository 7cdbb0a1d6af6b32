/* base/log.h: lines for the operator, on standard error.
 *
 * A line is `LEVEL module: event key=value ...`.  Any thread may log; a line is written by one
 * write(2), so lines never mix.  Never inside a loop over packets or records: count there. */
#pragma once
#include <stddef.h>

enum log_level {
	LOG_DEBUG,
	LOG_INFO,
	LOG_WARN,
	LOG_ERROR,
	/* Of lines, not to be set: reads as info, and is told wherever errors are. */
	LOG_MILESTONE,
};

enum log_area {
#define AREA(name) LOG_AREA_##name,
#include "base/log_areas.def"
#undef AREA
	LOG_AREA_OTHER, /* of no name in the table */
	LOG_AREA_COUNT
};

/* Lines below the level of their area are dropped. */
struct log_levels {
	enum log_level of[LOG_AREA_COUNT];
};

extern const char *const log_level_names[LOG_MILESTONE + 1];
extern const char *const log_area_names[LOG_AREA_COUNT]; /* "other" is no name to be set by */

/* "warn", or "warn,storage=debug,tcp=info": of all areas, and of some; what is not said is info.
 * -ERR_CONFIG with the reason in `why`. */
int log_levels_parse(struct log_levels *ret, const char *text, char *why, size_t why_bytes);

/* Any thread, at any time. */
void log_set_levels(const struct log_levels *levels);
void log_set_level(enum log_level level); /* of all areas (at the start LOG_INFO) */

/* Lines longer than 1 KiB are cut.  `module` is the folder or file noun, an area of the table, and
 * a number where there are several ("catalog", "shard 1"). */
void log_line(enum log_level level, const char *module, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define log_debug(module, ...) log_line(LOG_DEBUG, module, __VA_ARGS__)
#define log_info(module, ...) log_line(LOG_INFO, module, __VA_ARGS__)
#define log_warn(module, ...) log_line(LOG_WARN, module, __VA_ARGS__)
#define log_error(module, ...) log_line(LOG_ERROR, module, __VA_ARGS__)
/* The process starts, is ready, stops. */
#define log_milestone(module, ...) log_line(LOG_MILESTONE, module, __VA_ARGS__)
