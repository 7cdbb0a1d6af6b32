/* client/question.h: one request, one answer, the caller waits; and answers copied out for the
 * user.
 *
 * A request goes to any broker, to a certain one, to a group's coordinator, or to the controller
 * where only that one does it.
 * When a broker cannot be reached the next address is tried, each once; an answer that may pass by
 * itself is asked for again until default.api.timeout.ms is over.  Thread: the client's. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/client_internal.h"
#include "kafka_messages.h"

/* What an administrative call asks, and how it reads the answer. */
struct question {
	int16_t api;
	int16_t version_max; /* 0: as new as we speak */
	bool controller;
	const int32_t *broker; /* ask this one; null: any */
	const char *group;     /* ask its coordinator; null: any */
	/* Fills request->message.  -ENOMEM. */
	int (*fill)(struct request *request, void *user);
	/* 0, or the error in the user's space; `message` the broker's own words, if any. */
	int (*read)(struct request *request, void *user, struct kafka_string *message);
	void *user;
	const char *what; /* "topic create greetings", for the sentence */
	const char *about;
};

/* 0, or the error in the user's space, its sentence noted.  -ENOENT: `broker` is not known. */
int question_ask(struct sluice_client *client, const struct question *question);
/* Before something that was answered is asked again.  0 or -EINTR. */
int question_pause(struct sluice_client *client);
/* Which broker coordinates a group, as brokers see it now; afterwards it is known. */
int question_coordinator(struct sluice_client *client, const char *group, int32_t *ret);

/* An answer for the user: a struct, zeroed, with an arena that is freed with it.  Null: no memory.
 */
void *answer_new(size_t size);
struct arena *answer_arena(void *contents);
void answer_free(void *contents); /* null is fine */
/* Null for a null string and where memory is out: *failed tells. */
const char *answer_text(struct arena *arena, const struct kafka_string *text, bool *failed);
int32_t *answer_ids(struct arena *arena, const int32_t *ids, int32_t count, bool *failed);
