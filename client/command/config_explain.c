/* sluice config explain and lint: what is known of settings without a broker, from the tables that
 * sluiced has (control/setting_tables.h). */
#include <ctype.h>
#include <string.h>

#include "base/nearest.h"
#include "client/command/command.h"
#include "control/setting_tables.h"

/* ---- explain ---- */

/* One table, in the order in which keys are looked up. */
struct settings {
	const char *of;
	const struct param *params;
	size_t count;
};

static const struct settings tables[] = {
	{"broker", config_params, CONFIG_COUNT},
	{"topic", topic_params, TOPIC_CONFIG_COUNT},
	{"group", group_params, GROUP_CONFIG_COUNT},
};
enum { BROKER_TABLE, TOPIC_TABLE, GROUP_TABLE, TABLES };

/* The broker's setting that gives the default of a topic's or a group's. */
static int broker_index(size_t table, size_t index)
{
	if (table == TOPIC_TABLE)
		return topic_config_broker_index((enum topic_config_index)index);
	if (table == GROUP_TABLE)
		return group_config_broker_index((enum group_config_index)index);
	return NO_BROKER_SETTING;
}

static void set_variable(json_t *object, const char *key)
{
	char name[128] = "SLUICE_";
	size_t at = strlen(name);

	for (; *key && at + 1 < sizeof(name); key++)
		name[at++] = *key == '.' ? '_' : (char)toupper((unsigned char)*key);
	name[at] = '\0';
	document_set_text(object, "variable", name);
}

static json_t *setting_object(size_t table, size_t index)
{
	const struct param *param = &tables[table].params[index];
	int broker = broker_index(table, index);
	const struct param *giver = broker == NO_BROKER_SETTING ? NULL : &config_params[broker];
	json_t *object = json_object();
	char valid[256];

	param_describe(param, valid, sizeof(valid));
	document_set_text(object, "name", param->key);
	document_set_text(object, "of", tables[table].of);
	document_set_text(object, "default", giver ? giver->default_text : param->default_text);
	document_set_text(object, "default_from", giver ? giver->key : NULL);
	document_set_text(object, "valid", valid);
	document_set_text(object, "change", param->live ? "at once" : "after a restart");
	if (table == BROKER_TABLE)
		set_variable(object, param->key);
	document_set_text(object, "help", param->help);
	return object;
}

/* False, and a complaint: no table has it. */
static bool explain(const char *key, json_t *settings)
{
	struct nearest nearest;

	nearest_init(&nearest, key);
	for (size_t i = 0; i < TABLES; i++) {
		int index = params_find(tables[i].params, tables[i].count, key);
		if (index >= 0) {
			json_array_append_new(settings, setting_object(i, (size_t)index));
			return true;
		}
		nearest_offer(&nearest, params_nearest(tables[i].params, tables[i].count, key));
	}
	complain_usage("no setting is called '%s'; did you mean '%s'?", key, nearest.name);
	return false;
}

static void explain_all(json_t *settings)
{
	for (size_t i = 0; i < TABLES; i++) {
		for (size_t j = 0; j < tables[i].count; j++)
			json_array_append_new(settings, setting_object(i, j));
	}
}

int verb_config_explain(struct invocation *invocation)
{
	static const struct column facts[] = {{"name", "SETTING"},
					      {"of", "OF"},
					      {"default", "DEFAULT"},
					      {"valid", "VALID"},
					      {"default_from", "DEFAULT FROM"},
					      {"change", "CHANGE HOLDS"},
					      {"help", "MEANING"},
					      {0}};
	static const struct part one[] = {{.columns = facts}, {0}};
	static const struct column columns[] = {{"name", "SETTING"},    {"of", "OF"},
						{"default", "DEFAULT"}, {"change", "CHANGE HOLDS"},
						{"help", "MEANING"},    {0}};
	json_t *settings = json_array();

	for (size_t i = 0; i < invocation->word_count; i++) {
		if (!explain(invocation->words[i], settings)) {
			json_decref(settings);
			return EXIT_USAGE;
		}
	}
	if (!invocation->word_count)
		explain_all(settings);
	/* For people one setting is told in lines, which have room for it. */
	if (invocation->output == OUTPUT_TABLE && json_array_size(settings) == 1) {
		json_t *only = json_incref(json_array_get(settings, 0));
		json_decref(settings);
		return document_print(invocation, only, one, EXIT_DONE);
	}
	return document_print_rows(invocation, settings, columns, EXIT_DONE);
}

/* ---- lint ---- */

static void add_problem(const struct config_problem *problem, void *context)
{
	json_t *object = json_object();

	document_set_text(object, "file", problem->path);
	document_set_count(object, "line", problem->line ? (int64_t)problem->line : -1);
	document_set_text(object, "problem", problem->reason);
	json_array_append_new(context, object);
}

int verb_config_lint(struct invocation *invocation)
{
	static const struct column columns[] = {
		{"file", "FILE"}, {"line", "LINE"}, {"problem", "PROBLEM"}, {0}};
	json_t *problems = json_array();
	int code = EXIT_DONE;

	for (size_t i = 0; i < invocation->word_count; i++) {
		if (config_lint(invocation->words[i], add_problem, problems) < 0)
			code = EXIT_FAILED;
	}
	if (code == EXIT_DONE && invocation->output == OUTPUT_TABLE) {
		json_decref(problems);
		return EXIT_DONE;
	}
	return document_print_rows(invocation, problems, columns, code);
}
