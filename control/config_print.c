/* Settings in words: the help of sluiced, and a file of all of them. */
#include "control/config.h"

#include <string.h>

enum { COLUMNS = 80 };

void config_print_help(void)
{
	puts("usage: sluiced [--listen HOST:PORT] [--data DIR] [--shards N] [--io auto|uring|sync]\n"
	     "               [--poll adaptive|busy] [--vdev DEVICE] [--config FILE]\n"
	     "               [--set KEY=VALUE]... [--check | --print-config | --help | --version]\n"
	     "\n"
	     "Runs the broker until SIGTERM or SIGINT; SIGHUP has it read its settings again.\n"
	     "--check says whether it would start with them, --print-config prints them as a file.\n"
	     "Each setting below may stand in the file (\"key = value\" lines), in a file conf.d/*.conf\n"
	     "beside it, in the environment (SLUICE_NUM_PARTITIONS for num.partitions) or after\n"
	     "--set; a later one of these wins.\n");
	for (unsigned i = 0; i < CONFIG_COUNT; i++) {
		const struct param *param = &config_params[i];
		char wanted[160];
		param_describe(param, wanted, sizeof(wanted));
		printf("  %s = %s\n      %s. (%s%s)\n", param->key, param->default_text,
		       param->help, wanted, param->live ? "" : "; holds after a restart");
	}
}

/* Words of a comment, in lines of at most COLUMNS. */
static void print_comment(FILE *file, const char *text)
{
	size_t column = 0;

	for (const char *at = text; *at; at += strspn(at, " ")) {
		size_t length = strcspn(at, " ");
		if (column && column + 1 + length > COLUMNS) {
			fputc('\n', file);
			column = 0;
		}
		column += (size_t)fprintf(file, "%s %.*s", column ? "" : "#", (int)length, at);
		at += length;
	}
	fputc('\n', file);
}

static void print_setting(const struct config *config, unsigned index, FILE *file)
{
	const struct param *param = &config_params[index];
	bool given = config_given(config, (int)index);
	char text[1024];

	snprintf(text, sizeof(text), "%s.", param->help);
	fputc('\n', file);
	print_comment(file, text);
	param_describe(param, text, sizeof(text));
	fprintf(file, "# (%s%s%s)\n", text, given ? "; default " : "",
		given ? param->default_text : "");
	if (!param->live)
		fputs("# A change holds after a restart.\n", file);
	fprintf(file, "%s%s =%s%s\n", given ? "" : "#", param->key,
		config->texts[index][0] ? " " : "", config->texts[index]);
}

void config_print(const struct config *config, FILE *file)
{
	print_comment(file, "Settings of sluiced. What stands here as a comment is the default. "
			    "Files conf.d/*.conf beside this one are read after it, in order of "
			    "their names, and override it. SIGHUP has the broker read all of them "
			    "again.");
	for (unsigned i = 0; i < CONFIG_COUNT; i++)
		print_setting(config, i, file);
}
