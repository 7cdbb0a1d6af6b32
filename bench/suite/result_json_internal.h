/* bench/suite/result_json_internal.h: members of a result file, by table. */
#pragma once
#include "bench/suite/result.h"

#include <jansson.h>

/* Where reading writes what it refuses. */
struct complaint {
	char *why;
	size_t why_bytes;
};

/* -EINVAL. */
int refuse(const struct complaint *complaint, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- result_json_members.c ---- */

enum member_kind {
	MEMBER_TEXT, /* cut to fit; control characters become spaces */
	MEMBER_REAL, /* numbers are never negative; what is not finite is written as 0 */
	MEMBER_COUNT,
	MEMBER_UNSIGNED,
	MEMBER_FLAG,
};

struct member {
	const char *name; /* null ends a table */
	enum member_kind kind;
	size_t at; /* offset in the structure */
	size_t bytes;
};

#define MEMBER(structure, field, name, kind)                                                       \
	{                                                                                          \
		name, MEMBER_##kind, offsetof(structure, field),                                   \
			sizeof(((structure *)NULL)->field)                                         \
	}

extern const struct member result_members[]; /* of struct result, ours */
extern const struct member usage_members[];
extern const struct member host_members[];

/* Adds all of a structure to an object.  -ENOMEM. */
int members_write(json_t *object, const struct member *members, const void *from);
/* What the object does not have stays as it is, and so does all of a null object.  -EINVAL. */
int members_read(const json_t *object, const struct member *members, void *to,
		 const struct complaint *complaint);

/* Real numbers from 0 to NUMBER_MAX; null and "NaN" are 0.  -EINVAL. */
int number_read(const json_t *json, const char *name, double *ret,
		const struct complaint *complaint);
#define NUMBER_MAX 1e18
/* Null when there is none; -EINVAL when it is something else than an object, an array. */
int object_at(const json_t *object, const char *name, json_t **ret,
	      const struct complaint *complaint);
int array_at(const json_t *object, const char *name, json_t **ret,
	     const struct complaint *complaint);

/* ---- result_json_latency.c ---- */

enum { RESULT_SAMPLES_MAX = 100000 };

/* Arrays of OpenMessaging's, one element a sample; and ours beside.  -ENOMEM. */
int samples_write(json_t *object, json_t *ours, const struct result *result);
/* As many as the longest array has.  -EINVAL, -ENOMEM. */
int samples_read(const json_t *object, const json_t *ours, struct result *result,
		 const struct complaint *complaint);
/* Figures and quantiles of the whole time.  -ENOMEM. */
int latencies_write(json_t *object, json_t *ours, const struct result *result);
/* result->published and consumed are known.  -EINVAL, -ENOMEM. */
int latencies_read(const json_t *object, const json_t *ours, struct result *result,
		   const struct complaint *complaint);
