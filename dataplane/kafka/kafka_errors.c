#include "dataplane/kafka/kafka_errors.h"

#include "base/errors.h"

#include <errno.h>

int16_t kafka_code_of(int rc)
{
	switch (rc < 0 ? -rc : rc) {
	case 0:
		return KAFKA_NONE;
#define ERR(name, kafka, text)                                                                     \
	case ERR_##name:                                                                           \
		return KAFKA_##kafka;
#include "base/errors.def"
#undef ERR
	case EIO:
	case ENOSPC:
	case EROFS:
	case EDQUOT:
	case EFBIG:
		return KAFKA_KAFKA_STORAGE_ERROR;
	case ENOBUFS: /* others hold the memory: a client tries again */
	case ETIMEDOUT:
		return KAFKA_REQUEST_TIMED_OUT;
	default:
		return KAFKA_UNKNOWN_SERVER_ERROR;
	}
}

const char *kafka_error_name(int16_t code)
{
	switch (code) {
#define KAFKA_ERROR(number, name)                                                                  \
	case number:                                                                               \
		return #name;
#include "dataplane/kafka/kafka_errors.def"
#undef KAFKA_ERROR
	default:
		return "?";
	}
}
