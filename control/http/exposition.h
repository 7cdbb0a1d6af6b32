/* control/http/exposition.h: metrics as Prometheus reads them, text format 0.0.4
 * (prometheus.io/docs/instrumenting/exposition_formats).
 *
 * begin, then families, each with its samples right behind it, then end.  One thread; no memory is
 * an error that stays until the end tells of it. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct histogram;

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_family {
	const char *name;
	enum metric_kind kind;
	const char *labels; /* "shard", "group topic"; "" none */
	const char *help;
};
const char *metric_kind_name(enum metric_kind kind); /* "counter", ... */

/* A list ends with one without a name; a value may be any text. */
struct label {
	const char *name;
	const char *value;
};
#define LABELS(...) ((const struct label[]){__VA_ARGS__, {NULL, NULL}})
#define NO_LABELS ((const struct label[]){{NULL, NULL}})

struct exposition {
	FILE *out;
	char *text;
	size_t bytes;
	const struct metric_family *family;
};

int exposition_begin(struct exposition *exposition); /* -ENOMEM */
void exposition_family(struct exposition *exposition, const struct metric_family *family);
/* Samples of the newest family. */
void exposition_count(struct exposition *exposition, const struct label *labels, uint64_t value);
void exposition_number(struct exposition *exposition, const struct label *labels, double value);
/* Nanoseconds, written as seconds. */
void exposition_ns(struct exposition *exposition, const struct label *labels, uint64_t ns);
void exposition_histogram(struct exposition *exposition, const struct label *labels,
			  const struct histogram *histogram);
/* On success *ret is the caller's, of the heap.  -ENOMEM: there is nothing. */
int exposition_end(struct exposition *exposition, char **ret, size_t *ret_bytes);
