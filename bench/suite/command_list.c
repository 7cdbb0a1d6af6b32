#include "bench/suite/command.h"

#include <stdio.h>

#include "bench/suite/workload.h"
#include "control/param.h"

int command_list(const struct arguments *arguments)
{
	const struct driver *driver;
	const struct workload *workload;
	const struct param *param;

	puts("Drivers:");
	for (size_t i = 0; (driver = driver_at(i)); i++)
		printf("  %-24s %s; %s\n", driver->name, driver->help, driver->default_url);
	puts("\nWorkloads:");
	for (size_t i = 0; (workload = workload_at(i)); i++)
		printf("  %-24s %s\n", workload->name, workload->help);
	puts("\nKeys, for --set and in files:");
	for (size_t i = 0; (param = workload_key_at(i)); i++)
		printf("  %-24s %s\n", param->key, param->help);
	return EXIT_DONE;
}
