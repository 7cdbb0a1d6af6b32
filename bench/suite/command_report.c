/* sluice-bench report and compare: what result files say. */
#include "bench/suite/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/suite/replace_file.h"
#include "bench/suite/report.h"

/* Complains if it is not. */
static bool is_written(const char *path, int rc)
{
	if (rc < 0)
		complain("%s: %s", path, strerror(-rc));
	return rc == 0;
}

int results_check(const struct arguments *arguments)
{
	const char *json = argument_of(arguments, FLAG_json);
	const char *html = argument_of(arguments, FLAG_html);
	const char *percentiles = argument_of(arguments, FLAG_percentiles);
	bool can = true;

	if (json)
		can &= is_written(json, replace_file_check(json));
	if (html)
		can &= is_written(html, replace_file_check(html));
	if (percentiles)
		can &= is_written(percentiles, report_percentiles_begin(percentiles));
	return can ? EXIT_DONE : EXIT_FAILED;
}

int results_show(const struct arguments *arguments, const struct results *results)
{
	const char *json = argument_of(arguments, FLAG_json);
	const char *html = argument_of(arguments, FLAG_html);
	const char *percentiles = argument_of(arguments, FLAG_percentiles);
	bool written = true;

	report_summary(stdout, results->list, results->count);
	if (json)
		written &= is_written(json, result_write(json, results->list, results->count));
	if (html)
		written &= is_written(html, report_html(html, results->list, results->count));
	if (percentiles)
		written &= is_written(percentiles, report_percentiles(percentiles, results->list,
								      results->count));
	return written ? EXIT_DONE : EXIT_FAILED;
}

static int read_file(const char *path, struct results *ret)
{
	char why[512];
	int rc = result_read(path, &ret->list, &ret->count, why, sizeof(why));

	if (rc < 0)
		complain("%s", why);
	return rc < 0 ? EXIT_FAILED : EXIT_DONE;
}

/* What `more` has becomes the results'. */
static int append(struct results *results, struct results *more)
{
	struct result *list = realloc(results->list,
				      (results->count + more->count + 1) * sizeof(*list));

	if (!list) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	if (more->count)
		memcpy(list + results->count, more->list, more->count * sizeof(*list));
	results->list = list;
	results->count += more->count;
	free(more->list);
	*more = (struct results){0};
	return EXIT_DONE;
}

int command_report(const struct arguments *arguments)
{
	struct results all = {0};
	int code = EXIT_DONE;

	for (size_t i = 0; code == EXIT_DONE && i < arguments->word_count; i++) {
		struct results more = {0};
		code = read_file(arguments->words[i], &more);
		if (code == EXIT_DONE)
			code = append(&all, &more);
		result_free(more.list, more.count);
	}
	if (code == EXIT_DONE)
		code = results_show(arguments, &all);
	result_free(all.list, all.count);
	return code;
}

/* ---- compare ---- */

static int read_gates(const struct arguments *arguments, struct report_gate *gates)
{
	char why[1024];

	for (size_t i = 0; i < arguments->flags[FLAG_gate].count; i++) {
		const char *text = arguments->flags[FLAG_gate].values[i];
		if (report_gate_parse(text, &gates[i], why, sizeof(why)) < 0)
			return complain_usage("%s", why);
	}
	return EXIT_DONE;
}

int command_compare(const struct arguments *arguments)
{
	struct report_gate gates[FLAG_VALUES_MAX];
	struct results a = {0};
	struct results b = {0};
	int code = read_gates(arguments, gates);

	if (code == EXIT_DONE)
		code = read_file(arguments->words[0], &a);
	if (code == EXIT_DONE)
		code = read_file(arguments->words[1], &b);
	if (code == EXIT_DONE) {
		int broken = report_compare(stdout, a.list, a.count, b.list, b.count, gates,
					    arguments->flags[FLAG_gate].count);
		if (broken)
			code = broken < 0 ? EXIT_FAILED : EXIT_GATE;
	}
	result_free(a.list, a.count);
	result_free(b.list, b.count);
	return code;
}
