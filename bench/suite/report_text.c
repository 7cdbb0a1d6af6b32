#include "bench/suite/report_text.h"

#include "control/param.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- workloads ---- */

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

static void say_size(FILE *out, const struct workload *workload)
{
	fprintf(out, "%u topic%s of %u partition%s, records of %u bytes, acks=%s", workload->topics,
		plural(workload->topics), workload->partitions_per_topic,
		plural(workload->partitions_per_topic), workload->message_bytes,
		driver_acks_text(workload->acks));
	if (workload->compression[0] && strcmp(workload->compression, "none") != 0)
		fprintf(out, ", %s", workload->compression);
	if (workload->dedup)
		fprintf(out, ", with ids");
}

static void say_clients(FILE *out, const struct workload *workload)
{
	fprintf(out, "; a topic has %u producer%s", workload->producers_per_topic,
		plural(workload->producers_per_topic));
	if (workload->subscriptions_per_topic)
		fprintf(out, " and %u subscription%s of %u consumer%s",
			workload->subscriptions_per_topic,
			plural(workload->subscriptions_per_topic),
			workload->consumers_per_subscription,
			plural(workload->consumers_per_subscription));
	if (workload->grouped)
		fprintf(out, " in groups");
	if (workload->rebalance_ms)
		fprintf(out, ", a member leaves every %u ms", workload->rebalance_ms);
	if (workload->idle_connections)
		fprintf(out, ", beside %u idle connections", workload->idle_connections);
}

static void say_rate(FILE *out, const struct workload *workload)
{
	if (workload->producer_rate)
		fprintf(out, "; %" PRIu64 " records a second", workload->producer_rate);
	else
		fprintf(out, "; as fast as windows let them");
	if (workload->backlog_bytes)
		fprintf(out, ", consumers start behind %.4g MB",
			(double)workload->backlog_bytes / 1e6);
	if (workload->duration_ms)
		fprintf(out, "; %.4g s after %.4g s of warming up",
			(double)workload->duration_ms / 1e3, (double)workload->warm_up_ms / 1e3);
}

const char *workload_text(const struct workload *workload, char *text, size_t bytes)
{
	FILE *out = fmemopen(text, bytes, "w");

	text[0] = '\0';
	if (!out)
		return text;
	say_size(out, workload);
	say_clients(out, workload);
	say_rate(out, workload);
	fclose(out);
	text[bytes - 1] = '\0';
	return text;
}

/* All values of a key, with commas between. */
static void say_key(const struct workload *workload, size_t key, char *text, size_t bytes)
{
	char value[WORKLOAD_SETTING_BYTES_MAX + 1];
	size_t length = 0;

	text[0] = '\0';
	for (size_t i = 0; length < bytes && workload_get(workload, key, i, value, sizeof(value));
	     i++)
		length += (size_t)snprintf(text + length, bytes - length, "%s%s", i ? "," : "",
					   value);
}

const char *workload_difference(const struct workload *workload, const struct workload *from,
				char *text, size_t bytes)
{
	char is[256], was[256];
	const struct param *param;
	size_t length = 0;

	text[0] = '\0';
	for (size_t i = 0; length < bytes && (param = workload_key_at(i)); i++) {
		say_key(workload, i, is, sizeof(is));
		say_key(from, i, was, sizeof(was));
		if (strcmp(param->key, "help") == 0 || strcmp(is, was) == 0)
			continue;
		length += (size_t)snprintf(text + length, bytes - length, "%s%s is %s, not %s",
					   length ? ", " : "", param->key, is[0] ? is : "not given",
					   was[0] ? was : "given");
	}
	return text;
}

/* ---- hosts ---- */

const char *host_fact(const struct host *host, size_t index, char *text, size_t bytes)
{
	static const char *const names[] = {"CPU",  "kernel", "system",   "memory",
					    "disk", "NIC",    "governor", "load before"};

	text[0] = '\0';
	switch (index) {
	case 0:
		if (host->cores)
			snprintf(text, bytes, "%s, %u core%s", host->cpu, host->cores,
				 plural(host->cores));
		break;
	case 1:
		snprintf(text, bytes, "%s", host->kernel);
		break;
	case 2:
		snprintf(text, bytes, "%s", host->distribution);
		break;
	case 3:
		if (host->memory_bytes)
			snprintf(text, bytes, "%.1f GB", (double)host->memory_bytes / 1e9);
		break;
	case 4:
		snprintf(text, bytes, "%s", host->disk);
		break;
	case 5:
		snprintf(text, bytes, "%s", host->nic);
		break;
	case 6:
		snprintf(text, bytes, "%s", host->governor);
		break;
	case 7:
		if (host->cores)
			snprintf(text, bytes, "%.2f", host->load_average);
		break;
	default:
		return NULL;
	}
	return names[index];
}

/* ---- tables ---- */

static bool table_grow(struct table *table)
{
	size_t room = table->room ? 2 * table->room : 64;
	char **cells = realloc(table->cells, room * sizeof(*cells));

	if (!cells)
		return false;
	table->cells = cells;
	table->room = room;
	return true;
}

void table_add(struct table *table, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	int length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0 || (table->count == table->room && !table_grow(table))) {
		table->failed = true;
		if (length >= 0)
			free(text);
		return;
	}
	table->cells[table->count++] = text;
}

static size_t column_width(const struct table *table, size_t column)
{
	size_t width = 0;

	for (size_t i = column; i < table->count; i += table->columns) {
		size_t length = strlen(table->cells[i]);
		width = length > width ? length : width;
	}
	return width;
}

static void print_cell(const struct table *table, size_t index, FILE *out)
{
	size_t column = index % table->columns;
	int width = (int)column_width(table, column);

	if (column == 0)
		fprintf(out, "  %-*s", width, table->cells[index]);
	else
		fprintf(out, "  %*s", width, table->cells[index]);
	if (column == table->columns - 1)
		fputc('\n', out);
}

int table_print(struct table *table, FILE *out)
{
	int rc = table->failed ? -ENOMEM : 0;

	for (size_t i = 0; rc == 0 && i < table->count; i++)
		print_cell(table, i, out);
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
	*table = (struct table){.columns = table->columns};
	return rc;
}
