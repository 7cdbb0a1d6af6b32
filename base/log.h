/* base/log.h: lines for the operator, on standard error.
 *
 * A line is `LEVEL module: event key=value ...`.  Any thread may log; a line is written by one
 * write(2), so lines never mix.  Never inside a loop over packets or records: count there. */
#pragma once

enum log_level {
	LOG_DEBUG,
	LOG_INFO,
	LOG_WARN,
	LOG_ERROR,
};

/* Lines below `level` are dropped (default LOG_INFO).  Call before threads start. */
void log_set_level(enum log_level level);

/* Lines longer than 1 KiB are cut.  `module` is the folder or file noun ("catalog", "shard 1"). */
void log_line(enum log_level level, const char *module, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define log_debug(module, ...) log_line(LOG_DEBUG, module, __VA_ARGS__)
#define log_info(module, ...) log_line(LOG_INFO, module, __VA_ARGS__)
#define log_warn(module, ...) log_line(LOG_WARN, module, __VA_ARGS__)
#define log_error(module, ...) log_line(LOG_ERROR, module, __VA_ARGS__)
