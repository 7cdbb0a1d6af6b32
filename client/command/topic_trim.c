/* Records deleted from the beginnings of logs.  All of what is asked for is looked at before
 * anything is deleted: an offset that one partition does not have leaves the others whole too. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "client/command/choice.h"
#include "client/command/command.h"
#include "client/command/from.h"
#include "client/command/spots.h"

struct trimming {
	const struct invocation *invocation;
	struct sluice_target before;
	struct choice choice;
	struct sluice_spot *spots;
	struct sluice_place *places;
	size_t count;
};

static int read_flags(struct trimming *t)
{
	const char *before = flag_value(t->invocation, FLAG_before);

	if (!before)
		return complain_usage("topic trim needs --before: which records are to go?");
	if (from_parse(&t->before, before, clock_wall_ms(clock_system())) < 0)
		return complain_usage("--before takes end, an offset, -N or @TIME, not '%s'",
				      before);
	return choice_read(t->invocation, &t->choice);
}

static int choose(struct trimming *t, const struct sluice_topic *topic)
{
	t->spots = calloc(topic->partition_count + 1, sizeof(*t->spots));
	t->places = calloc(topic->partition_count + 1, sizeof(*t->places));
	if (!t->spots || !t->places)
		return EXIT_FAILED;
	for (size_t i = 0; i < topic->partition_count; i++) {
		if (choice_has(&t->choice, topic->partitions[i].index))
			t->spots[t->count++] = (struct sluice_spot){
				.topic = topic->name, .partition = topic->partitions[i].index};
	}
	return choice_check(&t->choice, topic);
}

static int check_offsets(const struct trimming *t)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct sluice_spot *spot = &t->spots[i];
		if (spot->at <= spot->end)
			continue;
		complain("%s/%d ends at %" PRId64 ", before %" PRId64 ": nothing was deleted",
			 spot->topic, spot->partition, spot->end, spot->at);
		fputs("        -p names the partitions that are meant\n", stderr);
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

static int64_t records(const struct trimming *t)
{
	int64_t total = 0;

	for (size_t i = 0; i < t->count; i++) {
		if (t->spots[i].at > t->spots[i].first)
			total += t->spots[i].at - t->spots[i].first;
	}
	return total;
}

static int trim(struct trimming *t)
{
	for (size_t i = 0; i < t->count; i++)
		t->places[i] = (struct sluice_place){.topic = t->spots[i].topic,
						     .partition = t->spots[i].partition,
						     .offset = t->spots[i].at};
	int rc = sluice_trim(t->invocation->client, t->places, t->count);
	if (rc < 0)
		return complain_of(t->invocation, rc);
	for (size_t i = 0; i < t->count; i++)
		t->spots[i].error = t->places[i].error;
	return spots_check(t->spots, t->count);
}

static int print(const struct trimming *t, int code)
{
	static const struct column columns[] = {{"topic", "TOPIC"},
						{"partition", "PARTITION"},
						{"was_first_offset", "WAS-FIRST"},
						{"first_offset", "FIRST"},
						{0}};
	json_t *rows = json_array();

	for (size_t i = 0; i < t->count; i++) {
		json_t *row = json_object();
		document_set_text(row, "topic", t->spots[i].topic);
		json_object_set_new(row, "partition", json_integer(t->spots[i].partition));
		json_object_set_new(row, "was_first_offset", json_integer(t->spots[i].first));
		json_object_set_new(row, "first_offset",
				    t->spots[i].error ? json_null()
						      : json_integer(t->places[i].offset));
		json_array_append_new(rows, row);
	}
	return document_print_rows(t->invocation, rows, columns, code);
}

static int run(struct trimming *t)
{
	int code = spots_find(t->invocation, &t->before, t->spots, t->count);

	if (!code)
		code = spots_check(t->spots, t->count);
	if (!code)
		code = check_offsets(t);
	if (code)
		return code;
	if (!choice_confirmed(t->invocation, "delete up to %" PRId64 " records of topic %s?",
			      records(t), t->invocation->words[0]))
		return EXIT_FAILED;
	return print(t, trim(t));
}

int verb_topic_trim(struct invocation *invocation)
{
	struct trimming t = {.invocation = invocation};
	struct sluice_metadata *metadata = NULL;
	int code = read_flags(&t);

	if (!code)
		code = choice_topic(invocation, invocation->words[0], &metadata);
	if (!code)
		code = choose(&t, &metadata->topics[0]);
	if (!code)
		code = run(&t);
	sluice_metadata_free(metadata);
	choice_free(&t.choice);
	free(t.spots);
	free(t.places);
	return code;
}
