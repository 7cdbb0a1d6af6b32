/* tests/failing_memory.h: allocations that fail when a test wants it.  Of what is linked with
 * --wrap for malloc, calloc, realloc and strdup; one thread. */
#pragma once
#include <stdbool.h>

/* The one with this number fails, from 1 on; 0: none does.  Only that one, or `onwards` all. */
void memory_fail(unsigned number, bool onwards);
/* How many have failed since then. */
unsigned memory_failures(void);
