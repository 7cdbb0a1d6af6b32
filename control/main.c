/* sluiced: the broker's process. */
#include "base/errors.h"
#include "base/log.h"
#include "control/config.h"
#include "control/control.h"
#include "control/data_folder.h"
#include "control/http/http_server.h"
#include "control/network.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern char **environ;

enum { EXIT_USAGE = 2 };

/* For the signal handler only. */
static struct control *_Atomic running;

static void on_signal(int number)
{
	static atomic_bool asked;

	(void)number;
	/* Asked twice: do not wait for clients. What was acknowledged is on the disk. */
	if (atomic_exchange(&asked, true))
		_exit(EXIT_FAILURE);
	control_stop(atomic_load(&running));
}

static void on_hangup(int number)
{
	(void)number;
	control_reload(atomic_load(&running));
}

static sigset_t hangup(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	return set;
}

/* Until signals are caught it waits, instead of ending the process. */
static void hold_hangup(void)
{
	sigset_t set = hangup();

	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void catch_signals(struct control *control)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct sigaction reload = {.sa_handler = on_hangup, .sa_flags = SA_RESTART};
	sigset_t set = hangup();

	atomic_store(&running, control);
	sigaction(SIGHUP, &reload, NULL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

static void ignored_variable(const char *variable)
{
	log_warn("config", "environment variable is no setting, ignored: %s", variable);
}

/* The command line, which a reload reads again. */
static struct {
	int argc;
	char **argv;
} started_with;

static void ignored_again(const char *variable)
{
	(void)variable; /* was told of at the start */
}

static int load_again(struct config *ret, char *why, size_t why_bytes)
{
	enum config_action action;

	return config_load(ret, started_with.argc, started_with.argv, environ, &action,
			   ignored_again, why, why_bytes);
}

static void log_settings(const struct config *config)
{
	for (int i = 0; i < CONFIG_COUNT; i++) {
		if (config_given(config, i))
			log_info("config", "%s = %s", config_params[i].key, config->texts[i]);
	}
}

static int serve(const struct config *config)
{
	struct data_folder folder;
	struct control *control = NULL;
	struct http_server *http = NULL;
	char why[512] = "";
	int rc = data_folder_open(&folder, config->data, why, sizeof(why));

	if (rc < 0) {
		log_error("sluiced", "%s", why);
		return EXIT_FAILURE;
	}
	rc = control_start(&control, config, &folder, why, sizeof(why));
	if (rc == 0)
		rc = http_server_start(&http, control, why, sizeof(why));
	if (rc < 0) {
		log_error("sluiced", "cannot start: %s: %s", why, error_text(rc));
		/* Shards that run already have nothing to lose yet, but still use what a return
		 * from main would take down. */
		_exit(EXIT_FAILURE);
	}
	control_reloads_with(control, load_again);
	catch_signals(control);
	rc = control_run(control);
	if (rc < 0)
		log_error("sluiced", "control plane failed: %s", error_text(rc));
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGHUP, SIG_IGN);
	http_server_stop(http);
	control_free(control);
	data_folder_close(&folder);
	network_stop();
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void print_problem(const struct config_problem *problem, void *context)
{
	char line[16] = "";

	(void)context;
	if (problem->line)
		snprintf(line, sizeof(line), ":%u", problem->line);
	fprintf(stderr, "sluiced: %s%s: %s\n", problem->path, line, problem->reason);
}

/* What config_load has refused, with the rest of what is wrong with the files. */
static int refuse(int argc, char **argv, enum config_action action, const char *why)
{
	const char *file = action == CONFIG_CHECK ? config_file_of(argc, argv) : NULL;

	if (!file || config_lint(file, print_problem, NULL) == 0)
		fprintf(stderr, "sluiced: %s\n", why);
	return EXIT_USAGE;
}

static int act(const struct config *config, enum config_action action)
{
	switch (action) {
	case CONFIG_HELP:
		config_print_help();
		break;
	case CONFIG_VERSION:
		puts("sluiced " SLUICE_VERSION);
		break;
	case CONFIG_CHECK:
		puts("the settings are good");
		break;
	case CONFIG_PRINT:
		config_print(config, stdout);
		break;
	case CONFIG_RUN:
		signal(SIGPIPE, SIG_IGN);
		hold_hangup();
		config_set_log_levels(config);
		log_milestone("sluiced", "starting version=%s", SLUICE_VERSION);
		log_settings(config);
		return serve(config);
	}
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct config config = {0};
	enum config_action action = CONFIG_RUN;
	char why[1024] = "";
	int rc = config_load(&config, argc, argv, environ, &action, ignored_variable, why,
			     sizeof(why));

	if (rc < 0)
		return refuse(argc, argv, action, why);
	started_with.argc = argc;
	started_with.argv = argv;
	rc = act(&config, action);
	config_fini(&config);
	return rc;
}
