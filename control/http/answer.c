#include "control/http/answer.h"

#include "base/bytes.h"
#include "client/sluice.h"
#include "dataplane/kafka/kafka_errors.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DETAIL_BYTES = 1024 };
#define PROBLEM_JSON "application/problem+json"

static const char no_memory[] = "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\","
				"\"status\":500,\"detail\":\"out of memory\"}";

static void set_text(struct http_answer *answer, unsigned status, const char *content_type,
		     char *text, size_t bytes)
{
	answer_fini(answer);
	if (!text) {
		answer_static(answer, PROBLEM_JSON, no_memory, sizeof(no_memory) - 1, NULL);
		answer->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
		return;
	}
	answer->status = status;
	answer->content_type = content_type;
	answer->body = answer->memory = text;
	answer->body_bytes = bytes;
}

static void set_json(struct http_answer *answer, unsigned status, const char *content_type,
		     json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	set_text(answer, status, content_type, text, text ? strlen(text) : 0);
}

void answer_json(struct http_answer *answer, unsigned status, json_t *json)
{
	set_json(answer, status, HTTP_JSON, json);
}

void answer_nothing(struct http_answer *answer)
{
	answer_fini(answer);
	answer->status = MHD_HTTP_NO_CONTENT;
}

void answer_text(struct http_answer *answer, const char *content_type, char *text, size_t bytes)
{
	set_text(answer, MHD_HTTP_OK, content_type, text, bytes);
}

static void problem(struct http_answer *answer, unsigned status, const char *error,
		    const char *detail)
{
	json_t *json = json_pack("{s:s, s:s, s:i, s:s, s:s*}", "type", "about:blank", "title",
				 MHD_get_reason_phrase_for(status), "status", (int)status, "detail",
				 detail, "error", error);

	set_json(answer, status, PROBLEM_JSON, json);
}

void answer_problem(struct http_answer *answer, unsigned status, const char *format, ...)
{
	char detail[DETAIL_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(detail, sizeof(detail), format, arguments);
	va_end(arguments);
	problem(answer, status, NULL, detail);
}

static unsigned status_of(int rc)
{
	static const struct {
		int rc;
		unsigned status;
	} statuses[] = {
		{-SLUICE_KAFKA(KAFKA_UNKNOWN_TOPIC_OR_PARTITION), MHD_HTTP_NOT_FOUND},
		{-SLUICE_KAFKA(KAFKA_GROUP_ID_NOT_FOUND), MHD_HTTP_NOT_FOUND},
		{-SLUICE_KAFKA(KAFKA_TOPIC_ALREADY_EXISTS), MHD_HTTP_CONFLICT},
		{-SLUICE_KAFKA(KAFKA_NON_EMPTY_GROUP), MHD_HTTP_CONFLICT},
		{-SLUICE_KAFKA(KAFKA_GROUP_SUBSCRIBED_TO_TOPIC), MHD_HTTP_CONFLICT},
		{-SLUICE_KAFKA(KAFKA_UNKNOWN_MEMBER_ID), MHD_HTTP_CONFLICT},
		{-SLUICE_KAFKA(KAFKA_POLICY_VIOLATION), MHD_HTTP_CONFLICT},
		{-SLUICE_KAFKA(KAFKA_MESSAGE_TOO_LARGE), MHD_HTTP_CONTENT_TOO_LARGE},
		{-SLUICE_KAFKA(KAFKA_INVALID_TOPIC_EXCEPTION), MHD_HTTP_BAD_REQUEST},
		{-SLUICE_KAFKA(KAFKA_INVALID_PARTITIONS), MHD_HTTP_BAD_REQUEST},
		{-SLUICE_KAFKA(KAFKA_INVALID_REPLICATION_FACTOR), MHD_HTTP_BAD_REQUEST},
		{-SLUICE_KAFKA(KAFKA_INVALID_CONFIG), MHD_HTTP_BAD_REQUEST},
		{-SLUICE_KAFKA(KAFKA_INVALID_REQUEST), MHD_HTTP_BAD_REQUEST},
		{-SLUICE_KAFKA(KAFKA_INVALID_RECORD), MHD_HTTP_BAD_REQUEST},
		{-SLUICE_KAFKA(KAFKA_INVALID_TIMESTAMP), MHD_HTTP_BAD_REQUEST},
		{-SLUICE_KAFKA(KAFKA_OFFSET_OUT_OF_RANGE), MHD_HTTP_BAD_REQUEST},
		{-SLUICE_KAFKA(KAFKA_INVALID_GROUP_ID), MHD_HTTP_BAD_REQUEST},
		{-EINVAL, MHD_HTTP_BAD_REQUEST},
		{-EMSGSIZE, MHD_HTTP_CONTENT_TOO_LARGE},
		{-SLUICE_KAFKA(KAFKA_COORDINATOR_LOAD_IN_PROGRESS), MHD_HTTP_SERVICE_UNAVAILABLE},
		{-SLUICE_KAFKA(KAFKA_COORDINATOR_NOT_AVAILABLE), MHD_HTTP_SERVICE_UNAVAILABLE},
		{-EAGAIN, MHD_HTTP_SERVICE_UNAVAILABLE},
		{-ESHUTDOWN, MHD_HTTP_SERVICE_UNAVAILABLE},
		{-ECONNREFUSED, MHD_HTTP_SERVICE_UNAVAILABLE},
		{-ETIMEDOUT, MHD_HTTP_GATEWAY_TIMEOUT},
	};

	for (size_t i = 0; i < array_count(statuses); i++) {
		if (statuses[i].rc == rc)
			return statuses[i].status;
	}
	return MHD_HTTP_INTERNAL_SERVER_ERROR;
}

void answer_failure(struct http_answer *answer, int rc, const char *story)
{
	problem(answer, status_of(rc), sluice_error_name(rc),
		story[0] ? story : sluice_error_text(rc));
}

void answer_static(struct http_answer *answer, const char *content_type, const void *body,
		   size_t bytes, const char *etag)
{
	*answer = (struct http_answer){
		.status = MHD_HTTP_OK,
		.content_type = content_type,
		.body = body,
		.body_bytes = bytes,
		.etag = etag,
	};
}

void answer_fini(struct http_answer *answer)
{
	free(answer->memory);
	*answer = (struct http_answer){0};
}
