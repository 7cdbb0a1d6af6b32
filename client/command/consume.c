/* Records out, as text or as one line of JSON each.
 *
 * Where the end matters (--exit, --until, -N) it is looked up once, before the first record: a
 * topic that others write to meanwhile ends all the same. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "client/command/command.h"
#include "client/command/format.h"
#include "client/command/from.h"
#include "client/command/output.h"

enum { OUTPUT_BYTES = 256 << 10 };

struct source {
	int32_t partition;
	int64_t stop; /* before this offset; INT64_MAX: never */
	bool done;
};

struct consumption {
	struct invocation *invocation;
	const char *topic;
	struct from from;
	struct format format;
	struct source *sources;
	size_t source_count;
	size_t left;   /* sources not done */
	int64_t until; /* INT64_MAX: no end */
	bool exit;
	int64_t count; /* still to print */
	int failure;   /* exit code */
};

static void print_json(const struct sluice_message *message)
{
	struct sluice_header header;
	size_t cursor = 0;

	fputs("{\"topic\":", stdout);
	put_json_string(stdout, message->topic);
	printf(",\"partition\":%" PRId32 ",\"offset\":%" PRId64 ",\"timestamp\":%" PRId64 ",",
	       message->partition, message->offset, message->timestamp_ms);
	put_json_bytes(stdout, "key", message->key, message->key_length);
	putchar(',');
	put_json_bytes(stdout, "value", message->value, message->value_length);
	fputs(",\"headers\":[", stdout);
	for (bool first = true; sluice_header_next(message, &cursor, &header) > 0; first = false) {
		fputs(first ? "{" : ",{", stdout);
		put_json_bytes(stdout, "name", header.name, header.name_length);
		putchar(',');
		put_json_bytes(stdout, "value", header.value, header.value_length);
		putchar('}');
	}
	puts("]}");
}

static struct source *source_of(const struct consumption *c, int32_t partition)
{
	for (size_t i = 0; i < c->source_count; i++) {
		if (c->sources[i].partition == partition)
			return &c->sources[i];
	}
	return NULL;
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
		if (c->invocation->json)
			print_json(&message);
		else
			format_print(&c->format, stdout, &message);
		c->count--;
	}
	if (c->count > 0 && rc < 0)
		c->failure = complain_of(c->invocation, rc);
}

static void take(struct consumption *c, struct sluice_batch *batch)
{
	struct sluice_batch_info info;

	sluice_batch_info(batch, &info);
	struct source *source = source_of(c, info.partition);
	if (info.error) {
		c->failure = complain_of(c->invocation, info.error);
	} else if (!source->done) {
		print_batch(c, batch, source);
		if (info.next_offset >= source->stop)
			finish_source(c, source);
	}
	sluice_batch_free(batch);
}

/* A partition without records, or whose last ones are not for readers, ends here. */
static void finish_reached(struct consumption *c)
{
	int64_t position;

	for (size_t i = 0; i < c->source_count; i++) {
		struct source *source = &c->sources[i];
		if (!source->done &&
		    sluice_position(c->invocation->client, c->topic, source->partition,
				    &position) == 0 &&
		    position >= source->stop)
			finish_source(c, source);
	}
}

static int loop(struct consumption *c)
{
	struct sluice_batch *batch;

	while (c->left > 0 && c->count > 0 && !c->failure) {
		int rc = sluice_fetch(c->invocation->client, 0, &batch);
		if (rc == 0) {
			/* Nothing more at the moment: now is the time to show what there was. */
			if (output_flush() != OUTPUT_GOOD)
				break;
			finish_reached(c);
			if (c->left == 0)
				break;
			rc = sluice_fetch(c->invocation->client, 1000, &batch);
		}
		if (rc < 0)
			return complain_of(c->invocation, rc);
		if (rc > 0)
			take(c, batch);
		if (ferror(stdout))
			break;
	}
	return output_finish(c->failure);
}

/* ---- where to begin and to stop ---- */

static int start(struct consumption *c, struct source *source)
{
	struct sluice_client *client = c->invocation->client;
	int64_t first = 0;
	int64_t end = INT64_MAX;
	int64_t begin = c->from.value;
	int rc = 0;

	if (c->exit || c->from.kind == FROM_BEFORE_END)
		rc = sluice_list_offset(client, c->topic, source->partition, SLUICE_LATEST, &end,
					NULL);
	if (rc == 0 && c->from.kind == FROM_BEFORE_END)
		rc = sluice_list_offset(client, c->topic, source->partition, SLUICE_EARLIEST,
					&first, NULL);
	if (rc < 0)
		return rc;
	source->stop = c->exit && end < c->until ? end : c->until;
	if (c->from.kind == FROM_BEFORE_END)
		begin = end - begin < first ? first : end - begin;
	if (c->from.kind == FROM_TIME)
		return sluice_assign_time(client, c->topic, source->partition, c->from.value);
	return sluice_assign(client, c->topic, source->partition, begin);
}

static int choose_all(struct consumption *c, const struct sluice_topic *topic)
{
	c->sources = calloc(topic->partition_count + 1, sizeof(*c->sources));
	if (!c->sources)
		return EXIT_FAILED;
	for (size_t i = 0; i < topic->partition_count; i++)
		c->sources[c->source_count++].partition = topic->partitions[i].index;
	return EXIT_DONE;
}

/* "0,3,5" */
static int choose_listed(struct consumption *c, const struct sluice_topic *topic, const char *text)
{
	c->sources = calloc(strlen(text) + 1, sizeof(*c->sources));
	if (!c->sources)
		return EXIT_FAILED;
	for (const char *at = text;; at++) {
		char *end;
		errno = 0;
		long number = strtol(at, &end, 10);
		if (end == at || (*end && *end != ',') || number < 0 || errno)
			return complain_usage("--partition takes numbers with commas between, not "
					      "'%s'",
					      text);
		if ((size_t)number >= topic->partition_count) {
			complain("topic '%s' has partitions 0 to %zu, and no %ld", topic->name,
				 topic->partition_count - 1, number);
			return EXIT_FAILED;
		}
		if (!source_of(c, (int32_t)number))
			c->sources[c->source_count++].partition = (int32_t)number;
		if (!*end)
			return EXIT_DONE;
		at = end;
	}
}

static int choose_sources(struct consumption *c)
{
	const char *listed = flag_value(c->invocation, FLAG_partition);
	struct sluice_metadata *metadata;
	int rc = sluice_metadata(c->invocation->client, &c->topic, 1, &metadata);
	int code;

	if (rc < 0)
		return complain_of(c->invocation, rc);
	const struct sluice_topic *topic = metadata->topic_count ? &metadata->topics[0] : NULL;
	if (!topic || topic->error) {
		complain("topic '%s': %s", c->topic,
			 sluice_error_text(topic ? topic->error : -SLUICE_KAFKA(3)));
		fputs("        `sluice topic list` shows the topics, `sluice topic create` makes "
		      "one\n",
		      stderr);
		code = EXIT_FAILED;
	} else {
		code = listed ? choose_listed(c, topic, listed) : choose_all(c, topic);
	}
	sluice_metadata_free(metadata);
	return code;
}

static int start_all(struct consumption *c)
{
	int code = choose_sources(c);

	c->left = c->source_count;
	for (size_t i = 0; !code && i < c->source_count; i++) {
		int rc = start(c, &c->sources[i]);
		if (rc < 0)
			code = complain_of(c->invocation, rc);
	}
	return code;
}

static int read_flags(struct consumption *c)
{
	const char *from = flag_value(c->invocation, FLAG_from);
	const char *format = flag_value(c->invocation, FLAG_format);
	const char *wrong = "";

	if (!flag_number(c->invocation, FLAG_count, 0, INT64_MAX, INT64_MAX, &c->count) ||
	    !flag_number(c->invocation, FLAG_until, 0, INT64_MAX, INT64_MAX, &c->until))
		return EXIT_USAGE;
	c->exit = flag_value(c->invocation, FLAG_exit) != NULL;
	if (from_parse(&c->from, from ? from : "beginning", clock_wall_ms(clock_system())) < 0)
		return complain_usage("--from takes beginning, end, an offset, -N or @TIME, not "
				      "'%s'",
				      from);
	if (format && c->invocation->json)
		return complain_usage("--format and --output json exclude one another");
	int rc = format_parse(&c->format, format ? format : "%s\\n", &wrong);
	if (rc == -EINVAL)
		return complain_usage("--format: '%.2s' means nothing", wrong);
	return rc < 0 ? EXIT_FAILED : EXIT_DONE;
}

int verb_consume(struct invocation *invocation)
{
	struct consumption c = {.invocation = invocation, .topic = invocation->words[0]};
	int code = read_flags(&c);

	/* Records are printed piecemeal, and flushed when no more are at hand. */
	setvbuf(stdout, NULL, _IOFBF, OUTPUT_BYTES);
	if (!code)
		code = start_all(&c);
	if (!code)
		code = loop(&c);
	format_free(&c.format);
	free(c.sources);
	return code;
}
