#include "client/command/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/command/profile_internal.h"

/* ---- the file ---- */

bool profile_path(char ret[static PROFILE_PATH_BYTES])
{
	const char *base = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	int length = -1;

	if (base && *base)
		length = snprintf(ret, PROFILE_PATH_BYTES, "%s/sluice/profiles.conf", base);
	else if (home && *home)
		length = snprintf(ret, PROFILE_PATH_BYTES, "%s/.config/sluice/profiles.conf", home);
	return length > 0 && length < PROFILE_PATH_BYTES;
}

/* One byte more than a file may have tells that it has too many. */
static ssize_t read_all(int fd, char *ret)
{
	size_t used = 0;
	ssize_t got;

	while (used <= PROFILE_FILE_BYTES_MAX) {
		got = read(fd, ret + used, PROFILE_FILE_BYTES_MAX + 1 - used);
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		used += (size_t)got;
	}
	return (ssize_t)used;
}

static int complain_of_file(const char *path, int rc, const struct profile_fault *fault)
{
	if (rc == -EINVAL) {
		complain("%s:%zu: %s", path, fault->line, fault->what);
		return EXIT_USAGE;
	}
	complain("%s: %s", path, strerror(-rc));
	return EXIT_FAILED;
}

int profile_read(struct profile_file **ret)
{
	char path[PROFILE_PATH_BYTES] = "";
	struct profile_fault fault = {0};
	int fd = profile_path(path) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char *text = malloc(PROFILE_FILE_BYTES_MAX + 1);
	ssize_t length = text ? 0 : -ENOMEM;

	if (fd < 0 && *path && errno != ENOENT && errno != ENOTDIR)
		length = -errno;
	if (fd >= 0 && text)
		length = read_all(fd, text);
	int rc = length < 0 ? (int)length : profile_file_parse(ret, text, (size_t)length, &fault);
	free(text);
	if (fd >= 0)
		close(fd);
	return rc < 0 ? complain_of_file(path, rc, &fault) : EXIT_DONE;
}

/* ---- the one that is chosen ---- */

bool profile_exists(const struct profile_file *file, const char *name)
{
	const char *known;

	for (size_t i = 0; (known = profile_file_name_at(file, i)); i++) {
		if (strcmp(known, name) == 0)
			return true;
	}
	return false;
}

int profile_complain_of_none(struct profile_file *file, const char *name)
{
	complain("there is no profile '%s'", name);
	fputs("        `sluice profile list` shows them, `sluice profile set` makes one\n", stderr);
	profile_file_free(file);
	return EXIT_USAGE;
}

int profile_open(struct profile *ret, const struct invocation *invocation)
{
	struct profile profile = {.name = flag_value(invocation, FLAG_profile)};
	const char *environment = getenv("SLUICE_PROFILE");
	int code = profile_read(&profile.file);

	if (code)
		return code;
	profile.asked_for = profile.name != NULL;
	if (!profile.name && environment && *environment)
		profile.name = environment;
	if (!profile.name)
		profile.name = profile_file_value(profile.file, NULL, "current");
	if (profile.name && !profile_exists(profile.file, profile.name))
		return profile_complain_of_none(profile.file, profile.name);
	*ret = profile;
	return EXIT_DONE;
}

void profile_close(struct profile *profile)
{
	profile_file_free(profile->file);
	*profile = (struct profile){0};
}

const char *profile_value(const struct profile *profile, const char *name)
{
	return profile->name ? profile_file_value(profile->file, profile->name, name) : NULL;
}

bool profile_is_address(const char *name)
{
	return strcmp(name, "brokers") == 0 || strcmp(name, "admin") == 0;
}

int profile_apply(const struct profile *profile, struct sluice_options *options)
{
	const char *name;
	const char *value;

	if (!profile->name)
		return EXIT_DONE;
	for (size_t i = 0;
	     (name = profile_file_setting_at(profile->file, profile->name, i, &value)); i++) {
		if (profile_is_address(name) || sluice_options_set(options, name, value) == 0)
			continue;
		return complain_usage("profile '%s': %s", profile->name,
				      sluice_options_error(options));
	}
	return EXIT_DONE;
}
