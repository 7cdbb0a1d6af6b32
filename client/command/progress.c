#include "client/command/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BAR_CELLS = 24, DRAW_EVERY_MS = 100, AMOUNT_BYTES = 32 };

static bool line_drawn; /* by whichever there is */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- text ---- */

static void put_amount(char ret[static AMOUNT_BYTES], double amount, bool bytes)
{
	static const char *const prefixes[] = {"", "k", "M", "G", "T", "P"};
	size_t prefix = 0;

	/* What would be printed as 1000.0 has the next one. */
	for (; amount >= 999.95 && prefix < 5; prefix++)
		amount /= 1000;
	snprintf(ret, AMOUNT_BYTES, "%.*f%s%s%s", prefix ? 1 : 0, amount, bytes ? " " : "",
		 prefixes[prefix], bytes ? "B" : "");
}

static void put_bar(char ret[static BAR_CELLS + 1], double part)
{
	size_t full = (size_t)(part * BAR_CELLS);

	memset(ret, '.', BAR_CELLS);
	memset(ret, '#', full);
	ret[BAR_CELLS] = 0;
}

void progress_text(const struct progress *progress, int64_t elapsed_ms,
		   char ret[static PROGRESS_TEXT_BYTES])
{
	bool bytes = strcmp(progress->unit, "bytes") == 0;
	const char *unit = bytes ? "" : progress->unit;
	const char *gap = bytes ? "" : " ";
	double rate = elapsed_ms > 0 ? (double)progress->done * 1000 / (double)elapsed_ms : 0;
	char done[AMOUNT_BYTES];
	char per_second[AMOUNT_BYTES];
	char total[AMOUNT_BYTES];
	char bar[BAR_CELLS + 1];

	put_amount(done, (double)progress->done, bytes);
	put_amount(per_second, rate, bytes);
	if (progress->total < 1) {
		snprintf(ret, PROGRESS_TEXT_BYTES, "%s  %s%s%s  %s/s", progress->label, done, gap,
			 unit, per_second);
		return;
	}
	double part = (double)progress->done / (double)progress->total;
	part = part < 0 ? 0 : part > 1 ? 1 : part;
	put_bar(bar, part);
	put_amount(total, (double)progress->total, bytes);
	snprintf(ret, PROGRESS_TEXT_BYTES, "%s  [%s] %3d%%  %s of %s%s%s  %s/s", progress->label,
		 bar, (int)(part * 100), done, total, gap, unit, per_second);
}

/* ---- the line ---- */

static bool wanted(void)
{
	const char *terminal = getenv("TERM");

	return isatty(STDERR_FILENO) && !(terminal && strcmp(terminal, "dumb") == 0);
}

static void draw(struct progress *progress, int64_t at_ms)
{
	char text[PROGRESS_TEXT_BYTES];

	progress_text(progress, at_ms - progress->begun_ms, text);
	fprintf(stderr, "\r%s\x1b[K", text);
	fflush(stderr);
	progress->drawn_ms = at_ms;
	line_drawn = true;
}

void progress_begin(struct progress *progress, const char *label, int64_t total, const char *unit)
{
	*progress = (struct progress){
		.label = label,
		.unit = unit,
		.total = total,
		.begun_ms = now_ms(),
		.shown = wanted(),
	};
}

void progress_step(struct progress *progress, int64_t done)
{
	progress->done = done;
	if (!progress->shown)
		return;
	int64_t at_ms = now_ms();
	/* What is over at once needs no line. */
	if (at_ms - progress->begun_ms >= DRAW_EVERY_MS &&
	    at_ms - progress->drawn_ms >= DRAW_EVERY_MS)
		draw(progress, at_ms);
}

void progress_end(struct progress *progress)
{
	progress_hide();
	progress->shown = false;
}

void progress_hide(void)
{
	if (line_drawn)
		fputs("\r\x1b[K", stderr);
	line_drawn = false;
}
