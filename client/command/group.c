#include "client/command/choice.h"
#include "client/command/command.h"

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
	regex_t regex;
	bool filtered;
	int code = choice_regex(invocation, &regex, &filtered);

	if (code)
		return code;
	json_t *rows = json_array();
	int rc = sluice_group_list(invocation->client, &groups);
	for (size_t i = 0; rc == 0 && i < groups->count; i++) {
		if (!filtered || regexec(&regex, groups->groups[i].id, 0, NULL, 0) == 0)
			json_array_append_new(rows, group_object(&groups->groups[i]));
	}
	if (filtered)
		regfree(&regex);
	if (rc < 0) {
		json_decref(rows);
		return complain_of(invocation, rc);
	}
	sluice_groups_free(groups);
	return document_print_rows(invocation, rows, columns, EXIT_DONE);
}

/* ---- lag ---- */

static json_t *offset_object(const struct sluice_group_offset *row)
{
	json_t *object = json_object();

	document_set_text(object, "topic", row->topic);
	json_object_set_new(object, "partition", json_integer(row->partition));
	json_object_set_new(object, "committed", json_integer(row->offset));
	document_set_count(object, "end", row->end);
	document_set_count(object, "lag", row->lag);
	return object;
}

static json_t *lag_object(const char *group, const struct sluice_group_offsets *offsets)
{
	json_t *object = json_object();
	json_t *partitions = json_array();
	int64_t total = 0;

	for (size_t i = 0; i < offsets->count; i++) {
		json_array_append_new(partitions, offset_object(&offsets->offsets[i]));
		total += offsets->offsets[i].lag > 0 ? offsets->offsets[i].lag : 0;
	}
	document_set_text(object, "group", group);
	json_object_set_new(object, "total_lag", json_integer(total));
	json_object_set_new(object, "partitions", partitions);
	return object;
}

int verb_group_lag(struct invocation *invocation)
{
	static const struct column columns[] = {{"group", "GROUP"},
						{"topic", "TOPIC"},
						{"partition", "PARTITION"},
						{"committed", "COMMITTED"},
						{"end", "END"},
						{"lag", "LAG"},
						{0}};
	static const struct part parts[] = {{.rows = "partitions", .columns = columns}, {0}};
	json_t *groups = json_array();
	int code = EXIT_DONE;

	for (size_t i = 0; !code && i < invocation->word_count; i++) {
		struct sluice_group_offsets *offsets;
		int rc = sluice_group_offsets(invocation->client, invocation->words[i], &offsets);
		if (rc < 0) {
			code = complain_of(invocation, rc);
			continue;
		}
		json_array_append_new(groups, lag_object(invocation->words[i], offsets));
		sluice_group_offsets_free(offsets);
	}
	return document_print(invocation, groups, parts, code);
}
