/* control/http/v1/v1.h: what the handlers of /v1 share.  On a worker's thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "control/http/answer.h"
#include "control/http/routes.h"
#include "dataplane/topics.h"

struct sluice_client;
struct sluice_config;
struct sluice_configs;

/* The worker's client, open; null: `answer` says why not. */
struct sluice_client *v1_client(const struct http_request *request, struct http_answer *answer);
/* `rc` of a call of that client, with its story. */
void v1_failed(const struct http_request *request, struct http_answer *answer, int rc);
/* False: the body is not what `format` (of json_unpack) says, and `answer` has the problem. */
bool v1_unpack(const struct http_request *request, struct http_answer *answer, const char *format,
	       ...);

/* What an errand copies of a topic. */
struct v1_topic {
	char name[TOPIC_NAME_MAX + 1];
	char id[UUID_TEXT_BYTES];
	uint32_t number;
	int32_t partitions;
	bool internal;
	int32_t node_id;
	unsigned shard_count;
};
void v1_topic_copy(struct v1_topic *ret, const struct topics *topics, const struct topic *topic);
/* False: there is none of the path's name, or no broker any more, and `answer` says so. */
bool v1_topic_find(const struct http_request *request, struct http_answer *answer,
		   struct v1_topic *ret);

/* ---- settings.c ---- */
/* Null: no memory. */
json_t *v1_settings(const struct sluice_configs *configs);
/* Texts and nulls of the object `json` (null: none), which they point into.  *ret is the heap's.
 * False: `answer` says what is wrong. */
bool v1_settings_read(struct http_answer *answer, const json_t *json, struct sluice_config **ret,
		      size_t *ret_count);

/* ---- bytes.c ---- */
/* {"text" or "base64", "bytes", "cut"}, no more than `max` of them; null where `data` is. */
json_t *v1_bytes(const void *data, size_t length, size_t max);
struct v1_bytes {
	const void *data; /* null: there are none */
	size_t length;
	void *memory; /* to free */
};
/* Of a string, an object as above or null (also no json at all).  -EINVAL, -ENOMEM. */
int v1_bytes_read(const json_t *json, struct v1_bytes *ret);
