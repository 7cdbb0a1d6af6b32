#include <inttypes.h>

#include "client/command/command.h"
#include "client/command/output.h"

/* ---- listing ---- */

static void list_json(const struct sluice_groups *groups)
{
	putchar('[');
	for (size_t i = 0; i < groups->count; i++) {
		const struct sluice_group *group = &groups->groups[i];
		fputs(i ? ",{\"id\":" : "{\"id\":", stdout);
		json_string(stdout, group->id);
		fputs(",\"type\":", stdout);
		json_string(stdout, group->type);
		fputs(",\"protocol\":", stdout);
		json_string(stdout, group->protocol_type);
		fputs(",\"state\":", stdout);
		json_string(stdout, group->state);
		putchar('}');
	}
	puts("]");
}

static void list_table(const struct sluice_groups *groups)
{
	struct table table;

	table_init(&table, 4, "GROUP", "TYPE", "PROTOCOL", "STATE");
	for (size_t i = 0; i < groups->count; i++) {
		const struct sluice_group *group = &groups->groups[i];
		table_add(&table, "%s", group->id);
		table_add(&table, "%s", group->type[0] ? group->type : "-");
		table_add(&table, "%s", group->protocol_type[0] ? group->protocol_type : "-");
		table_add(&table, "%s", group->state[0] ? group->state : "-");
	}
	table_finish(&table);
}

int verb_group_list(struct invocation *invocation)
{
	struct sluice_groups *groups;
	int rc = sluice_group_list(invocation->client, &groups);

	if (rc < 0)
		return complain_of(invocation, rc);
	if (invocation->json)
		list_json(groups);
	else
		list_table(groups);
	sluice_groups_free(groups);
	return output_finish(EXIT_DONE);
}

/* ---- lag ---- */

/* -1 is null. */
static void number_json(const char *name, int64_t number)
{
	if (number < 0)
		printf(",\"%s\":null", name);
	else
		printf(",\"%s\":%" PRId64, name, number);
}

static void lag_json(const char *group, const struct sluice_group_offsets *offsets, bool first)
{
	fputs(first ? "{\"group\":" : ",{\"group\":", stdout);
	json_string(stdout, group);
	fputs(",\"partitions\":[", stdout);
	for (size_t i = 0; i < offsets->count; i++) {
		const struct sluice_group_offset *row = &offsets->offsets[i];
		fputs(i ? ",{\"topic\":" : "{\"topic\":", stdout);
		json_string(stdout, row->topic);
		printf(",\"partition\":%" PRId32 ",\"committed\":%" PRId64, row->partition,
		       row->offset);
		number_json("end", row->end);
		number_json("lag", row->lag);
		putchar('}');
	}
	fputs("]}", stdout);
}

static void add_number(struct table *table, int64_t number)
{
	if (number < 0)
		table_add(table, "-");
	else
		table_add(table, "%" PRId64, number);
}

static void add_lag(struct table *table, const char *group,
		    const struct sluice_group_offsets *offsets)
{
	for (size_t i = 0; i < offsets->count; i++) {
		const struct sluice_group_offset *row = &offsets->offsets[i];
		table_add(table, "%s", group);
		table_add(table, "%s", row->topic);
		table_add(table, "%" PRId32, row->partition);
		table_add(table, "%" PRId64, row->offset);
		add_number(table, row->end);
		add_number(table, row->lag);
	}
}

/* Adds to the table, or prints. */
static int show_lag(struct invocation *invocation, struct table *table, size_t index)
{
	struct sluice_group_offsets *offsets;
	const char *group = invocation->words[index];
	int rc = sluice_group_offsets(invocation->client, group, &offsets);

	if (rc < 0)
		return complain_of(invocation, rc);
	if (invocation->json)
		lag_json(group, offsets, index == 0);
	else
		add_lag(table, group, offsets);
	sluice_group_offsets_free(offsets);
	return EXIT_DONE;
}

int verb_group_lag(struct invocation *invocation)
{
	struct table table;
	int code = EXIT_DONE;

	if (invocation->json)
		putchar('[');
	else
		table_init(&table, 6, "GROUP", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG");
	for (size_t i = 0; !code && i < invocation->word_count; i++)
		code = show_lag(invocation, &table, i);
	if (invocation->json)
		puts("]");
	else
		table_finish(&table);
	return output_finish(code);
}
