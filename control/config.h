/* control/config.h: the broker's settings: defaults, then file, environment, command line.
 *
 * A later source overrides an earlier one; an unknown key or a bad value refuses to start.
 * Keys and bounds: config.def.  Owner: the control plane; read-only once the broker runs. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "control/param.h"

enum config_io { CONFIG_IO_AUTO, CONFIG_IO_URING, CONFIG_IO_SYNC };
enum config_poll { CONFIG_POLL_ADAPTIVE, CONFIG_POLL_BUSY };

#define CONFIG_TYPE_TEXT const char *
#define CONFIG_TYPE_COUNT int64_t
#define CONFIG_TYPE_BYTES int64_t
#define CONFIG_TYPE_MS int64_t
#define CONFIG_TYPE_RATIO int64_t
#define CONFIG_TYPE_BOOL bool
#define CONFIG_TYPE_CHOICE int64_t
#define CONFIG_TYPE_LIST int64_t

enum config_index {
#define PARAM(kind, field, key, def, min, max, choices, when, help) CONFIG_##field,
#include "control/config.def"
#undef PARAM
	CONFIG_COUNT
};

extern const struct param config_params[CONFIG_COUNT];

struct config {
#define PARAM(kind, field, key, def, min, max, choices, when, help) CONFIG_TYPE_##kind field;
#include "control/config.def"
#undef PARAM
	char *texts[CONFIG_COUNT]; /* as given, or the default's */
	bool given[CONFIG_COUNT];
};

enum config_action { CONFIG_RUN, CONFIG_HELP, CONFIG_VERSION };

/* Reads the command line, what --config names and SLUICE_* of `environment`.  On failure `why`
 * holds the sentence for the operator (with file and line where there is one): -ERR_CONFIG, -errno.
 * A SLUICE_ variable that is no setting is passed to `ignored`, as platforms set such names
 * themselves. */
int config_load(struct config *ret, int argc, char **argv, char **environment,
		enum config_action *ret_action, void (*ignored)(const char *variable), char *why,
		size_t why_bytes);
void config_fini(struct config *config); /* a zeroed one is fine */
void config_print_help(void);            /* on standard output */
