/* tests/bench/results.h: results for the tests of what is made of them. */
#pragma once
#include "bench/suite/result.h"

#include <stdio.h>

/* Of workload "latency", all of it filled in and the same each time: five seconds at 10,000 records
 * a second.  A label's latencies and CPU time are `factor` times as much, its rates by it less.
 * result_fini when done. */
void results_make(struct result *ret, const char *label, double factor);
/* What `write` prints, ended by a null byte; to be freed. */
char *results_printed(void (*write)(FILE *out, const void *context), const void *context);
/* The file tests/bench/golden/NAME has to say the same.  Where the environment has
 * SLUICE_WRITE_GOLDEN it is written instead. */
void assert_golden(const char *name, const char *text);
