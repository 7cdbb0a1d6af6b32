#include "tests/failing_memory.h"

#include <stddef.h>

/* The linker's names (--wrap) have no header. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

static struct {
	unsigned number, seen, failures;
	bool onwards;
} failing;

void memory_fail(unsigned number, bool onwards)
{
	failing.number = number;
	failing.onwards = onwards;
	failing.seen = failing.failures = 0;
}

unsigned memory_failures(void)
{
	return failing.failures;
}

static bool fails(void)
{
	if (!failing.number)
		return false;
	failing.seen++;
	bool now = failing.seen == failing.number ||
		   (failing.onwards && failing.seen > failing.number);
	failing.failures += now;
	return now;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	return fails() ? NULL : __real_realloc(memory, size);
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}
