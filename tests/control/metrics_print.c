/* metrics_print text|table: what /metrics and the detail would say with everything there; or all
 * that is ever exported, as control/http/metrics.md has it. */
#include "tests/control/metrics_pictures.h"

#include <stdlib.h>
#include <string.h>

static void print(int rc, char *text, size_t bytes)
{
	if (rc < 0)
		exit(EXIT_FAILURE);
	fwrite(text, 1, bytes, stdout);
	free(text);
}

static int print_text(void)
{
	struct metrics_sources sources = pictures_new(3);
	const struct metrics_filter everything = {0};
	char why[1];
	char *text = NULL;
	size_t bytes = 0;
	int rc = metrics_write(&sources, &text, &bytes);

	print(rc, text, bytes);
	rc = metrics_write_detailed(&sources, &everything, &text, &bytes, why, sizeof(why));
	print(rc, text, bytes);
	pictures_free(&sources);
	return EXIT_SUCCESS;
}

static void print_labels(const char *labels)
{
	for (const char *at = labels; *at;) {
		int length = (int)strcspn(at, " ");
		printf("%s`%.*s`", at == labels ? "" : ", ", length, at);
		at += length + (at[length] == ' ');
	}
}

static int print_table(void)
{
	size_t count;
	const struct metric_family *families = metrics_families(&count);

	puts("| metric | type | labels | what it says |\n|---|---|---|---|");
	for (size_t i = 0; i < count; i++) {
		printf("| `%s` | %s | ", families[i].name, metric_kind_name(families[i].kind));
		print_labels(families[i].labels);
		printf(" | %s |\n", families[i].help);
	}
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "text") == 0)
		return print_text();
	if (argc == 2 && strcmp(argv[1], "table") == 0)
		return print_table();
	fprintf(stderr, "usage: metrics_print text|table\n");
	return EXIT_FAILURE;
}
