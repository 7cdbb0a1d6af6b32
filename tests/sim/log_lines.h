/* tests/sim/log_lines.h: what the programs of the simulated world log, in place of standard error:
 * the newest lines are kept, with the time and who said them. */
#pragma once
#include <stdbool.h>
#include <stdio.h>

void log_lines_reset(void);
void log_lines_show(bool show); /* also on standard error, at once */
void log_lines_add(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_lines_print(FILE *file);
/* The newest that has this level ("error"); null: none. */
const char *log_lines_last(const char *level);
/* Is told each line, "level module: text", without its time; once, however often it is asked for.
 */
void log_lines_watch(void (*said)(const char *line));
