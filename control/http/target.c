/* A segment is decoded after the path was split, so that an escaped slash stays within a name: ids
 * of groups may have any character.  Controls, NUL first of all, are refused everywhere. */
#include "control/http/target.h"

#include "dataplane/kafka/utf8.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int hex(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	return -1;
}

/* In place.  `plus`: a plus is a space, as forms send it. */
static int decode(char *text, bool plus)
{
	char *out = text;

	for (const char *in = text; *in; in++) {
		int value = (unsigned char)*in;
		if (*in == '%') {
			int high = hex(in[1]);
			int low = high < 0 ? -1 : hex(in[2]);
			if (low < 0)
				return -EINVAL;
			value = high << 4 | low;
			in += 2;
		} else if (*in == '+' && plus) {
			value = ' ';
		}
		if (value < 0x20 || value == 0x7f)
			return -EINVAL;
		*out++ = (char)value;
	}
	*out = 0;
	return utf8_valid(text, (size_t)(out - text)) ? 0 : -EINVAL;
}

/* `path` begins with a slash and is taken apart. */
static int parse_path(struct target *target, char *path)
{
	char *at = path + 1;

	while (at && (*at || target->segment_count)) {
		if (target->segment_count == TARGET_SEGMENTS_MAX)
			return -ENAMETOOLONG;
		char *slash = strchr(at, '/');
		if (slash)
			*slash = 0;
		int rc = decode(at, false);
		if (rc < 0)
			return rc;
		target->segments[target->segment_count++] = at;
		at = slash ? slash + 1 : NULL;
	}
	return 0;
}

static int parse_query(struct target *target, char *at)
{
	while (at && *at) {
		char *next = strchr(at, '&');
		if (next)
			*next++ = 0;
		if (target->query_count == TARGET_QUERIES_MAX)
			return -ENAMETOOLONG;
		struct target_query *query = &target->queries[target->query_count++];
		char *equals = strchr(at, '=');
		char *value = equals ? equals + 1 : at + strlen(at);
		if (equals)
			*equals = 0;
		int rc = decode(at, true);
		if (rc == 0)
			rc = decode(value, true);
		if (rc < 0)
			return rc;
		query->name = at;
		query->value = value;
		at = next;
	}
	return 0;
}

int target_parse(struct target *ret, const char *text)
{
	size_t length = strlen(text);

	*ret = (struct target){0};
	if (length > TARGET_BYTES_MAX)
		return -ENAMETOOLONG;
	if (text[0] != '/')
		return -EINVAL;
	ret->memory = malloc(2 * (length + 1));
	if (!ret->memory)
		return -ENOMEM;
	ret->path = ret->memory + length + 1;
	memcpy(ret->memory, text, length + 1);
	char *query = strchr(ret->memory, '?');
	if (query)
		*query++ = 0;
	memcpy(ret->path, ret->memory, strlen(ret->memory) + 1);
	int rc = parse_path(ret, ret->memory);
	return rc == 0 ? parse_query(ret, query) : rc;
}

void target_free(struct target *target)
{
	free(target->memory);
	*target = (struct target){0};
}
