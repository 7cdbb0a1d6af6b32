#include "hw/tune/tune_state.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "hw/tune/tune.h"

enum { VERSION = 1 };

static void free_record(struct tune_record *record)
{
	free(record->path);
	free(record->former);
	free(record->set);
}

void tune_state_free(struct tune_state *state)
{
	for (size_t i = 0; i < state->count; i++)
		free_record(&state->at[i]);
	free(state->at);
	*state = (struct tune_state){0};
}

struct tune_record *tune_state_find(const struct tune_state *state, const char *path)
{
	for (size_t i = 0; i < state->count; i++) {
		if (strcmp(state->at[i].path, path) == 0)
			return &state->at[i];
	}
	return NULL;
}

void tune_state_remove(struct tune_state *state, struct tune_record *record)
{
	size_t index = (size_t)(record - state->at);

	free_record(record);
	state->count--;
	memmove(record, record + 1, (state->count - index) * sizeof(*record));
}

static int append(struct tune_state *state, const char *path, bool file, const char *former,
		  const char *set)
{
	struct tune_record *larger = reallocarray(state->at, state->count + 1, sizeof(*state->at));
	struct tune_record record = {.path = strdup(path), .set = strdup(set), .file = file};

	record.former = former ? strdup(former) : NULL;
	if (larger)
		state->at = larger;
	if (!larger || !record.path || !record.set || (former && !record.former)) {
		free_record(&record);
		return -ENOMEM;
	}
	state->at[state->count++] = record;
	return 0;
}

int tune_state_add(struct tune_state *state, const char *path, bool file, const char *former,
		   const char *set)
{
	struct tune_record *record = tune_state_find(state, path);

	if (!record)
		return append(state, path, file, former, set);
	char *copy = strdup(set);
	if (!copy)
		return -ENOMEM;
	free(record->set);
	record->set = copy;
	return 0;
}

void tune_state_restart(struct tune_state *state, const char *boot)
{
	if (strcmp(state->boot, boot) != 0) {
		for (size_t i = state->count; i > 0; i--) {
			if (!state->at[i - 1].file)
				tune_state_remove(state, &state->at[i - 1]);
		}
	}
	snprintf(state->boot, sizeof(state->boot), "%.63s", boot);
}

/* ---- the file ---- */

static bool path_allowed(const char *path, bool file)
{
	if (file)
		return strcmp(path, TUNE_LAYOUT) == 0;
	return strlen(path) < TUNE_PATH_BYTES && !strstr(path, "..") &&
	       (strncmp(path, "proc/sys/", 9) == 0 || strncmp(path, "proc/irq/", 9) == 0 ||
		strncmp(path, "sys/", 4) == 0);
}

static int parse_change(struct tune_state *state, const json_t *change)
{
	const char *path = json_string_value(json_object_get(change, "path"));
	const char *set = json_string_value(json_object_get(change, "set"));
	const json_t *former = json_object_get(change, "former");
	const json_t *file = json_object_get(change, "file");

	if (!path || !set || !json_is_boolean(file) || !path_allowed(path, json_is_true(file)) ||
	    tune_state_find(state, path))
		return -ERR_FORMAT;
	/* A value of the kernel was always there. */
	if (!json_is_string(former) && !(json_is_null(former) && json_is_true(file)))
		return -ERR_FORMAT;
	return append(state, path, json_is_true(file), json_string_value(former), set);
}

static int parse_object(struct tune_state *state, const json_t *object)
{
	const char *boot = json_string_value(json_object_get(object, "boot"));
	const json_t *changes = json_object_get(object, "changes");
	int rc = 0;

	if (json_integer_value(json_object_get(object, "version")) != VERSION || !boot ||
	    strlen(boot) >= sizeof(state->boot) || !json_is_array(changes) ||
	    json_array_size(changes) > TUNE_RECORDS_MAX)
		return -ERR_FORMAT;
	snprintf(state->boot, sizeof(state->boot), "%s", boot);
	for (size_t i = 0; i < json_array_size(changes) && rc == 0; i++)
		rc = parse_change(state, json_array_get(changes, i));
	return rc;
}

int tune_state_parse(struct tune_state *ret, const char *text)
{
	json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

	*ret = (struct tune_state){0};
	if (!object)
		return -ERR_FORMAT;
	int rc = parse_object(ret, object);
	json_decref(object);
	if (rc < 0)
		tune_state_free(ret);
	return rc;
}

int tune_state_read(struct tune_state *ret, const struct host_root *root)
{
	char *text;
	int rc = host_file(root, &text, TUNE_STATE);

	*ret = (struct tune_state){0};
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	rc = tune_state_parse(ret, text);
	free(text);
	return rc;
}

/* Null: no memory. */
static char *print(const struct tune_state *state)
{
	json_t *object = json_object();
	json_t *changes = json_array();
	bool failed = !object || !changes;

	for (size_t i = 0; i < state->count && !failed; i++) {
		const struct tune_record *record = &state->at[i];
		json_t *former = record->former ? json_string(record->former) : json_null();
		json_t *change = json_pack("{s:s, s:o, s:s, s:b}", "path", record->path, "former",
					   former, "set", record->set, "file", record->file);
		failed = json_array_append_new(changes, change) < 0;
	}
	failed = failed || json_object_set_new(object, "version", json_integer(VERSION)) < 0 ||
		 json_object_set_new(object, "boot", json_string(state->boot)) < 0 ||
		 json_object_set(object, "changes", changes) < 0;
	char *text = failed ? NULL : json_dumps(object, JSON_INDENT(2));
	json_decref(changes);
	json_decref(object);
	return text;
}

int tune_state_write(const struct tune_state *state, const struct host_root *root)
{
	if (state->count == 0)
		return host_remove(root, TUNE_STATE);
	char *text = print(state);
	if (!text)
		return -ENOMEM;
	int rc = host_replace(root, text, TUNE_STATE);
	free(text);
	return rc;
}
