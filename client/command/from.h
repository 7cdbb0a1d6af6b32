/* client/command/from.h: a place in logs, from text. */
#pragma once
#include <stdint.h>

#include "client/sluice.h"

/* "beginning", "end", "17", "-3", "@1767225600000", "@2026-01-31T12:00:00Z", "@-5m" (s, m, h or d
 * before `now_ms`).  -EINVAL. */
int from_parse(struct sluice_target *ret, const char *text, int64_t now_ms);
