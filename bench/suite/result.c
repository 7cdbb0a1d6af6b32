#include "bench/suite/result.h"

#include <stdlib.h>

void result_fini(struct result *result)
{
	workload_fini(&result->workload);
	free(result->publish);
	free(result->delay);
	free(result->end_to_end);
	free(result->samples);
	*result = (struct result){0};
}

void result_free(struct result *results, size_t count)
{
	for (size_t i = 0; i < count; i++)
		result_fini(&results[i]);
	free(results);
}
