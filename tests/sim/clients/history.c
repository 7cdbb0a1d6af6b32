#include "tests/sim/clients/history.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BYTES = 4096, NAME_BYTES = 32 };

struct history_log {
	char name[NAME_BYTES];
	char *text;
	size_t size;
	size_t capacity;
	unsigned progress;
	struct history_log *next;
};

static struct history_log *first_log, **last_log = &first_log;

struct history_log *history_log_new(const char *name)
{
	struct history_log *log = calloc(1, sizeof(*log));

	check(log);
	snprintf(log->name, sizeof(log->name), "%s", name);
	*last_log = log;
	last_log = &log->next;
	return log;
}

static void grow(struct history_log *log, size_t bytes)
{
	if (log->size + bytes <= log->capacity)
		return;
	size_t capacity = log->capacity ? log->capacity : FIRST_BYTES;
	while (capacity < log->size + bytes)
		capacity *= 2;
	char *text = realloc(log->text, capacity);
	check(text);
	log->text = text;
	log->capacity = capacity;
}

__attribute__((format(printf, 2, 0))) static void add(struct history_log *log, const char *format,
						      va_list arguments)
{
	va_list again;

	va_copy(again, arguments);
	size_t room = log->capacity - log->size;
	int length = vsnprintf(log->text ? log->text + log->size : NULL, room, format, arguments);
	check(length >= 0);
	if ((size_t)length >= room) {
		grow(log, (size_t)length + 1);
		vsnprintf(log->text + log->size, (size_t)length + 1, format, again);
	}
	va_end(again);
	log->size += (size_t)length;
}

void history_add(struct history_log *log, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add(log, format, arguments);
	va_end(arguments);
}

static bool is_progress(const char *event)
{
	static const char *const names[] = {"acked", "fetched", "committed", "ended"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], event) == 0)
			return true;
	}
	return false;
}

static void begin(struct history_log *log, const char *event, const char *format)
{
	log->progress += is_progress(event);
	history_add(log, "{\"event\":\"%s\"%s", event, *format ? "," : "");
}

void history_begin(struct history_log *log, const char *event, const char *format, ...)
{
	va_list arguments;

	begin(log, event, format);
	va_start(arguments, format);
	add(log, format, arguments);
	va_end(arguments);
}

void history_end(struct history_log *log)
{
	history_add(log, "}\n");
}

void history_event(struct history_log *log, const char *event, const char *format, ...)
{
	va_list arguments;

	begin(log, event, format);
	va_start(arguments, format);
	add(log, format, arguments);
	va_end(arguments);
	history_end(log);
}

size_t history_size(const struct history_log *log)
{
	return log->size;
}

unsigned history_progress(const struct history_log *log)
{
	return log->progress;
}

const char *history_name(const struct history_log *log)
{
	return log->name;
}

void history_add_sizes(struct history_log *log)
{
	const char *comma = "";

	history_add(log, "{");
	for (struct history_log *each = first_log; each; each = each->next) {
		if (each == log)
			continue;
		history_add(log, "%s\"%s.jsonl\":%zu", comma, each->name, each->size);
		comma = ",";
	}
	history_add(log, "}");
}

void history_print(FILE *file)
{
	for (struct history_log *log = first_log; log; log = log->next) {
		fprintf(file, "%s.jsonl %zu\n", log->name, log->size);
		fwrite(log->text, 1, log->size, file);
	}
}
