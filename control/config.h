/* control/config.h: the broker's settings: defaults, then file, environment, command line; what
 * clients set while it runs comes on top (control/live.c).
 *
 * The file is followed by those of the folder conf.d beside it that end in .conf, in order of their
 * names.  A later source overrides an earlier one; an unknown key or a bad value refuses to start.
 * Keys and bounds: config.def.  Owner: who loads it; a loaded one is not changed but by who holds
 * it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

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
#define CONFIG_TYPE_LEVELS const char *
#define CONFIG_TYPE_ADDRESS const char *

enum config_index {
#define PARAM(kind, field, key, def, min, max, choices, when, help) CONFIG_##field,
#include "control/config.def"
#undef PARAM
	CONFIG_COUNT
};

extern const struct param config_params[CONFIG_COUNT];

/* Where a value comes from; a later one wins. */
enum config_origin {
	CONFIG_BY_DEFAULT,
	CONFIG_BY_FILE,
	CONFIG_BY_ENVIRONMENT,
	CONFIG_BY_COMMAND,
	CONFIG_BY_CLUSTER, /* set by a client, for every broker ... */
	CONFIG_BY_BROKER,  /* ... or for this one */
};

struct config {
#define PARAM(kind, field, key, def, min, max, choices, when, help) CONFIG_TYPE_##kind field;
#include "control/config.def"
#undef PARAM
	char *texts[CONFIG_COUNT]; /* as given, or the default's */
	enum config_origin origins[CONFIG_COUNT];
};

static inline bool config_given(const struct config *config, int index)
{
	return config->origins[index] != CONFIG_BY_DEFAULT;
}

enum config_action {
	CONFIG_RUN,
	CONFIG_HELP,
	CONFIG_VERSION,
	CONFIG_CHECK, /* say whether it would start */
	CONFIG_PRINT, /* the settings, as a file */
};

/* Reads the command line, what --config names and SLUICE_* of `environment`.  On failure `why`
 * holds the sentence for the operator (with file and line where there is one): -ERR_CONFIG, -errno;
 * what is wanted is known then too, unless the command line is wrong.
 * A SLUICE_ variable that is no setting is passed to `ignored`, as platforms set such names
 * themselves. */
int config_load(struct config *ret, int argc, char **argv, char **environment,
		enum config_action *ret_action, void (*ignored)(const char *variable), char *why,
		size_t why_bytes);
/* The file that --config names; null: none.  The command line was good. */
const char *config_file_of(int argc, char **argv);
void config_fini(struct config *config); /* a zeroed one is fine */
/* *ret is overwritten, not freed.  -ENOMEM: it is zeroed. */
int config_copy(struct config *ret, const struct config *from);
/* The text of one setting, parsed by the table.  -ERR_CONFIG with the reason in `why`, -ENOMEM;
 * nothing is changed then. */
int config_set(struct config *config, unsigned index, const char *text, enum config_origin origin,
	       char *why, size_t why_bytes);
void config_set_log_levels(const struct config *config); /* log.level holds from now on */
/* Both mean the same value. */
bool config_same(const struct config *a, const struct config *b, unsigned index);

/* All that is wrong with a file and its conf.d.  0, -ERR_CONFIG when there was any, -errno of the
 * file, which is told of too. */
struct config_problem {
	const char *path;
	unsigned line;      /* 0: of the file */
	const char *reason; /* a sentence without its full stop */
};
int config_lint(const char *path,
		void (*problem)(const struct config_problem *problem, void *context),
		void *context);

void config_print_help(void); /* on standard output */
/* A file that says the same, each setting with its sentence; what has its default stands there as a
 * comment. */
void config_print(const struct config *config, FILE *file);
