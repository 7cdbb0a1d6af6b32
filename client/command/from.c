#include "client/command/from.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool parse_number(const char *text, int64_t *ret)
{
	char *end;

	errno = 0;
	long long number = strtoll(text, &end, 10);
	if (end == text || *end || errno || number < 0)
		return false;
	*ret = number;
	return true;
}

/* "5m" */
static bool parse_ago(const char *text, int64_t *ret_ms)
{
	static const char units[] = "smhd";
	static const int64_t unit_ms[] = {1000, 60000, 3600000, 86400000};
	char *end;

	errno = 0;
	long long number = strtoll(text, &end, 10);
	const char *unit = *end && !end[1] ? strchr(units, *end) : NULL;
	if (end == text || !unit || errno || number < 0)
		return false;
	return !__builtin_mul_overflow((int64_t)number, unit_ms[unit - units], ret_ms);
}

static bool parse_time(const char *text, int64_t now_ms, int64_t *ret_ms)
{
	struct tm parts = {0};
	int64_t ago_ms;

	if (*text == '-') {
		if (!parse_ago(text + 1, &ago_ms) || ago_ms > now_ms)
			return false;
		*ret_ms = now_ms - ago_ms;
		return true;
	}
	if (parse_number(text, ret_ms))
		return true;
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &parts);
	if (!end || *end)
		return false;
	*ret_ms = (int64_t)timegm(&parts) * 1000;
	return *ret_ms >= 0;
}

int from_parse(struct sluice_target *ret, const char *text, int64_t now_ms)
{
	struct sluice_target from = {.kind = SLUICE_AT_OFFSET};
	bool good = true;

	if (strcmp(text, "beginning") == 0) {
		from.value = SLUICE_EARLIEST;
	} else if (strcmp(text, "end") == 0) {
		from.value = SLUICE_LATEST;
	} else if (*text == '@') {
		from.kind = SLUICE_AT_TIME;
		good = parse_time(text + 1, now_ms, &from.value);
	} else if (*text == '-') {
		from.kind = SLUICE_BEFORE_END;
		good = parse_number(text + 1, &from.value);
	} else {
		good = parse_number(text, &from.value);
	}
	if (!good)
		return -EINVAL;
	*ret = from;
	return 0;
}
