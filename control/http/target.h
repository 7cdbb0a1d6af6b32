/* control/http/target.h: what a request asks for: the path in segments and the query in pairs, as
 * they stand in the request line (RFC 9112 3.2.1), percent-decoded (RFC 3986 2.1).
 *
 * Pure: no I/O; any thread. */
#pragma once
#include <stddef.h>

enum {
	TARGET_BYTES_MAX = 8192, /* of the text */
	TARGET_SEGMENTS_MAX = 16,
	TARGET_QUERIES_MAX = 16,
};

struct target_query {
	const char *name;
	const char *value; /* "" without one */
};

struct target {
	char *path; /* not decoded, without the query; to compare with what is served as a file */
	const char *segments[TARGET_SEGMENTS_MAX]; /* "/v1/topics": "v1", "topics"; "/": none */
	size_t segment_count;
	struct target_query queries[TARGET_QUERIES_MAX];
	size_t query_count;
	char *memory; /* of all that */
};

/* -EINVAL: not a path, or an escape, a character or UTF-8 that is none; -ENAMETOOLONG: longer than
 * the limits; -ENOMEM.  The target is to be freed in any case. */
int target_parse(struct target *ret, const char *text);
void target_free(struct target *target); /* a zeroed one is fine */
