#include "base/errors.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

const char *error_text(int rc)
{
	static const char *const texts[] = {
#define ERR(name, kafka, text) [ERR_##name - ERR_FIRST] = (text),
#include "base/errors.def"
#undef ERR
	};
	int code = rc < 0 && rc > INT_MIN ? -rc : rc;

	if (code > ERR_FIRST && code < ERR_END)
		return texts[code - ERR_FIRST];
	if (code == 0)
		return "success";
	const char *text = strerrordesc_np(code);
	return text ? text : "unknown error";
}
