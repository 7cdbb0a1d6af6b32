/* control/param.h: one named setting, of the broker or of a topic: its kind, bounds and text forms.
 *
 * Tables of parameters are static; any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum param_kind {
	PARAM_TEXT,
	PARAM_NAME, /* visible ASCII characters, as many as the bounds say */
	PARAM_COUNT,
	PARAM_BYTES,   /* number with an optional B, KiB, MiB, GiB, TiB (or k, m, g, t) */
	PARAM_MS,      /* number with an optional ms, s, min, h, d */
	PARAM_RATIO,   /* a decimal fraction; its value is in millionths */
	PARAM_BOOL,    /* true or false */
	PARAM_CHOICE,  /* one of `choices`; its value is the index */
	PARAM_LIST,    /* comma-separated subset of `choices`; its value is the bit mask */
	PARAM_LEVELS,  /* of the log: log_levels_parse */
	PARAM_ADDRESS, /* HOST:PORT, one of `choices`, or nothing where the least length is 0 */
};

enum { PARAM_RATIO_ONE = 1000000 };
enum { PARAM_RESTART = false, PARAM_LIVE = true }; /* what tables call the two kinds of `live` */

struct param {
	const char *key;
	enum param_kind kind;
	int64_t min; /* of numbers, in bytes, milliseconds or as counted; of a name's length */
	int64_t max;
	const char *default_text;
	const char *choices; /* "one|two|three" */
	bool live;           /* a change holds at once, not after a restart */
	const char *help;    /* a sentence without its full stop */
};

/* The value of `text`: a number, 0 or 1, an index or a mask; 0 for texts, names, levels and
 * addresses. -ERR_CONFIG with the reason in `why`. */
int param_parse(const struct param *param, const char *text, int64_t *ret, char *why,
		size_t why_bytes);
/* The one text for a value: plain numbers in bytes or milliseconds, choices as the table spells
 * them.  Errors as param_parse; -ERR_CONFIG too for a text longer than the buffer. */
enum { PARAM_CANONICAL_BYTES = 256 };
int param_canonical(const struct param *param, const char *text,
		    char canonical[static PARAM_CANONICAL_BYTES], char *why, size_t why_bytes);
/* What a valid value looks like: "bytes, 1024 to 2147483647", "uring|sync|auto", ... */
void param_describe(const struct param *param, char *text, size_t text_bytes);

/* Overrides of a table: one text a parameter, canonical, on the heap, null where there is none. */
void params_free_texts(char **texts, size_t count);                 /* all are null then */
int params_copy_texts(char *const *from, size_t count, char **ret); /* -ENOMEM: *ret has none */
/* Sets or (text null) removes one.  -ERR_CONFIG with the reason in `why`, -ENOMEM.  `what` is what
 * the table is of: "topic". */
int params_set_text(const struct param *params, size_t count, const char *what, char **texts,
		    const char *key, const char *text, char *why, size_t why_bytes);

/* Index of `key`, -1 when absent. */
int params_find(const struct param *params, size_t count, const char *key);
/* The key most like `key`. */
const char *params_nearest(const struct param *params, size_t count, const char *key);
