/* `sluice debug bundle`: what somebody who is to help wants to see first, in one archive.
 *
 * Most parts are what sluice itself prints, run once for each of them; so a part that fails, or
 * takes too long, costs that part alone, and manifest.json says why it is not there.  Secrets are
 * taken out of everything (redact.h). */
#include "client/command/command.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "client/command/archive.h"
#include "client/command/capture.h"
#include "client/command/connect.h"
#include "client/command/http_get.h"
#include "client/command/progress.h"
#include "client/command/redact.h"

enum {
	PART_BYTES_MAX = 16 << 20,
	LOG_BYTES_MAX = 4 << 20, /* of its end */
	PART_TIMEOUT_MS = 60000,
	WORDS_MAX = 16,
	ARGUMENTS_MAX = WORDS_MAX + 2 * 4 * FLAG_VALUES_MAX,
};

#define SELF "/proc/self/exe"

struct bundle {
	struct invocation *invocation;
	struct archive *archive;
	struct progress progress;
	char *admin;
	json_t *parts; /* what the manifest says of them */
	int64_t time_s;
	int rc; /* the archive cannot be written */
};

/* ---- adding ---- */

static void tell(struct bundle *bundle, const char *name, json_t *bytes, const char *error)
{
	json_t *part = json_object();

	document_set_text(part, "name", name);
	json_object_set_new(part, "size_bytes", bytes);
	document_set_text(part, "error", error);
	json_array_append_new(bundle->parts, part);
	progress_step(&bundle->progress, (int64_t)json_array_size(bundle->parts));
}

static void leave_out(struct bundle *bundle, const char *name, const char *error)
{
	tell(bundle, name, json_null(), error);
}

static void add_text(struct bundle *bundle, const char *name, const char *text, size_t length,
		     const char *error)
{
	char *clean = NULL;
	size_t clean_length = 0;
	FILE *to = open_memstream(&clean, &clean_length);

	if (to)
		redact(text, length, to);
	if (!to || fclose(to) != 0)
		bundle->rc = -ENOMEM;
	if (bundle->rc == 0)
		bundle->rc = archive_add(bundle->archive, name, clean, clean_length,
					 bundle->time_s);
	free(clean);
	tell(bundle, name, json_integer((json_int_t)clean_length), error);
}

/* ---- what programs print ---- */

static void add_output(struct bundle *bundle, const char *name, char *const argv[])
{
	bool errors = strcmp(argv[0], SELF) != 0; /* ours are for people */
	struct capture capture;
	int rc = capture_run(&capture, argv, errors, PART_BYTES_MAX, PART_TIMEOUT_MS);

	if (rc < 0) {
		leave_out(bundle, name, strerror(-rc));
		return;
	}
	if (capture.length)
		add_text(bundle, name, capture.output, capture.length,
			 capture.cut ? "only its first 16 MiB" : NULL);
	else
		leave_out(bundle, name, "it printed nothing");
	free(capture.output);
}

/* Flags that say which broker it is. */
static void pass_flags(const struct invocation *invocation, char **argv)
{
	static const struct {
		enum flag_index flag;
		const char *name;
	} passed[] = {{FLAG_brokers, "-b"},
		      {FLAG_profile, "--profile"},
		      {FLAG_timeout, "-t"},
		      {FLAG_option, "-X"}};
	size_t count = 0;

	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
		const struct flag_values *values = &invocation->flags[passed[i].flag];
		for (size_t j = 0; j < values->count; j++) {
			/* posix_spawn changes none of them. */
			argv[count++] = (char *)(uintptr_t)passed[i].name;
			argv[count++] = (char *)(uintptr_t)values->values[j];
		}
	}
}

/* `words`: a program and its arguments, separated by spaces; SELF gets our flags too. */
static void add_program(struct bundle *bundle, const char *name, const char *words)
{
	char *argv[ARGUMENTS_MAX + 1] = {NULL};
	char *copy = strdup(words);
	char *left = copy;
	size_t count = 0;

	if (!copy) {
		leave_out(bundle, name, strerror(ENOMEM));
		return;
	}
	while (left && count < WORDS_MAX)
		argv[count++] = strsep(&left, " ");
	if (strcmp(argv[0], SELF) == 0)
		pass_flags(bundle->invocation, argv + count);
	add_output(bundle, name, argv);
	free(copy);
}

/* ---- files and HTTP ---- */

/* The last `bytes_max` of it. */
static void add_file(struct bundle *bundle, const char *name, const char *path, long bytes_max)
{
	FILE *from = fopen(path, "re");
	char *text = malloc((size_t)bytes_max);

	if (!from || !text) {
		leave_out(bundle, name, strerror(errno));
	} else {
		bool cut = fseek(from, -bytes_max, SEEK_END) == 0 && ftell(from) > 0;
		if (!cut)
			rewind(from);
		size_t length = fread(text, 1, (size_t)bytes_max, from);
		if (ferror(from))
			leave_out(bundle, name, strerror(errno));
		else
			add_text(bundle, name, text, length, cut ? "only its end" : NULL);
	}
	free(text);
	if (from)
		fclose(from);
}

static void add_page(struct bundle *bundle, const char *name, const char *path)
{
	char why[HTTP_WHY_BYTES];
	size_t length;
	char *body;

	if (http_get(bundle->admin, path, PART_BYTES_MAX, PART_TIMEOUT_MS, &body, &length, why) <
	    0) {
		leave_out(bundle, name, why);
		return;
	}
	add_text(bundle, name, body, length, NULL);
	free(body);
}

/* The file of settings, and what lies in conf.d beside it. */
static void add_settings(struct bundle *bundle)
{
	const char *given = flag_value(bundle->invocation, FLAG_settings);
	const char *path = given ? given : "/etc/sluice/sluice.conf";
	const char *slash = strrchr(path, '/');
	char pattern[4096];
	char name[100];
	glob_t found;

	add_file(bundle, "config/sluice.conf", path, LOG_BYTES_MAX);
	snprintf(pattern, sizeof(pattern), "%.*s/conf.d/*.conf", slash ? (int)(slash - path) : 1,
		 slash ? path : ".");
	if (glob(pattern, 0, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		snprintf(name, sizeof(name), "config/conf.d/%s",
			 strrchr(found.gl_pathv[i], '/') + 1);
		add_file(bundle, name, found.gl_pathv[i], LOG_BYTES_MAX);
	}
	globfree(&found);
}

static void add_log(struct bundle *bundle)
{
	const char *path = flag_value(bundle->invocation, FLAG_log);

	if (path)
		add_file(bundle, "log.txt", path, LOG_BYTES_MAX);
	else
		add_program(bundle, "log.txt",
			    "journalctl --unit=sluiced --lines=5000 --no-pager "
			    "--output=short-iso");
}

/* ---- all of it ---- */

static json_t *host_object(void)
{
	json_t *host = json_object();
	struct utsname names;

	if (uname(&names) < 0)
		return host;
	document_set_text(host, "kernel", names.release);
	document_set_text(host, "build", names.version);
	document_set_text(host, "machine", names.machine);
	json_object_set_new(host, "cores", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	return host;
}

/* Also what is printed in the end; `parts` is shared. */
static json_t *manifest_object(const struct bundle *bundle)
{
	json_t *object = json_object();
	char created[32];
	struct tm parts;
	time_t time_s = (time_t)bundle->time_s;

	gmtime_r(&time_s, &parts);
	strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", &parts);
	document_set_text(object, "version", sluice_version());
	document_set_text(object, "created", created);
	json_object_set_new(object, "host", host_object());
	json_object_set(object, "parts", bundle->parts);
	return object;
}

static void add_manifest(struct bundle *bundle)
{
	json_t *object = manifest_object(bundle);
	char *text = json_dumps(object, JSON_INDENT(2));

	if (bundle->rc == 0)
		bundle->rc = archive_add(bundle->archive, "manifest.json", text, strlen(text),
					 bundle->time_s);
	free(text);
	json_decref(object);
}

/* Names, and what prints them. */
static const char *const programs_wanted[][2] = {
	{"doctor.json", SELF " doctor -o json"},
	{"cluster.json", SELF " cluster info -o json"},
	{"topics.json", SELF " topic list -o json"},
	{"groups.json", SELF " group list -o json"},
	{"settings.json", SELF " config get -o json"},
};
/* Names and paths of the admin HTTP. */
static const char *const pages_wanted[][2] = {
	{"metrics.txt", "/metrics"},
	{"ready.json", "/health/ready"},
};

static void collect(struct bundle *bundle)
{
	for (size_t i = 0; i < sizeof(programs_wanted) / sizeof(programs_wanted[0]); i++) {
		if (bundle->rc == 0 && !interrupted())
			add_program(bundle, programs_wanted[i][0], programs_wanted[i][1]);
	}
	for (size_t i = 0; i < sizeof(pages_wanted) / sizeof(pages_wanted[0]); i++) {
		if (bundle->rc == 0 && !interrupted())
			add_page(bundle, pages_wanted[i][0], pages_wanted[i][1]);
	}
	if (bundle->rc == 0 && !interrupted())
		add_settings(bundle);
	if (bundle->rc == 0 && !interrupted())
		add_log(bundle);
	add_manifest(bundle);
}

static int print_result(const struct bundle *bundle, const char *path, int64_t bytes)
{
	static const struct column facts[] = {
		{"file", "FILE"}, {"size_bytes", "BYTES"}, {"version", "SLUICE"}, {0}};
	static const struct column parts[] = {
		{"name", "PART"}, {"size_bytes", "BYTES"}, {"error", "LEFT OUT, OR CUT"}, {0}};
	static const struct part both[] = {
		{.columns = facts}, {.rows = "parts", .columns = parts}, {0}};
	json_t *object = manifest_object(bundle);

	document_set_text(object, "file", path);
	json_object_set_new(object, "size_bytes", json_integer(bytes));
	return document_print(bundle->invocation, object, both, EXIT_DONE);
}

static int make_bundle(struct bundle *bundle, const char *path)
{
	size_t parts = sizeof(programs_wanted) / sizeof(programs_wanted[0]) +
		       sizeof(pages_wanted) / sizeof(pages_wanted[0]) + 2;
	int64_t bytes;
	int rc = archive_open(&bundle->archive, path);

	if (rc < 0) {
		complain("%s: %s", path, strerror(-rc));
		return EXIT_FAILED;
	}
	progress_begin(&bundle->progress, "collecting", (int64_t)parts, "parts");
	collect(bundle);
	progress_end(&bundle->progress);
	rc = archive_close(bundle->archive, bundle->rc == 0 && !interrupted(), &bytes);
	if (interrupted())
		return EXIT_INTERRUPTED;
	rc = bundle->rc ? bundle->rc : rc;
	if (rc < 0) {
		complain("%s: %s", path, strerror(-rc));
		return EXIT_FAILED;
	}
	return print_result(bundle, path, bytes);
}

int verb_debug_bundle(struct invocation *invocation)
{
	struct bundle bundle = {.invocation = invocation, .time_s = time(NULL)};
	time_t now = (time_t)bundle.time_s;
	char path[64];
	struct tm parts;
	int code = connect_admin(invocation, &bundle.admin);

	if (code)
		return code;
	gmtime_r(&now, &parts);
	strftime(path, sizeof(path), "sluice-debug-%Y%m%d-%H%M%S.tar.gz", &parts);
	bundle.parts = json_array();
	code = make_bundle(&bundle, invocation->word_count ? invocation->words[0] : path);
	json_decref(bundle.parts);
	free(bundle.admin);
	return code;
}
