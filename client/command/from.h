/* client/command/from.h: where to begin to consume, from text. */
#pragma once
#include <stdint.h>

enum from_kind { FROM_OFFSET, FROM_BEFORE_END, FROM_TIME };

struct from {
	enum from_kind kind;
	int64_t value; /* an offset, also SLUICE_EARLIEST and SLUICE_LATEST; a count; ms since 1970
			*/
};

/* "beginning", "end", "17", "-3", "@1767225600000", "@2026-01-31T12:00:00Z", "@-5m" (s, m, h or d
 * before `now_ms`).  -EINVAL. */
int from_parse(struct from *ret, const char *text, int64_t now_ms);
