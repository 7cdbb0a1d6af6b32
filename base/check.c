#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *file, int line, const char *function, const char *what)
{
	fprintf(stderr, "check failed: %s (%s, %s:%d)\n", what, function, file, line);
	abort();
}
