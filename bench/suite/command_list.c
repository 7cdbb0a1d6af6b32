#include "bench/suite/command.h"

#include <stdio.h>

#include "bench/suite/report_figures.h"
#include "bench/suite/workload.h"
#include "control/param.h"

static void list_keys(void)
{
	const struct param *param;
	char values[128];

	for (size_t i = 0; (param = workload_key_at(i)); i++) {
		param_describe(param, values, sizeof(values));
		printf("  %-26s %s (%s)\n", param->key, param->help, values);
	}
}

static void list_figures(void)
{
	const struct figure *figure;

	for (size_t i = 0; (figure = figure_at(i)); i++)
		printf("  %-28s %s: %s, %s\n", figure->name, figure_group_title(figure->group),
		       figure->title, figure->unit);
}

int command_list(const struct arguments *arguments)
{
	const struct driver *driver;
	const struct workload *workload;

	puts("Drivers:");
	for (size_t i = 0; (driver = driver_at(i)); i++)
		printf("  %-26s %s; %s\n", driver->name, driver->help, driver->default_url);
	puts("\nWorkloads:");
	for (size_t i = 0; (workload = workload_at(i)); i++)
		printf("  %-26s %s\n", workload->name, workload->help);
	puts("\nKeys, for --set and in files:");
	list_keys();
	puts("\nFigures, for compare's --gate:");
	list_figures();
	return EXIT_DONE;
}
