#include "client/command/profile_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One line: as it stands, and what it means. */
struct line {
	char *text;
	char *heading; /* "[heading]" */
	char *name;    /* "name = value" */
	char *value;
};

struct profile_file {
	struct line *lines;
	size_t count;
	size_t capacity;
};

/* ---- one line ---- */

static void line_fini(struct line *line)
{
	free(line->text);
	free(line->heading);
	free(line->name);
	free(line->value);
}

static const char *trim(const char *text, size_t *length)
{
	while (*length && isspace((unsigned char)text[*length - 1]))
		--*length;
	for (; *length && isspace((unsigned char)*text); text++)
		--*length;
	return text;
}

static char *trimmed(const char *text, size_t length)
{
	const char *begin = trim(text, &length);

	return strndup(begin, length);
}

bool profile_name_valid(const char *name)
{
	size_t length = strlen(name);

	if (!length || length > PROFILE_NAME_BYTES_MAX)
		return false;
	for (; *name; name++) {
		if (!isalnum((unsigned char)*name) && !strchr("._-", *name))
			return false;
	}
	return true;
}

/* Null, or what is wrong; memory that is missing shows as a null text. */
static const char *parse_heading(struct line *line, const char *begin, size_t length)
{
	if (begin[length - 1] != ']')
		return "a profile's name ends with ']'";
	line->heading = trimmed(begin + 1, length - 2);
	if (line->heading && !profile_name_valid(line->heading))
		return "a profile's name has letters, digits, '.', '_' and '-', at most 64";
	return NULL;
}

static const char *parse_setting(struct line *line, const char *begin, size_t length)
{
	const char *equals = memchr(begin, '=', length);

	if (!equals)
		return "neither [PROFILE] nor NAME = VALUE";
	line->name = trimmed(begin, (size_t)(equals - begin));
	line->value = trimmed(equals + 1, length - (size_t)(equals + 1 - begin));
	if (line->name && !*line->name)
		return "a name is missing before '='";
	return NULL;
}

/* -ENOMEM, or -EINVAL with *ret_what. */
static int line_parse(struct line *ret, const char *text, size_t length, const char **ret_what)
{
	struct line line = {.text = strndup(text, length)};
	const char *wrong = NULL;
	const char *begin = trim(text, &length);
	bool heading = length && *begin == '[';
	bool setting = length && *begin != '[' && *begin != '#';

	if (memchr(begin, 0, length))
		wrong = "a byte of zero";
	else if (heading)
		wrong = length == 1 ? "a profile's name ends with ']'"
				    : parse_heading(&line, begin, length);
	else if (setting)
		wrong = parse_setting(&line, begin, length);
	bool whole = line.text && (!heading || line.heading) &&
		     (!setting || (line.name && line.value));
	if (wrong || !whole) {
		line_fini(&line);
		*ret_what = wrong;
		return wrong ? -EINVAL : -ENOMEM;
	}
	*ret = line;
	return 0;
}

/* ---- the lines ---- */

static int insert_line(struct profile_file *file, size_t at, struct line *line)
{
	if (file->count == file->capacity) {
		size_t capacity = file->capacity ? file->capacity * 2 : 32;
		struct line *lines = reallocarray(file->lines, capacity, sizeof(*lines));
		if (!lines)
			return -ENOMEM;
		file->lines = lines;
		file->capacity = capacity;
	}
	memmove(&file->lines[at + 1], &file->lines[at], (file->count - at) * sizeof(*line));
	file->lines[at] = *line;
	file->count++;
	return 0;
}

static void remove_lines(struct profile_file *file, size_t at, size_t count)
{
	for (size_t i = at; i < at + count; i++)
		line_fini(&file->lines[i]);
	/* A file without lines has no memory to move. */
	if (file->count > at + count)
		memmove(&file->lines[at], &file->lines[at + count],
			(file->count - at - count) * sizeof(*file->lines));
	file->count -= count;
}

/* The line after the heading; of null 0.  Past the end: there is no such profile. */
static size_t section_begin(const struct profile_file *file, const char *profile)
{
	if (!profile)
		return 0;
	for (size_t i = 0; i < file->count; i++) {
		if (file->lines[i].heading && strcmp(file->lines[i].heading, profile) == 0)
			return i + 1;
	}
	return file->count + 1;
}

static size_t section_end(const struct profile_file *file, size_t begin)
{
	while (begin < file->count && !file->lines[begin].heading)
		begin++;
	return begin;
}

/* The line that sets `name`; past the end: none. */
static size_t find_setting(const struct profile_file *file, const char *profile, const char *name)
{
	size_t begin = section_begin(file, profile);

	for (size_t i = begin; i < file->count && !file->lines[i].heading; i++) {
		if (file->lines[i].name && strcmp(file->lines[i].name, name) == 0)
			return i;
	}
	return file->count + 1;
}

/* ---- reading ---- */

/* `profile`: the heading before the line.  Null, or what is wrong with the line there. */
static const char *find_clash(const struct profile_file *file, const char *profile,
			      const struct line *line)
{
	if (line->heading && section_begin(file, line->heading) <= file->count)
		return "this profile has begun before";
	if (line->name && find_setting(file, profile, line->name) <= file->count)
		return "this has been set before";
	return NULL;
}

static int parse_line(struct profile_file *file, const char **profile, const char *text,
		      size_t length, const char **ret_what)
{
	struct line line;

	*ret_what = file->count == PROFILE_LINES_MAX ? "more than 4096 lines" : NULL;
	if (*ret_what)
		return -EINVAL;
	int rc = line_parse(&line, text, length, ret_what);
	if (rc < 0)
		return rc;
	*ret_what = find_clash(file, *profile, &line);
	rc = *ret_what ? -EINVAL : insert_line(file, file->count, &line);
	if (rc < 0)
		line_fini(&line);
	else if (line.heading)
		*profile = line.heading;
	return rc;
}

int profile_file_parse(struct profile_file **ret, const char *text, size_t length,
		       struct profile_fault *ret_fault)
{
	struct profile_file *file = calloc(1, sizeof(*file));
	const char *profile = NULL;
	const char *what = "more than 256 KiB";
	int rc = !file ? -ENOMEM : length > PROFILE_FILE_BYTES_MAX ? -EINVAL : 0;

	for (size_t at = 0; rc == 0 && at < length;) {
		const char *end = memchr(text + at, '\n', length - at);
		size_t line_length = end ? (size_t)(end - text) - at : length - at;
		rc = parse_line(file, &profile, text + at, line_length, &what);
		at += line_length + 1;
	}
	if (rc < 0) {
		*ret_fault = (struct profile_fault){file ? file->count + 1 : 0, what};
		profile_file_free(file);
		return rc;
	}
	*ret = file;
	return 0;
}

void profile_file_free(struct profile_file *file)
{
	if (!file)
		return;
	remove_lines(file, 0, file->count);
	free(file->lines);
	free(file);
}

void profile_file_write(const struct profile_file *file, FILE *to)
{
	for (size_t i = 0; i < file->count; i++)
		fprintf(to, "%s\n", file->lines[i].text);
}

const char *profile_file_name_at(const struct profile_file *file, size_t index)
{
	for (size_t i = 0; i < file->count; i++) {
		if (file->lines[i].heading && index-- == 0)
			return file->lines[i].heading;
	}
	return NULL;
}

const char *profile_file_setting_at(const struct profile_file *file, const char *profile,
				    size_t index, const char **ret_value)
{
	for (size_t i = section_begin(file, profile); i < file->count; i++) {
		if (file->lines[i].heading)
			break;
		if (file->lines[i].name && index-- == 0) {
			*ret_value = file->lines[i].value;
			return file->lines[i].name;
		}
	}
	return NULL;
}

const char *profile_file_value(const struct profile_file *file, const char *profile,
			       const char *name)
{
	size_t at = find_setting(file, profile, name);

	return at < file->count ? file->lines[at].value : NULL;
}

/* ---- changing ---- */

static int insert_text(struct profile_file *file, size_t at, const char *text)
{
	const char *what;
	struct line line;

	if (file->count == PROFILE_LINES_MAX || strchr(text, '\n'))
		return -EINVAL;
	int rc = line_parse(&line, text, strlen(text), &what);
	if (rc < 0)
		return rc;
	rc = insert_line(file, at, &line);
	if (rc < 0)
		line_fini(&line);
	return rc;
}

static int insert_setting(struct profile_file *file, size_t at, const char *name, const char *value)
{
	char *text;

	if (asprintf(&text, "%s = %s", name, value) < 0)
		return -ENOMEM;
	int rc = insert_text(file, at, text);
	free(text);
	if (rc < 0)
		return rc;
	const struct line *line = &file->lines[at];
	if (line->name && strcmp(line->name, name) == 0 && strcmp(line->value, value) == 0)
		return 0;
	remove_lines(file, at, 1);
	return -EINVAL;
}

static bool is_empty(const struct line *line)
{
	return line->text[strspn(line->text, " \t\r")] == 0;
}

/* After the last line of the section that is not empty. */
static size_t section_last(const struct profile_file *file, const char *profile)
{
	size_t begin = section_begin(file, profile);
	size_t end = section_end(file, begin);

	while (end > begin && is_empty(&file->lines[end - 1]))
		end--;
	return end;
}

static int begin_profile(struct profile_file *file, const char *profile)
{
	char heading[PROFILE_NAME_BYTES_MAX + sizeof("[]")];
	int rc = file->count ? insert_text(file, file->count, "") : 0;

	if (!profile_name_valid(profile))
		return -EINVAL;
	snprintf(heading, sizeof(heading), "[%s]", profile);
	return rc < 0 ? rc : insert_text(file, file->count, heading);
}

int profile_file_set(struct profile_file *file, const char *profile, const char *name,
		     const char *value)
{
	size_t at = find_setting(file, profile, name);
	bool is_set = at < file->count;
	int rc = 0;

	if (!value) {
		if (is_set)
			remove_lines(file, at, 1);
		return 0;
	}
	if (profile && section_begin(file, profile) > file->count)
		rc = begin_profile(file, profile);
	if (rc < 0)
		return rc;
	size_t to = is_set ? at : section_last(file, profile);
	rc = insert_setting(file, to, name, value);
	if (rc == 0 && is_set)
		remove_lines(file, at + 1, 1);
	return rc;
}

void profile_file_remove(struct profile_file *file, const char *profile)
{
	size_t begin = section_begin(file, profile);

	if (begin <= file->count)
		remove_lines(file, begin - 1, section_end(file, begin) - (begin - 1));
}
