/* bench/suite/report_caveats.c: what is to be known of a series' runs before believing them.
 *
 * A run's caveats are sentences.  Those of one series that differ by numbers alone are one, with
 * the smallest and the largest of each number:
 *
 *     run 1: Sent 97.0 % of what was asked: ...  The machine was busy: load average 3.1.
 *     run 2:                                     The machine was busy: load average 12.0.
 *     told:  1 of 2 runs: Sent 97.0 % ...
 *            2 of 2 runs: The machine was busy: load average 3.1 .. 12.0. */
#include "bench/suite/report_text.h"

#include <stdlib.h>
#include <string.h>

struct sentence {
	const char *text; /* within a result's caveats */
	size_t length;    /* 0: none */
};

/* ---- sentences ---- */

static bool ends_at(const char *text)
{
	return text[0] == '.' && (text[1] == ' ' || text[1] == '\0');
}

static struct sentence sentence_first(const char *text)
{
	size_t length = 0;

	text += strspn(text, " ");
	while (text[length] && !ends_at(text + length))
		length++;
	length += text[length] == '.';
	return (struct sentence){text, length};
}

static struct sentence sentence_next(struct sentence sentence)
{
	return sentence_first(sentence.text + sentence.length);
}

/* Of the digits that stand there, and those behind a point; 0: it is no number. */
static size_t number_length(const char *text)
{
	static const char digits[] = "0123456789";
	size_t whole = strspn(text, digits);
	size_t part = whole && text[whole] == '.' ? strspn(text + whole + 1, digits) : 0;

	return part ? whole + 1 + part : whole;
}

/* But for their numbers. */
static bool are_alike(struct sentence a, struct sentence b)
{
	size_t i = 0, j = 0;

	while (i < a.length && j < b.length) {
		size_t a_number = number_length(a.text + i);
		size_t b_number = number_length(b.text + j);
		if (!(a_number && b_number) && a.text[i] != b.text[j])
			return false;
		i += a_number && b_number ? a_number : 1;
		j += a_number && b_number ? b_number : 1;
	}
	return i == a.length && j == b.length;
}

/* The first one of the run's that is like it. */
static struct sentence find_alike(const struct result *run, struct sentence like)
{
	struct sentence sentence = sentence_first(run->caveats);

	while (sentence.length && !are_alike(sentence, like))
		sentence = sentence_next(sentence);
	return sentence;
}

/* ---- numbers ---- */

struct range {
	const char *smallest;
	const char *largest;
};

static const char *number_at(struct sentence sentence, unsigned index)
{
	size_t at = 0;

	for (;;) {
		while (!number_length(sentence.text + at))
			at++;
		if (index-- == 0)
			return sentence.text + at;
		at += number_length(sentence.text + at);
	}
}

/* Number `index` of all that are like the sentence, which has so many. */
static struct range range_of(const struct series *series, struct sentence like, unsigned index)
{
	const char *own = number_at(like, index);
	struct range range = {own, own};

	for (size_t i = 0; i < series->count; i++) {
		struct sentence sentence = sentence_first(series->runs[i]->caveats);
		for (; sentence.length; sentence = sentence_next(sentence)) {
			if (!are_alike(sentence, like))
				continue;
			const char *number = number_at(sentence, index);
			if (strtod(number, NULL) < strtod(range.smallest, NULL))
				range.smallest = number;
			if (strtod(number, NULL) > strtod(range.largest, NULL))
				range.largest = number;
		}
	}
	return range;
}

static void say_range(FILE *out, struct range range)
{
	fprintf(out, "%.*s", (int)number_length(range.smallest), range.smallest);
	if (strtod(range.largest, NULL) > strtod(range.smallest, NULL))
		fprintf(out, " .. %.*s", (int)number_length(range.largest), range.largest);
}

/* ---- caveats ---- */

static void say(FILE *out, const struct series *series, struct sentence sentence)
{
	unsigned numbers = 0;

	for (size_t at = 0; at < sentence.length;) {
		size_t length = number_length(sentence.text + at);
		if (length)
			say_range(out, range_of(series, sentence, numbers++));
		else
			fputc(sentence.text[at], out);
		at += length ? length : 1;
	}
}

/* By a run before run `index`, or by itself. */
static bool said_before(const struct series *series, size_t index, struct sentence sentence)
{
	for (size_t i = 0; i < index; i++) {
		if (find_alike(series->runs[i], sentence).length)
			return true;
	}
	return find_alike(series->runs[index], sentence).text != sentence.text;
}

static size_t runs_with(const struct series *series, struct sentence sentence)
{
	size_t count = 0;

	for (size_t i = 0; i < series->count; i++)
		count += find_alike(series->runs[i], sentence).length > 0;
	return count;
}

/* Number `index` of those that differ; of length 0 past the last one. */
static struct sentence caveat_at(const struct series *series, size_t index)
{
	for (size_t i = 0; i < series->count; i++) {
		struct sentence sentence = sentence_first(series->runs[i]->caveats);
		for (; sentence.length; sentence = sentence_next(sentence)) {
			if (!said_before(series, i, sentence) && index-- == 0)
				return sentence;
		}
	}
	return (struct sentence){0};
}

const char *series_caveat(const struct series *series, size_t index, char *text, size_t bytes,
			  size_t *ret_runs)
{
	struct sentence sentence = caveat_at(series, index);

	if (!sentence.length)
		return NULL;
	text[0] = '\0';
	FILE *out = fmemopen(text, bytes, "w");
	if (out) {
		say(out, series, sentence);
		fclose(out);
		text[bytes - 1] = '\0';
	}
	*ret_runs = runs_with(series, sentence);
	return text;
}

void caveats_print(FILE *out, const char *before, const struct series *series, size_t count)
{
	char text[CAVEAT_TEXT_BYTES];
	size_t runs;

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; series_caveat(&series[i], j, text, sizeof(text), &runs); j++)
			fprintf(out, "  %s%s, %s, %zu of %zu run%s: %s\n", before,
				series[i].workload, series[i].label, runs, series[i].count,
				series[i].count == 1 ? "" : "s", text);
	}
}
