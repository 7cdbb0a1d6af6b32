/* Settings from files: a file of "key = value" lines, then conf.d/NAME.conf beside it, in order of
 * the names, so that packages and tools can add settings without editing what the operator wrote.
 * A key stands once in a file; a later file overrides it. */
#include "control/config_internal.h"

#include "base/errors.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	LINE_MAX_BYTES = 8192,
	PATH_MAX_BYTES = 4096,
	PIECES_MAX = 1000, /* files of conf.d */
	REASON_BYTES = 512,
};

struct reader {
	struct config *config;
	/* Either: the first problem ends the reading, and is in `why` ... */
	char *why;
	size_t why_bytes;
	/* ... or each is told, and reading goes on. */
	void (*problem)(const struct config_problem *problem, void *context);
	void *context;
	int rc; /* of the first problem */
};

/* True: go on.  `line` 0: of the file. */
static bool complain(struct reader *reader, int rc, const char *path, unsigned line,
		     const char *reason)
{
	const struct config_problem problem = {path, line, reason};

	if (!reader->rc)
		reader->rc = rc;
	if (reader->problem)
		reader->problem(&problem, reader->context);
	else if (line)
		snprintf(reader->why, reader->why_bytes, "%s:%u: %s", path, line, reason);
	else
		snprintf(reader->why, reader->why_bytes, "%s: %s", path, reason);
	return reader->problem != NULL;
}

/* ---- one line ---- */

static char *trim(char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	char *end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return text;
}

/* The protocol's and the files' texts are UTF-8; a key or value that is not would come back
 * mangled. */
static bool is_utf8(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	while (*at) {
		unsigned more = *at < 0x80 ? 0 : *at >= 0xf0 ? 3 : *at >= 0xe0 ? 2 : 1;
		if ((*at >= 0x80 && *at < 0xc2) || *at > 0xf4)
			return false;
		for (at++; more; more--, at++) {
			if ((*at & 0xc0) != 0x80)
				return false;
		}
	}
	return true;
}

void config_split(char *line, char **ret_key, char **ret_value)
{
	char *equals = strchr(line, '=');

	if (equals)
		*equals = '\0';
	*ret_value = equals ? trim(equals + 1) : NULL;
	*ret_key = trim(line);
}

static int set_line(struct config *config, char *line, unsigned *lines_of, unsigned number,
		    char *why, size_t why_bytes)
{
	char *key;
	char *value;
	unsigned index = 0;

	line = trim(line);
	if (!*line || *line == '#')
		return 0;
	if (!is_utf8(line)) {
		snprintf(why, why_bytes, "the line is not UTF-8");
		return -ERR_CONFIG;
	}
	config_split(line, &key, &value);
	if (!value) {
		snprintf(why, why_bytes, "expected \"key = value\", found \"%.80s\"", key);
		return -ERR_CONFIG;
	}
	int rc = config_set_key(config, key, value, CONFIG_BY_FILE, &index, why, why_bytes);
	if (rc < 0)
		return rc;
	if (lines_of[index]) {
		snprintf(why, why_bytes, "%s is already set on line %u", key, lines_of[index]);
		return -ERR_CONFIG;
	}
	lines_of[index] = number;
	return 0;
}

/* ---- one file ---- */

/* Skips what is left of a line that did not fit. */
static void skip_line(FILE *file)
{
	int c;

	do
		c = fgetc(file);
	while (c != EOF && c != '\n');
}

/* False: enough. */
static bool read_lines(struct reader *reader, const char *path, FILE *file)
{
	unsigned lines_of[CONFIG_COUNT] = {0};
	char line[LINE_MAX_BYTES];
	char reason[REASON_BYTES] = "";

	for (unsigned number = 1; fgets(line, sizeof(line), file); number++) {
		int rc = -ERR_CONFIG;
		/* Neither a newline nor the end: longer than the buffer, or a NUL inside. */
		if (!strchr(line, '\n') && !feof(file)) {
			snprintf(reason, sizeof(reason),
				 "the line is longer than %d bytes or has a NUL",
				 LINE_MAX_BYTES - 2);
			skip_line(file);
		} else {
			rc = set_line(reader->config, line, lines_of, number, reason,
				      sizeof(reason));
		}
		if (rc < 0 && !complain(reader, rc, path, number, reason))
			return false;
	}
	return !ferror(file) || complain(reader, -EIO, path, 0, strerror(errno));
}

static bool read_file(struct reader *reader, const char *path)
{
	FILE *file = fopen(path, "re");

	if (!file)
		return complain(reader, -errno, path, 0, strerror(errno));
	bool more = read_lines(reader, path, file);
	fclose(file);
	return more;
}

/* ---- conf.d ---- */

static int is_piece(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return entry->d_name[0] != '.' && dot && strcmp(dot, ".conf") == 0;
}

/* Not by the locale, as alphasort would. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static bool read_pieces(struct reader *reader, const char *folder, struct dirent *const *pieces,
			int count)
{
	char path[PATH_MAX_BYTES];
	bool more = true;

	if (count > PIECES_MAX)
		return complain(reader, -ERR_CONFIG, folder, 0, "holds more than 1000 files");
	for (int i = 0; more && i < count; i++) {
		int length = snprintf(path, sizeof(path), "%s/%s", folder, pieces[i]->d_name);
		more = length < (int)sizeof(path)
			       ? read_file(reader, path)
			       : complain(reader, -ENAMETOOLONG, folder, 0, "the path is too long");
	}
	return more;
}

/* Of the file at `path`; without such a folder there is nothing to read. */
static bool read_folder(struct reader *reader, const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX_BYTES];
	struct dirent **pieces;
	int length = snprintf(folder, sizeof(folder), "%.*sconf.d",
			      slash ? (int)(slash - path) + 1 : 0, path);

	if (length >= (int)sizeof(folder))
		return complain(reader, -ENAMETOOLONG, path, 0, "the path is too long");
	int count = scandir(folder, &pieces, is_piece, by_name);
	if (count < 0 && (errno == ENOENT || errno == ENOTDIR))
		return true;
	if (count < 0)
		return complain(reader, -errno, folder, 0, strerror(errno));
	bool more = read_pieces(reader, folder, pieces, count);
	for (int i = 0; i < count; i++)
		free(pieces[i]);
	free(pieces);
	return more;
}

/* ---- all of it ---- */

static int read_all(struct reader *reader, const char *path)
{
	if (read_file(reader, path))
		read_folder(reader, path);
	return reader->rc;
}

int config_load_files(struct config *config, const char *path, char *why, size_t why_bytes)
{
	struct reader reader = {.config = config, .why_bytes = why_bytes};

	reader.why = why;
	return read_all(&reader, path);
}

int config_lint(const char *path,
		void (*problem)(const struct config_problem *problem, void *context), void *context)
{
	struct config config = {0};
	struct reader reader = {.config = &config, .problem = problem, .context = context};
	int rc = read_all(&reader, path);

	config_fini(&config);
	return rc;
}
