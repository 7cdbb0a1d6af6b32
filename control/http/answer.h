/* control/http/answer.h: what goes back: a document, or a problem (RFC 9457).
 *
 * An answer belongs to one thread at a time. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

struct http_answer {
	unsigned status;
	const char *content_type; /* static */
	const char *body;
	size_t body_bytes;
	char *memory;     /* of the body; null: it is static */
	const char *etag; /* static; null: none, and nothing may keep the answer */
	char allow[48];   /* of a 405: the methods; "" elsewhere */
};

#define HTTP_JSON "application/json"

/* `json` is given up; null, no memory, makes a 500. */
void answer_json(struct http_answer *answer, unsigned status, json_t *json);
void answer_nothing(struct http_answer *answer); /* 204 */
/* `text` is the heap's and given up; null likewise. */
void answer_text(struct http_answer *answer, const char *content_type, char *text, size_t bytes);
/* "detail" says what was wrong and what to do. */
void answer_problem(struct http_answer *answer, unsigned status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Of a failed call of libsluice or an errand: the status that fits, its name as "error"; `story`
 * says more than its sentence ("": there is nothing more). */
void answer_failure(struct http_answer *answer, int rc, const char *story);
/* Of a static document. */
void answer_static(struct http_answer *answer, const char *content_type, const void *body,
		   size_t bytes, const char *etag);
void answer_fini(struct http_answer *answer); /* a zeroed one is fine */
