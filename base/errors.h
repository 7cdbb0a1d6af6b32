/* base/errors.h: one integer error space.
 *
 * Functions return 0 (or a count) on success, -errno when the machine refused, -ERR_* when we or a
 * peer did.  Ours start at 4096, above Linux's largest errno, so the two never collide. */
#pragma once

enum err {
	ERR_FIRST = 4096,
#define ERR(name, kafka, text) ERR_##name,
#include "base/errors.def"
#undef ERR
	ERR_END
};

/* The sentence an operator reads for a negative return code (-errno or -ERR_*).  Any thread; the
 * string is static. */
const char *error_text(int rc);
