#include "tests/sim/broker.h"

#include "base/check.h"
#include "base/errors.h"
#include "control/config.h"
#include "control/control.h"
#include "control/data_folder.h"
#include "tests/sim/log_lines.h"
#include "tests/sim/schedule.h"

#include <stdio.h>
#include <string.h>

enum {
	ARGUMENTS_MAX = 64,
	SETTING_BYTES = 64,
};

static struct {
	struct broker_options options;
	struct process *process;
	struct control *control; /* it can be told to stop */
	bool ready;
	char last_error[640];
	char failure[640]; /* "": none */
} broker;

/* A shard that cannot start says why and then ends the process. */
static void said(const char *line)
{
	if (strncmp(line, "info control: ready ", 20) == 0)
		broker.ready = true;
	else if (strncmp(line, "error ", 6) == 0)
		snprintf(broker.last_error, sizeof(broker.last_error), "%s", line + 6);
	else if (strncmp(line, "exit ", 5) == 0)
		snprintf(broker.failure, sizeof(broker.failure), "%s", broker.last_error);
}

static void ignored_variable(const char *variable)
{
	(void)variable;
}

static int load(struct config *ret, char *why, size_t why_bytes)
{
	char shards[SETTING_BYTES], io[SETTING_BYTES], listen[SETTING_BYTES];
	char *environment[] = {NULL};
	const char *arguments[ARGUMENTS_MAX] = {"sluiced"};
	const char *const own[] = {listen, shards, io, "data=data"};
	enum config_action action;
	int count = 1;

	snprintf(listen, sizeof(listen), "listen=127.0.0.1:%d", BROKER_PORT);
	snprintf(shards, sizeof(shards), "shards=%u", broker.options.shards);
	snprintf(io, sizeof(io), "io=%s", broker.options.plain_io ? "sync" : "uring");
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		arguments[count++] = "--set";
		arguments[count++] = own[i];
	}
	for (const char *const *setting = broker.options.settings; setting && *setting; setting++) {
		check(count + 2 < ARGUMENTS_MAX);
		arguments[count++] = "--set";
		arguments[count++] = *setting;
	}
	return config_load(ret, count, (char **)(uintptr_t)arguments, environment, &action,
			   ignored_variable, why, why_bytes);
}

/* As serve() of control/main.c. */
static int serve(const struct config *config, char *why, size_t why_bytes)
{
	struct data_folder folder;
	int rc = data_folder_open(&folder, config->data, why, why_bytes);

	if (rc < 0)
		return rc;
	struct control *control = NULL;
	rc = control_start(&control, config, &folder, why, why_bytes);
	if (rc < 0)
		return rc;
	broker.control = control;
	snprintf(why, why_bytes, "control plane failed");
	rc = control_run(control);
	broker.control = NULL;
	control_free(control);
	data_folder_close(&folder);
	return rc;
}

static void *run(void *context)
{
	struct config config = {0};
	char why[512] = "";
	int rc = load(&config, why, sizeof(why));

	(void)context;
	if (rc == 0)
		rc = serve(&config, why, sizeof(why));
	if (rc < 0)
		snprintf(broker.failure, sizeof(broker.failure), "%s: %s", why, error_text(rc));
	config_fini(&config);
	broker.control = NULL;
	process_exit();
}

static void died(void *context)
{
	(void)context;
	broker.control = NULL;
	broker.ready = false;
	broker.process = NULL;
}

void broker_start(const struct broker_options *options)
{
	check(!broker.process);
	broker.options = *options;
	broker.failure[0] = '\0';
	snprintf(broker.last_error, sizeof(broker.last_error), "exit without a word");
	broker.process = process_new("broker");
	log_lines_watch(said);
	process_on_death(broker.process, died, NULL);
	fiber_spawn(broker.process, "control", run, NULL);
}

bool broker_ready(void)
{
	return broker.ready;
}

bool broker_running(void)
{
	return broker.process != NULL;
}

const char *broker_failure(void)
{
	return broker.failure[0] ? broker.failure : NULL;
}

static void *signalled(void *context)
{
	(void)context;
	if (broker.control)
		control_stop(broker.control);
	return NULL;
}

void broker_stop(void)
{
	if (!broker.process)
		return;
	if (broker.control)
		fiber_spawn(broker.process, "signal", signalled, NULL);
	else
		broker_kill(); /* nobody catches the signal yet */
}

void broker_kill(void)
{
	if (broker.process)
		process_kill(broker.process);
}
