#include "control/http/exposition.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/histogram.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

const char *metric_kind_name(enum metric_kind kind)
{
	static const char *const names[] = {"counter", "gauge", "histogram"};

	return names[kind];
}

int exposition_begin(struct exposition *exposition)
{
	*exposition = (struct exposition){0};
	exposition->out = open_memstream(&exposition->text, &exposition->bytes);
	return exposition->out ? 0 : -ENOMEM;
}

void exposition_family(struct exposition *exposition, const struct metric_family *family)
{
	exposition->family = family;
	fprintf(exposition->out, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help,
		family->name, metric_kind_name(family->kind));
}

/* What would end the value, or the line, is written otherwise. */
static void put_value(FILE *out, const char *value)
{
	for (; *value; value++) {
		if (*value == '\n')
			fputs("\\n", out);
		else if (*value == '"' || *value == '\\')
			fprintf(out, "\\%c", *value);
		else
			fputc(*value, out);
	}
}

static void put_label(FILE *out, char before, const struct label *label)
{
	fprintf(out, "%c%s=\"", before, label->name);
	put_value(out, label->value);
	fputc('"', out);
}

/* The name and the labels, with one more (null: none). */
static void put_series(const struct exposition *exposition, const char *suffix,
		       const struct label *labels, const struct label *more)
{
	FILE *out = exposition->out;
	char before = '{';

	fprintf(out, "%s%s", exposition->family->name, suffix);
	for (; labels->name; labels++) {
		put_label(out, before, labels);
		before = ',';
	}
	if (more) {
		put_label(out, before, more);
		before = ',';
	}
	fputs(before == '{' ? " " : "} ", out);
}

static void put_ns(FILE *out, uint64_t ns)
{
	fprintf(out, "%" PRIu64 ".%09" PRIu64 "\n", ns / NS_PER_SECOND, ns % NS_PER_SECOND);
}

void exposition_count(struct exposition *exposition, const struct label *labels, uint64_t value)
{
	put_series(exposition, "", labels, NULL);
	fprintf(exposition->out, "%" PRIu64 "\n", value);
}

void exposition_number(struct exposition *exposition, const struct label *labels, double value)
{
	put_series(exposition, "", labels, NULL);
	fprintf(exposition->out, "%.15g\n", value);
}

void exposition_ns(struct exposition *exposition, const struct label *labels, uint64_t ns)
{
	put_series(exposition, "", labels, NULL);
	put_ns(exposition->out, ns);
}

void exposition_histogram(struct exposition *exposition, const struct label *labels,
			  const struct histogram *histogram)
{
	FILE *out = exposition->out;
	uint64_t below = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		char bound[32] = "+Inf";
		if (i + 1 < HISTOGRAM_BUCKETS)
			snprintf(bound, sizeof(bound), "%.11g",
				 (double)histogram_bound_ns(i) / NS_PER_SECOND);
		below += histogram->buckets[i];
		put_series(exposition, "_bucket", labels, &(struct label){"le", bound});
		fprintf(out, "%" PRIu64 "\n", below);
	}
	put_series(exposition, "_sum", labels, NULL);
	put_ns(out, histogram->sum_ns);
	put_series(exposition, "_count", labels, NULL);
	fprintf(out, "%" PRIu64 "\n", below);
}

int exposition_end(struct exposition *exposition, char **ret, size_t *ret_bytes)
{
	int failed = ferror(exposition->out);

	if (fclose(exposition->out) != 0 || failed) {
		free(exposition->text);
		return -ENOMEM;
	}
	*ret = exposition->text;
	*ret_bytes = exposition->bytes;
	return 0;
}
