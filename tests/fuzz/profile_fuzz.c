/* The file of profiles: what is taken is read back as it was written, and stays so through every
 * change.  The first line of the input is a name and the second a value to set, the rest the file.
 */
#include "base/bytes.h"
#include "client/command/profile_file.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input.h"

#include <errno.h>
#include <stdio.h>

static char *written(const struct profile_file *file, size_t *ret_length)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, ret_length);

	check(to != NULL);
	profile_file_write(file, to);
	check(fclose(to) == 0);
	return text;
}

static void expect_same_settings(const struct profile_file *a, const struct profile_file *b,
				 const char *profile)
{
	const char *value;
	const char *other_value;
	const char *name;

	for (size_t i = 0; (name = profile_file_setting_at(a, profile, i, &value)); i++) {
		const char *other = profile_file_setting_at(b, profile, i, &other_value);
		check(other && strcmp(name, other) == 0 && strcmp(value, other_value) == 0);
		check(profile_file_value(a, profile, name) == value);
	}
}

static void expect_read_back(const struct profile_file *file)
{
	struct profile_fault fault;
	struct profile_file *again;
	size_t length;
	char *text = written(file, &length);
	const char *name;

	if (length > PROFILE_FILE_BYTES_MAX) { /* by the line that was added */
		free(text);
		return;
	}
	check(profile_file_parse(&again, text, length, &fault) == 0);
	expect_same_settings(file, again, NULL);
	for (size_t i = 0; (name = profile_file_name_at(file, i)); i++) {
		const char *other = profile_file_name_at(again, i);
		check(other && strcmp(name, other) == 0 && profile_name_valid(name));
		expect_same_settings(file, again, name);
	}
	profile_file_free(again);
	free(text);
}

static void change(struct profile_file *file, const char *name, const char *value)
{
	const char *first = profile_file_name_at(file, 0);
	const char *profiles[] = {NULL, "fresh", first};

	for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++) {
		int rc = profile_file_set(file, profiles[i], name, value);
		const char *kept = profile_file_value(file, profiles[i], name);
		check(rc == 0 || rc == -EINVAL);
		check(rc < 0 || (kept && strcmp(kept, value) == 0));
		expect_read_back(file);
	}
	profile_file_set(file, "fresh", name, NULL);
	check(!profile_file_value(file, "fresh", name));
	profile_file_remove(file, "fresh");
	expect_read_back(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	char *name = input_text(&input, '\n');
	char *value = input_text(&input, '\n');
	struct profile_fault fault = {0};
	struct profile_file *file;
	int rc = profile_file_parse(&file, (const char *)input.at, input.left, &fault);

	check(rc == 0 || (rc == -EINVAL && fault.line && fault.what));
	if (rc == 0) {
		expect_read_back(file);
		change(file, name, value);
		profile_file_free(file);
	}
	free(value);
	free(name);
	return 0;
}
