/* tests/sim/clients/asks_internal.h: what the files of requests share. */
#pragma once
#include <stdint.h>

#include "tests/sim/clients/client.h"

static const uint64_t ASK_TIMEOUT_NS = UINT64_C(5) * 1000 * 1000 * 1000;

int ask_call(struct client *client, int16_t key, int16_t version, const void *request,
	     void **ret_response);
int ask_result(int16_t error_code); /* of a field of an answer */
