/* tests/sim/clients/history.h: what clients write down, in the form of tests/history/README.md.
 *
 * Logs are kept in memory, each with its name; the world has one thread, so that their sizes at any
 * moment are a cut through all of them.  Fields of an event are written as JSON by who logs it. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct history_log;

/* Named NAME.jsonl for the checker; lives as long as the program. */
struct history_log *history_log_new(const char *name);
/* One event; the format gives the fields behind its name, without braces:
 * history_event(log, "failed", "\"id\":\"%s\"", id). */
void history_event(struct history_log *log, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same in pieces, for lists: history_begin, history_add..., history_end. */
void history_begin(struct history_log *log, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void history_add(struct history_log *log, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void history_end(struct history_log *log);
size_t history_size(const struct history_log *log);
/* How many events it has that show that its client gets on. */
unsigned history_progress(const struct history_log *log);
const char *history_name(const struct history_log *log);

/* An event of all logs' sizes, taken now: {"producer.jsonl":120,...}. */
void history_add_sizes(struct history_log *log);
/* Every log: its name and size in bytes on a line of its own, then its lines. */
void history_print(FILE *file);
