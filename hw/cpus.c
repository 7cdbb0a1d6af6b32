#include "hw/cpus.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

int cpus_allowed(struct cpus *ret)
{
	cpu_set_t *set = CPU_ALLOC(CPUS_MAX);
	size_t size = CPU_ALLOC_SIZE(CPUS_MAX);
	int count = 0;

	if (!set)
		return -ENOMEM;
	if (sched_getaffinity(0, size, set) < 0) {
		int rc = -errno;
		CPU_FREE(set);
		return rc;
	}
	for (int i = 0; i < CPUS_MAX; i++) {
		if (CPU_ISSET_S((size_t)i, size, set))
			ret->numbers[count++] = i;
	}
	ret->count = count;
	CPU_FREE(set);
	return 0;
}

int cpus_allow(const struct cpus *cpus)
{
	cpu_set_t *set = CPU_ALLOC(CPUS_MAX);
	size_t size = CPU_ALLOC_SIZE(CPUS_MAX);
	int rc = 0;

	if (!set)
		return -ENOMEM;
	CPU_ZERO_S(size, set);
	for (int i = 0; i < cpus->count; i++)
		CPU_SET_S((size_t)cpus->numbers[i], size, set);
	if (sched_setaffinity(0, size, set) < 0)
		rc = -errno;
	CPU_FREE(set);
	return rc;
}

/* ---- lists ---- */

bool cpus_have(const struct cpus *cpus, int number)
{
	for (int i = 0; i < cpus->count; i++) {
		if (cpus->numbers[i] == number)
			return true;
	}
	return false;
}

void cpus_add(struct cpus *cpus, int number)
{
	int at = cpus->count;

	check(number >= 0 && number < CPUS_MAX);
	while (at > 0 && cpus->numbers[at - 1] > number)
		at--;
	if (at > 0 && cpus->numbers[at - 1] == number)
		return;
	memmove(&cpus->numbers[at + 1], &cpus->numbers[at],
		(size_t)(cpus->count - at) * sizeof(cpus->numbers[0]));
	cpus->numbers[at] = number;
	cpus->count++;
}

void cpus_keep(struct cpus *cpus, const struct cpus *others, bool in)
{
	int kept = 0;

	for (int i = 0; i < cpus->count; i++) {
		if (cpus_have(others, cpus->numbers[i]) == in)
			cpus->numbers[kept++] = cpus->numbers[i];
	}
	cpus->count = kept;
}

/* A number below CPUS_MAX; null: there is none at `text`. */
static const char *parse_number(const char *text, int *ret)
{
	int value = 0;
	const char *at = text;

	for (; *at >= '0' && *at <= '9' && value < CPUS_MAX; at++)
		value = 10 * value + (*at - '0');
	*ret = value;
	return at > text && value < CPUS_MAX ? at : NULL;
}

int cpus_parse(struct cpus *ret, const char *text)
{
	struct cpus cpus = {0};
	int first;
	int last;

	while (*text) {
		text = parse_number(text, &first);
		last = first;
		if (text && *text == '-')
			text = parse_number(text + 1, &last);
		if (!text || last < first)
			return -EINVAL;
		for (int number = first; number <= last; number++)
			cpus_add(&cpus, number);
		if (*text == ',' && text[1])
			text++;
		else if (*text)
			return -EINVAL;
	}
	*ret = cpus;
	return 0;
}

void cpus_print(const struct cpus *cpus, char *text, size_t text_bytes)
{
	size_t at = 0;

	text[0] = 0;
	for (int i = 0; i < cpus->count && at < text_bytes; i++) {
		int first = cpus->numbers[i];
		while (i + 1 < cpus->count && cpus->numbers[i + 1] == cpus->numbers[i] + 1)
			i++;
		int last = cpus->numbers[i];
		at += (size_t)snprintf(text + at, text_bytes - at,
				       last > first ? "%s%d-%d" : "%s%d", at ? "," : "", first,
				       last);
	}
}
