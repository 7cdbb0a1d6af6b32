/* `sluice profile`: the profiles shown and changed.  The file is replaced as a whole, so that
 * whoever reads it meanwhile sees the one before or the one after. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/command/profile_internal.h"

/* ---- writing ---- */

static int make_folders(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		int rc = mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
		*slash = '/';
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Only its owner may read it: an address may be a secret of its own. */
static int write_new(const char *path, const char *text, size_t length)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int rc = fd < 0 ? -errno : 0;

	while (rc == 0 && length) {
		ssize_t written = write(fd, text, length);
		rc = written < 0 ? -errno : 0;
		text += rc ? 0 : written;
		length -= rc ? 0 : (size_t)written;
	}
	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	if (fd >= 0)
		close(fd);
	return rc;
}

static int replace_file(char *path, const char *text, size_t length)
{
	char fresh[PROFILE_PATH_BYTES + sizeof(".new")];

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	int rc = make_folders(path);
	if (rc == 0)
		rc = write_new(fresh, text, length);
	if (rc == 0 && rename(fresh, path) < 0)
		rc = -errno;
	if (rc < 0)
		unlink(fresh);
	return rc;
}

/* What is written must be read back. */
static bool readable(const char *text, size_t length)
{
	struct profile_fault fault;
	struct profile_file *file;

	if (profile_file_parse(&file, text, length, &fault) < 0)
		return false;
	profile_file_free(file);
	return true;
}

/* Frees the file. */
static int save(struct profile_file *file)
{
	char path[PROFILE_PATH_BYTES];
	char *text = NULL;
	size_t length = 0;
	FILE *to = open_memstream(&text, &length);

	if (to)
		profile_file_write(file, to);
	profile_file_free(file);
	if (!to || fclose(to) != 0) {
		complain("out of memory");
		free(text);
		return EXIT_FAILED;
	}
	if (!profile_path(path)) {
		free(text);
		complain("there is nowhere to keep profiles: set HOME or XDG_CONFIG_HOME");
		return EXIT_FAILED;
	}
	int rc = readable(text, length) ? replace_file(path, text, length) : -EFBIG;
	free(text);
	if (rc < 0)
		complain("%s: %s", path, strerror(-rc));
	return rc < 0 ? EXIT_FAILED : EXIT_DONE;
}

/* ---- showing ---- */

static bool is_current(const struct profile_file *file, const char *name)
{
	const char *current = profile_file_value(file, NULL, "current");

	return current && strcmp(current, name) == 0;
}

int verb_profile_list(struct invocation *invocation)
{
	static const struct column columns[] = {{"name", "PROFILE"},
						{"current", "CURRENT"},
						{"brokers", "BROKERS"},
						{"admin", "ADMIN"},
						{0}};
	struct profile_file *file;
	json_t *rows = json_array();
	const char *name;
	int code = profile_read(&file);

	for (size_t i = 0; !code && (name = profile_file_name_at(file, i)); i++) {
		json_t *row = json_object();
		document_set_text(row, "name", name);
		json_object_set_new(row, "current", json_boolean(is_current(file, name)));
		document_set_text(row, "brokers", profile_file_value(file, name, "brokers"));
		document_set_text(row, "admin", profile_file_value(file, name, "admin"));
		json_array_append_new(rows, row);
	}
	if (!code)
		profile_file_free(file);
	return document_print_rows(invocation, rows, columns, code);
}

static json_t *settings_object(const struct profile_file *file, const char *profile)
{
	json_t *settings = json_object();
	const char *name;
	const char *value;

	for (size_t i = 0; (name = profile_file_setting_at(file, profile, i, &value)); i++)
		document_set_text(settings, name, value);
	return settings;
}

int verb_profile_show(struct invocation *invocation)
{
	static const struct column facts[] = {{"name", "PROFILE"}, {"current", "CURRENT"}, {0}};
	static const struct column settings[] = {{"", "SETTING"}, {"value", "VALUE"}, {0}};
	static const struct part parts[] = {
		{.columns = facts}, {.rows = "settings", .columns = settings}, {0}};
	struct profile_file *file;
	int code = profile_read(&file);

	if (code)
		return code;
	const char *name = invocation->word_count ? invocation->words[0]
						  : profile_file_value(file, NULL, "current");
	if (!name) {
		profile_file_free(file);
		complain("no profile is in use");
		fputs("        `sluice profile use` chooses one\n", stderr);
		return EXIT_FAILED;
	}
	if (!profile_exists(file, name))
		return profile_complain_of_none(file, name);
	json_t *object = json_object();
	document_set_text(object, "name", name);
	json_object_set_new(object, "current", json_boolean(is_current(file, name)));
	json_object_set_new(object, "settings", settings_object(file, name));
	profile_file_free(file);
	return document_print(invocation, object, parts, EXIT_DONE);
}

/* ---- changing ---- */

int verb_profile_use(struct invocation *invocation)
{
	const char *name = invocation->words[0];
	struct profile_file *file;
	int code = profile_read(&file);

	if (code)
		return code;
	if (!profile_exists(file, name))
		return profile_complain_of_none(file, name);
	if (profile_file_set(file, NULL, "current", name) < 0) {
		profile_file_free(file);
		complain("profile '%s' cannot be made the current one: too many lines", name);
		return EXIT_FAILED;
	}
	return save(file);
}

/* A client is told what it would be told when the profile is used. */
static int check_setting(struct sluice_options *options, const char *name, const char *value)
{
	if (!value || profile_is_address(name) || sluice_options_set(options, name, value) == 0)
		return EXIT_DONE;
	return complain_usage("%s; a profile also has brokers and admin",
			      sluice_options_error(options));
}

static int set_one(struct profile_file *file, struct sluice_options *options, const char *profile,
		   const char *text)
{
	char name[128];
	const char *value;

	if (!split_setting(text, name, sizeof(name), &value))
		return complain_usage("profile set takes NAME=VALUE, not '%s'", text);
	int code = check_setting(options, name, value);
	if (code)
		return code;
	if (profile_file_set(file, profile, name, value) < 0)
		return complain_usage("'%s' cannot be kept in a file of lines", text);
	return EXIT_DONE;
}

int verb_profile_set(struct invocation *invocation)
{
	const char *profile = invocation->words[0];
	struct sluice_options *options;
	struct profile_file *file;

	if (!profile_name_valid(profile))
		return complain_usage("a profile's name has letters, digits, '.', '_' and '-', "
				      "not '%s'",
				      profile);
	int code = profile_read(&file);
	if (code)
		return code;
	if (sluice_options_new(&options) < 0) {
		profile_file_free(file);
		complain("out of memory");
		return EXIT_FAILED;
	}
	for (size_t i = 1; !code && i < invocation->word_count; i++)
		code = set_one(file, options, profile, invocation->words[i]);
	sluice_options_free(options);
	if (!code)
		return save(file);
	profile_file_free(file);
	return code;
}

int verb_profile_delete(struct invocation *invocation)
{
	const char *name = invocation->words[0];
	struct profile_file *file;
	int code = profile_read(&file);

	if (code)
		return code;
	if (!profile_exists(file, name))
		return profile_complain_of_none(file, name);
	if (is_current(file, name))
		profile_file_set(file, NULL, "current", NULL);
	profile_file_remove(file, name);
	return save(file);
}
