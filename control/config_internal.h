/* control/config_internal.h: what the sources of settings share.  Every source ends in config_set,
 * which parses one key's text by the table. */
#pragma once
#include "control/config.h"

/* `key` by its name.  -ERR_CONFIG with the nearest name in `why`. */
int config_set_key(struct config *config, const char *key, const char *text,
		   enum config_origin origin, unsigned *ret_index, char *why, size_t why_bytes);

/* ---- config_file.c ---- */
/* "key = value" in place; null for the value of a text without '='. */
void config_split(char *line, char **ret_key, char **ret_value);
/* The file, then conf.d beside it. */
int config_load_files(struct config *config, const char *path, char *why, size_t why_bytes);

/* ---- config_options.c ---- */
/* What is wanted, and the file that --config names (points into argv; null: none). */
int config_scan_options(int argc, char **argv, enum config_action *ret_action,
			const char **ret_file, char *why, size_t why_bytes);
int config_apply_options(struct config *config, int argc, char **argv, char *why, size_t why_bytes);
