/* dataplane/kafka/kafka_errors.h: the protocol's error codes, and the one place where ours become
 * theirs. */
#pragma once
#include <stdint.h>

enum kafka_error {
#define KAFKA_ERROR(code, name) KAFKA_##name = (code),
#include "dataplane/kafka/kafka_errors.def"
#undef KAFKA_ERROR
};

/* Of 0, -errno or -ERR_*. */
int16_t kafka_code_of(int rc);
const char *kafka_error_name(int16_t code); /* "NONE", ...; "?" when not in the table */
