/* Records out, as text or as one document each.
 *
 * Where the end matters (--exit, --until) it is looked up once, before the first record: a topic
 * that others write to meanwhile ends all the same.  With --follow partitions that are added later
 * are read too. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/command/choice.h"
#include "client/command/command.h"
#include "client/command/consume_group.h"
#include "client/command/format.h"
#include "client/command/from.h"
#include "client/command/output.h"
#include "client/command/progress.h"
#include "client/command/record_json.h"
#include "client/command/spots.h"

enum { OUTPUT_BYTES = 256 << 10, WAIT_MS = 1000, LOOK_EVERY_MS = 2000 };

struct source {
	int32_t partition;
	int64_t stop; /* before this offset; INT64_MAX: never */
	bool done;
};

struct consumption {
	struct invocation *invocation;
	const char *topic;
	struct sluice_target from;
	struct sluice_target until; /* where has_until */
	bool has_until;
	bool exit;
	bool follow;
	struct choice choice;
	struct format format;
	struct consume_group group;
	struct source *sources; /* by partition */
	size_t source_count;
	size_t left;   /* sources not done */
	int64_t count; /* still to print */
	int64_t printed;
	int failure;      /* exit code */
	uint64_t look_ns; /* for more partitions */
	struct progress progress;
};

/* ---- printing ---- */

static int compare_source(const void *partition, const void *source)
{
	int32_t wanted = *(const int32_t *)partition;
	int32_t found = ((const struct source *)source)->partition;

	return (wanted > found) - (wanted < found);
}

static void finish_source(struct consumption *c, struct source *source)
{
	if (source->done)
		return;
	source->done = true;
	c->left--;
	sluice_unassign(c->invocation->client, c->topic, source->partition);
}

static void print_batch(struct consumption *c, struct sluice_batch *batch, struct source *source)
{
	struct sluice_message message;
	int rc;

	while (c->count > 0 && (rc = sluice_batch_next(batch, &message)) > 0) {
		if (message.offset >= source->stop)
			break;
		if (c->invocation->output == OUTPUT_TABLE)
			format_print(&c->format, stdout, &message);
		else
			document_print_element(c->invocation, record_json_of(&message));
		c->count--;
		c->printed++;
		consume_group_note(&c->group, message.partition, message.offset + 1);
	}
	if (c->count > 0 && rc < 0)
		c->failure = complain_of(c->invocation, rc);
}

static void take(struct consumption *c, struct sluice_batch *batch)
{
	struct sluice_batch_info info;

	sluice_batch_info(batch, &info);
	struct source *source = bsearch(&info.partition, c->sources, c->source_count,
					sizeof(*source), compare_source);
	if (info.error) {
		c->failure = complain_of(c->invocation, info.error);
	} else if (!source->done) {
		print_batch(c, batch, source);
		if (info.next_offset >= source->stop)
			finish_source(c, source);
	}
	sluice_batch_free(batch);
	progress_step(&c->progress, c->printed);
}

/* A partition without records, or whose last ones are not for readers, ends here. */
static void finish_reached(struct consumption *c)
{
	int64_t position;

	for (size_t i = 0; i < c->source_count; i++) {
		struct source *source = &c->sources[i];
		if (!source->done && source->stop != INT64_MAX &&
		    sluice_position(c->invocation->client, c->topic, source->partition,
				    &position) == 0 &&
		    position >= source->stop)
			finish_source(c, source);
	}
}

/* ---- where to begin and to stop ---- */

/* Those of `topic` that are meant and not there yet. */
static int add_sources(struct consumption *c, const struct sluice_topic *topic)
{
	struct source *sources = realloc(c->sources,
					 (topic->partition_count + 1) * sizeof(*sources));
	size_t known = c->source_count;

	if (!sources)
		return EXIT_FAILED;
	c->sources = sources;
	for (size_t i = 0; i < topic->partition_count; i++) {
		int32_t index = topic->partitions[i].index;
		if (choice_has(&c->choice, index) &&
		    (known == 0 || index > sources[known - 1].partition))
			sources[c->source_count++] = (struct source){.partition = index,
								     .stop = INT64_MAX};
	}
	c->left += c->source_count - known;
	return EXIT_DONE;
}

static struct sluice_spot *spots_new(const struct consumption *c)
{
	struct sluice_spot *spots = calloc(c->source_count + 1, sizeof(*spots));

	for (size_t i = 0; spots && i < c->source_count; i++)
		spots[i] = (struct sluice_spot){.topic = c->topic,
						.partition = c->sources[i].partition};
	return spots;
}

static int find_stops(struct consumption *c, struct sluice_spot *spots)
{
	static const struct sluice_target end = {.kind = SLUICE_AT_OFFSET, .value = SLUICE_LATEST};
	int code = spots_find(c->invocation, c->has_until ? &c->until : &end, spots,
			      c->source_count);

	if (!code)
		code = spots_check(spots, c->source_count);
	for (size_t i = 0; !code && i < c->source_count; i++) {
		c->sources[i].stop = spots[i].at;
		if (c->exit && spots[i].end < spots[i].at)
			c->sources[i].stop = spots[i].end;
	}
	return code;
}

static int begin_at(struct consumption *c, const struct source *source, int64_t offset)
{
	int64_t committed = consume_group_offset(&c->group, source->partition);
	int rc = sluice_assign(c->invocation->client, c->topic, source->partition,
			       committed >= 0 ? committed : offset);

	return rc < 0 ? complain_of(c->invocation, rc) : EXIT_DONE;
}

/* How many records there are to print, where that is known. */
static int64_t records(const struct consumption *c, const struct sluice_spot *spots)
{
	int64_t total = 0;

	for (size_t i = 0; i < c->source_count; i++) {
		int64_t committed = consume_group_offset(&c->group, spots[i].partition);
		int64_t begin = committed >= 0 ? committed : spots[i].at;
		if (c->sources[i].stop == INT64_MAX)
			return 0;
		if (c->sources[i].stop > begin)
			total += c->sources[i].stop - begin;
	}
	return total < c->count ? total : c->count;
}

static int begin_all(struct consumption *c, struct sluice_spot *spots)
{
	bool stops = c->exit || c->has_until;
	int code = EXIT_DONE;

	if (stops)
		code = find_stops(c, spots);
	if (!code && (stops || c->from.kind != SLUICE_AT_OFFSET))
		code = spots_find(c->invocation, &c->from, spots, c->source_count);
	if (!code)
		code = spots_check(spots, c->source_count);
	for (size_t i = 0; !code && i < c->source_count; i++)
		code = begin_at(c, &c->sources[i],
				stops || c->from.kind != SLUICE_AT_OFFSET ? spots[i].at
									  : c->from.value);
	if (!code && !isatty(STDOUT_FILENO))
		progress_begin(&c->progress, "consuming", records(c, spots), "records");
	return code;
}

static int start(struct consumption *c)
{
	struct sluice_metadata *metadata;
	int code = choice_topic(c->invocation, c->topic, &metadata);

	if (code)
		return code;
	code = choice_check(&c->choice, &metadata->topics[0]);
	if (!code)
		code = add_sources(c, &metadata->topics[0]);
	sluice_metadata_free(metadata);
	struct sluice_spot *spots = code ? NULL : spots_new(c);
	if (!code)
		code = spots ? begin_all(c, spots) : EXIT_FAILED;
	free(spots);
	return code;
}

/* Partitions that were added since are read from their beginning. */
static int look_for_more(struct consumption *c)
{
	uint64_t now_ns = clock_monotonic_ns(clock_system());
	struct sluice_metadata *metadata;
	size_t known = c->source_count;

	if (!c->follow || c->choice.ranges || now_ns < c->look_ns)
		return EXIT_DONE;
	c->look_ns = now_ns + (uint64_t)LOOK_EVERY_MS * NS_PER_MS;
	int rc = sluice_metadata(c->invocation->client, &c->topic, 1, &metadata);
	if (rc < 0) /* the fetches tell what is wrong, or it passes */
		return rc == -EINTR ? EXIT_INTERRUPTED : EXIT_DONE;
	int code = EXIT_DONE;
	if (metadata->topic_count == 1)
		code = add_sources(c, &metadata->topics[0]);
	sluice_metadata_free(metadata);
	for (size_t i = known; !code && i < c->source_count; i++)
		code = begin_at(c, &c->sources[i], SLUICE_EARLIEST);
	return code;
}

/* ---- the loop ---- */

/* Nothing more at the moment: now is the time to show what there was. */
static int pause_between(struct consumption *c)
{
	if (output_flush() != OUTPUT_GOOD)
		return EXIT_FAILED;
	finish_reached(c);
	int code = consume_group_commit(&c->group, false);
	return code ? code : look_for_more(c);
}

static int loop(struct consumption *c)
{
	struct sluice_batch *batch;
	int code = EXIT_DONE;

	while (c->left > 0 && c->count > 0 && !c->failure) {
		int rc = sluice_fetch(c->invocation->client, 0, &batch);
		if (rc == 0) {
			code = pause_between(c);
			if (code || c->left == 0)
				break;
			rc = sluice_fetch(c->invocation->client, WAIT_MS, &batch);
		}
		if (rc < 0)
			return complain_of(c->invocation, rc);
		if (rc > 0)
			take(c, batch);
		if (ferror(stdout))
			break;
	}
	return c->failure ? c->failure : code;
}

/* What a reader may not have got is not committed. */
static int finish(struct consumption *c, int code)
{
	enum output_state state = output_flush();

	progress_end(&c->progress);
	if (state == OUTPUT_FAILED)
		return EXIT_FAILED;
	if (state == OUTPUT_ENOUGH)
		return code == EXIT_INTERRUPTED ? code : EXIT_DONE;
	int committed = consume_group_commit(&c->group, true);
	return code ? code : committed;
}

/* ---- flags ---- */

static int read_place(const char *name, const char *text, struct sluice_target *ret)
{
	if (from_parse(ret, text, clock_wall_ms(clock_system())) == 0)
		return EXIT_DONE;
	return complain_usage("--%s takes beginning, end, an offset, -N or @TIME, not '%s'", name,
			      text);
}

static int read_format(struct consumption *c)
{
	const char *format = flag_value(c->invocation, FLAG_format);
	const char *wrong = "";

	if (format && c->invocation->output != OUTPUT_TABLE)
		return complain_usage("--format and --output exclude one another");
	int rc = format_parse(&c->format, format ? format : "%s\\n", &wrong);
	if (rc == -EINVAL)
		return complain_usage("--format: '%.2s' means nothing", wrong);
	return rc < 0 ? EXIT_FAILED : EXIT_DONE;
}

static int read_flags(struct consumption *c)
{
	const char *from = flag_value(c->invocation, FLAG_from);
	const char *until = flag_value(c->invocation, FLAG_until);

	if (!flag_number(c->invocation, FLAG_count, 0, INT64_MAX, INT64_MAX, &c->count))
		return EXIT_USAGE;
	c->exit = flag_value(c->invocation, FLAG_exit) != NULL;
	c->follow = flag_value(c->invocation, FLAG_follow) != NULL;
	c->has_until = until != NULL;
	if (c->follow && (c->exit || until))
		return complain_usage("--follow has no end: without --exit and --until");
	int code = read_place("from", from ? from : c->follow ? "end" : "beginning", &c->from);
	if (!code && until)
		code = read_place("until", until, &c->until);
	if (!code)
		code = choice_read(c->invocation, &c->choice);
	return code ? code : read_format(c);
}

int verb_consume(struct invocation *invocation)
{
	struct consumption c = {
		.invocation = invocation,
		.topic = invocation->words[0],
		.group = {.invocation = invocation,
			  .id = flag_value(invocation, FLAG_of_group),
			  .topic = invocation->words[0]},
	};
	int code = read_flags(&c);

	/* Records are printed piecemeal, and flushed when no more are at hand. */
	setvbuf(stdout, NULL, _IOFBF, OUTPUT_BYTES);
	if (!code)
		code = consume_group_open(&c.group);
	if (!code)
		code = start(&c);
	if (!code)
		code = finish(&c, loop(&c));
	consume_group_close(&c.group);
	choice_free(&c.choice);
	format_free(&c.format);
	free(c.sources);
	return code;
}
