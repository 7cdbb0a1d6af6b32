/* sluice-bench run: workloads, each so many times. */
#include "bench/suite/command.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/suite/progress.h"
#include "bench/suite/report.h"
#include "bench/suite/run.h"

enum { RUNS_MAX = 1000, THREADS_MAX = 4096, GIVE_UP_S_MAX = 86400 };

struct plan {
	struct run_options options;
	uint64_t runs;
	pid_t pids[FLAG_VALUES_MAX];
	const char *label;
	struct host host;
};

/* ---- what is asked ---- */

static int read_driver(const struct arguments *arguments, struct plan *plan)
{
	const char *name = argument_of(arguments, FLAG_driver);

	plan->options.driver = driver_find(name ? name : "sluice");
	if (!plan->options.driver)
		return complain_usage("there is no driver '%s', or it was not built", name);
	plan->options.url = argument_of(arguments, FLAG_url);
	if (!plan->options.url)
		plan->options.url = plan->options.driver->default_url;
	plan->label = argument_of(arguments, FLAG_label);
	if (!plan->label)
		plan->label = plan->options.driver->name;
	return EXIT_DONE;
}

static int read_number(const struct arguments *arguments, enum flag_index flag, const char *name,
		       uint64_t max, uint64_t *number)
{
	const char *text = argument_of(arguments, flag);

	return !text || argument_number(text, name, 1, max, number) ? EXIT_DONE : EXIT_USAGE;
}

static int read_pid(const char *text, pid_t *ret)
{
	uint64_t pid;

	if (!argument_number(text, "pid", 1, INT32_MAX, &pid))
		return EXIT_USAGE;
	if (kill((pid_t)pid, 0) < 0 && errno == ESRCH)
		return complain_usage("--pid %s: there is no such process", text);
	*ret = (pid_t)pid;
	return EXIT_DONE;
}

static int read_plan(const struct arguments *arguments, struct plan *plan)
{
	size_t pids = arguments->flags[FLAG_pid].count;
	uint64_t threads = 0;
	uint64_t give_up_s = 0;
	int code = read_driver(arguments, plan);

	plan->runs = 1;
	if (code == EXIT_DONE)
		code = read_number(arguments, FLAG_runs, "runs", RUNS_MAX, &plan->runs);
	if (code == EXIT_DONE)
		code = read_number(arguments, FLAG_threads, "threads", THREADS_MAX, &threads);
	if (code == EXIT_DONE)
		code = read_number(arguments, FLAG_give_up, "give-up", GIVE_UP_S_MAX, &give_up_s);
	for (size_t i = 0; code == EXIT_DONE && i < pids; i++)
		code = read_pid(arguments->flags[FLAG_pid].values[i], &plan->pids[i]);
	plan->options.threads = (unsigned)threads;
	plan->options.silence_ms_max = (unsigned)give_up_s * 1000;
	plan->options.broker_pids = plan->pids;
	plan->options.broker_pid_count = pids;
	plan->options.keep_topics = argument_of(arguments, FLAG_keep_topics);
	return code;
}

static int set_keys(const struct arguments *arguments, struct workload *workload)
{
	char why[512];
	char key[64];

	for (size_t i = 0; i < arguments->flags[FLAG_set].count; i++) {
		const char *setting = arguments->flags[FLAG_set].values[i];
		size_t length = strcspn(setting, "=");
		if (!setting[length] || length >= sizeof(key))
			return complain_usage("--set takes KEY=VALUE, not '%s'", setting);
		memcpy(key, setting, length);
		key[length] = 0;
		if (workload_set(workload, key, setting + length + 1, why, sizeof(why)) < 0)
			return complain_usage("%s", why);
	}
	if (workload_check(workload, why, sizeof(why)) < 0)
		return complain_usage("%s", why);
	return EXIT_DONE;
}

static int load_workload(const struct arguments *arguments, const char *name,
			 struct workload *workload)
{
	char why[512];
	int rc = workload_builtin(name, workload);

	if (rc == -ENOENT && !strpbrk(name, "./"))
		return complain_usage("there is no workload '%s'; did you mean '%s'?", name,
				      workload_nearest(name));
	if (rc == -ENOENT)
		rc = workload_read_yaml(name, workload, why, sizeof(why));
	else if (rc < 0)
		snprintf(why, sizeof(why), "%s", strerror(-rc));
	if (rc < 0) {
		complain("%s", why);
		return EXIT_FAILED;
	}
	int code = set_keys(arguments, workload);
	if (code != EXIT_DONE)
		workload_fini(workload);
	return code;
}

/* ---- running ---- */

static void print_latency(const char *what, const struct histogram *histogram)
{
	struct histogram_figures figures = histogram_figures_of(histogram);

	if (figures.count)
		fprintf(stderr, ", %s p50 %.3f p99 %.3f p99.9 %.3f max %.3f ms", what,
			(double)figures.p50 / 1e6, (double)figures.p99 / 1e6,
			(double)figures.p999 / 1e6, (double)figures.max / 1e6);
}

/* Of one run, for those who wait for the next. */
static void print_line(const char *what, const struct result *result)
{
	fprintf(stderr, "%s: %.0f/s in, %.0f/s out, %" PRIu64 " errors", what,
		result->published_per_s, result->consumed_per_s, result->publish_errors);
	print_latency("publish", result->publish);
	print_latency("end to end", result->end_to_end);
	fputc('\n', stderr);
	if (*result->caveats)
		fprintf(stderr, "  %s\n", result->caveats);
}

static void describe(const struct arguments *arguments, const struct plan *plan,
		     struct result *result)
{
	size_t used = 0;

	snprintf(result->label, sizeof(result->label), "%s", plan->label);
	result->host = plan->host;
	snprintf(result->commit, sizeof(result->commit), "%s", bench_commit);
	for (int i = 0; i < arguments->argc && used < sizeof(result->command); i++)
		used += (size_t)snprintf(result->command + used, sizeof(result->command) - used,
					 "%s%s", i ? " " : "", arguments->argv[i]);
}

static int run_once(const struct arguments *arguments, const struct plan *plan,
		    const struct workload *workload, unsigned number, struct results *results)
{
	struct result *list = realloc(results->list, (results->count + 1) * sizeof(*list));
	struct run_options options = plan->options;
	struct progress progress;
	char what[128];

	if (!list)
		return -ENOMEM;
	results->list = list;
	snprintf(what, sizeof(what), "%.40s %.40s %u of %" PRIu64, plan->label, workload->name,
		 number, plan->runs);
	progress_begin(&progress, what);
	options.progress = progress_tell;
	options.context = &progress;
	int rc = run_workload(workload, &options, &list[results->count]);
	progress_end(&progress);
	if (rc < 0)
		return rc;
	struct result *result = &list[results->count++];
	describe(arguments, plan, result);
	print_line(what, result);
	return 0;
}

static int run_named(const struct arguments *arguments, const struct plan *plan, const char *name,
		     struct results *results)
{
	struct workload workload;
	int code = load_workload(arguments, name, &workload);
	int rc = 0;

	if (code != EXIT_DONE)
		return code;
	for (unsigned i = 1; rc == 0 && i <= plan->runs && !run_was_interrupted(); i++)
		rc = run_once(arguments, plan, &workload, i, results);
	workload_fini(&workload);
	if (rc < 0)
		complain("%s: %s", name, strerror(-rc));
	return rc < 0 ? EXIT_FAILED : EXIT_DONE;
}

/* All of them are read before the first one runs. */
static int check_named(const struct arguments *arguments, const char *name)
{
	struct workload workload;
	int code = load_workload(arguments, name, &workload);

	if (code == EXIT_DONE)
		workload_fini(&workload);
	return code;
}

/* Those asked for, or `latency`. */
static const char *const *workloads_of(const struct arguments *arguments, size_t *ret_count)
{
	static const char *const usual[] = {"latency"};
	size_t count = arguments->flags[FLAG_workload].count;

	*ret_count = count ? count : 1;
	return count ? arguments->flags[FLAG_workload].values : usual;
}

int command_run(const struct arguments *arguments)
{
	size_t count;
	const char *const *workloads = workloads_of(arguments, &count);
	const char *data = argument_of(arguments, FLAG_data);
	struct plan plan = {0};
	struct results results = {0};
	int code = read_plan(arguments, &plan);

	for (size_t i = 0; code == EXIT_DONE && i < count; i++)
		code = check_named(arguments, workloads[i]);
	if (code == EXIT_DONE)
		code = results_check(arguments);
	/* Before the load that it would see. */
	if (code == EXIT_DONE)
		host_describe(&plan.host, data ? data : ".", plan.options.url);
	plan.options.load_average = plan.host.load_average;
	for (size_t i = 0; code == EXIT_DONE && i < count && !run_was_interrupted(); i++)
		code = run_named(arguments, &plan, workloads[i], &results);
	/* What was measured before something failed is not lost. */
	if (results.count) {
		int shown = results_show(arguments, &results);
		code = code == EXIT_DONE ? shown : code;
	}
	result_free(results.list, results.count);
	return code;
}
