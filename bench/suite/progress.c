#include "bench/suite/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

enum { PLAIN_EVERY_S = 10 };

void progress_begin(struct progress *progress, const char *what)
{
	*progress = (struct progress){.live = isatty(STDERR_FILENO),
				      .told_ns = clock_monotonic_ns(clock_system())};
	snprintf(progress->what, sizeof(progress->what), "%s", what);
}

static void print_time(FILE *out, unsigned seconds)
{
	if (seconds >= 3600)
		fprintf(out, "%u:%02u:%02u", seconds / 3600, seconds / 60 % 60, seconds % 60);
	else
		fprintf(out, "%u:%02u", seconds / 60, seconds % 60);
}

void progress_tell(void *context, const struct sample *sample, unsigned done_ms, unsigned total_ms,
		   bool warming_up)
{
	struct progress *progress = context;
	uint64_t now_ns = clock_monotonic_ns(clock_system());
	unsigned left_ms = total_ms > done_ms ? total_ms - done_ms : 0;

	if (!progress->live && now_ns < progress->told_ns + PLAIN_EVERY_S * NS_PER_SECOND)
		return;
	progress->told_ns = now_ns;
	fprintf(stderr, "%s%s: %s%.0f/s in, %.0f/s out", progress->live ? "\r" : "", progress->what,
		total_ms ? (warming_up ? "warming up, " : "") : "making the backlog, ",
		sample->published_per_s, sample->consumed_per_s);
	if (sample->publish.count)
		fprintf(stderr, ", publish p99 %.2f ms", (double)sample->publish.p99 / 1e6);
	if (sample->end_to_end.count)
		fprintf(stderr, ", end to end p99 %.2f ms", (double)sample->end_to_end.p99 / 1e6);
	if (sample->backlog >= 1)
		fprintf(stderr, ", backlog %.0f", sample->backlog);
	if (total_ms) {
		fputs(", ", stderr);
		print_time(stderr, (left_ms + 999) / 1000);
		fputs(" left", stderr);
	}
	fputs(progress->live ? "\033[K" : "\n", stderr);
	progress->open_line = progress->live;
}

void progress_end(struct progress *progress)
{
	if (progress->open_line)
		fputs("\r\033[K", stderr);
	progress->open_line = false;
}
