#include <inttypes.h>

#include "client/command/command.h"
#include "client/command/output.h"

/* ---- listing ---- */

static json_t *group_object(const struct sluice_group *group)
{
	json_t *object = json_object();

	document_set_text(object, "id", group->id);
	document_set_text(object, "type", group->type);
	document_set_text(object, "protocol", group->protocol_type);
	document_set_text(object, "state", group->state);
	return object;
}

int verb_group_list(struct invocation *invocation)
{
	static const struct column columns[] = {{"id", "GROUP"},
						{"type", "TYPE"},
						{"protocol", "PROTOCOL"},
						{"state", "STATE"},
						{0}};
	struct sluice_groups *groups;
	int rc = sluice_group_list(invocation->client, &groups);

	if (rc < 0)
		return complain_of(invocation, rc);
	json_t *rows = json_array();
	for (size_t i = 0; i < groups->count; i++)
		json_array_append_new(rows, group_object(&groups->groups[i]));
	sluice_groups_free(groups);
	return document_print_rows(invocation, rows, columns, EXIT_DONE);
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
	put_json_string(stdout, group);
	fputs(",\"partitions\":[", stdout);
	for (size_t i = 0; i < offsets->count; i++) {
		const struct sluice_group_offset *row = &offsets->offsets[i];
		fputs(i ? ",{\"topic\":" : "{\"topic\":", stdout);
		put_json_string(stdout, row->topic);
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
