/* sluice tune: settings of this host's kernel for a broker, and which cores its shards should have.
 */
#include <string.h>

#include "client/command/host.h"
#include "client/command/output.h"
#include "hw/tune/tune.h"

static const char *outcome_name(enum tune_outcome outcome)
{
	static const char *const names[] = {"planned", "done", "left", "refused"};

	return names[outcome];
}

/* A table has no room for a file. */
static void set_value(json_t *object, const char *name, const struct tune_change *change,
		      const char *value, bool table)
{
	document_set_text(object, name, change->file && table && value ? "(file)" : value);
}

static json_t *change_object(const struct tune_change *change, bool table)
{
	char path[TUNE_PATH_BYTES + 1];
	json_t *object = json_object();

	snprintf(path, sizeof(path), "/%s", change->path);
	document_set_text(object, "outcome", outcome_name(change->outcome));
	document_set_text(object, "path", path);
	set_value(object, "former", change, change->now, table);
	set_value(object, "value", change, change->wanted, table);
	document_set_text(object, "check", change->check[0] ? change->check : NULL);
	document_set_text(object, "note", change->note[0] ? change->note : NULL);
	return object;
}

static int print_tune(const struct invocation *invocation, const struct tune *tune)
{
	static const struct column columns[] = {{"outcome", "OUTCOME"},
						{"path", "PATH"},
						{"former", "FORMER"},
						{"value", "VALUE"},
						{"check", "CHECK"},
						{"note", "NOTE"},
						{0}};
	bool table = invocation->output == OUTPUT_TABLE;
	json_t *rows = json_array();
	int code = EXIT_DONE;

	for (size_t i = 0; i < tune->count; i++) {
		json_array_append_new(rows, change_object(&tune->at[i], table));
		if (tune->at[i].outcome == TUNE_REFUSED)
			code = EXIT_FAILED;
	}
	code = document_print_rows(invocation, rows, columns, code);
	for (size_t i = 0; table && i < tune->count; i++) {
		if (tune->at[i].file && tune->at[i].wanted)
			printf("\n/%s:\n%s", tune->at[i].path, tune->at[i].wanted);
	}
	return table ? output_finish(code) : code;
}

/* EXIT_DONE with a tune to print and free. */
static int plan(const struct invocation *invocation, const struct host_root *root, struct tune *ret)
{
	static struct host host;
	int code = host_of(invocation, root, &host);

	if (code != EXIT_DONE)
		return code;
	int rc = tune_plan(ret, &host);
	if (rc < 0)
		complain("%s", strerror(-rc));
	return rc < 0 ? EXIT_FAILED : EXIT_DONE;
}

static int tune(const struct invocation *invocation, const struct host_root *root)
{
	bool apply = flag_value(invocation, FLAG_apply) != NULL;
	bool undo = flag_value(invocation, FLAG_undo) != NULL;
	bool dry = flag_value(invocation, FLAG_dry_run) != NULL;
	struct tune made = {0};
	char why[512];
	int code = EXIT_DONE;
	int rc = 0;

	if (apply && (undo || dry))
		return complain_usage("one of --dry-run, --apply and --undo");
	if (!undo)
		code = plan(invocation, root, &made);
	if (code == EXIT_DONE && undo)
		rc = tune_undo(&made, root, dry, why, sizeof(why));
	else if (code == EXIT_DONE && apply)
		rc = tune_apply(&made, root, why, sizeof(why));
	if (rc < 0) {
		complain("%s", why);
		code = EXIT_FAILED;
	}
	if (code == EXIT_DONE)
		code = print_tune(invocation, &made);
	tune_free(&made);
	return code;
}

int verb_tune(struct invocation *invocation)
{
	struct host_root root;

	if (!host_root_of(invocation, &root))
		return EXIT_USAGE;
	int code = tune(invocation, &root);
	host_root_close(&root);
	return code;
}
