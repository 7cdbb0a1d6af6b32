/* What is changed of groups from outside: where they go on, and whether they are. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "client/command/choice.h"
#include "client/command/command.h"
#include "client/command/from.h"
#include "client/command/group_free.h"
#include "client/command/spots.h"

struct seeking {
	const struct invocation *invocation;
	const char *group;
	struct sluice_target to;
	struct choice choice;
	char **topics; /* names that `chosen` refers to */
	size_t topic_count;
	struct sluice_assigned *chosen; /* null: what is committed */
	size_t count;
	struct sluice_group_plan *plan;
};

/* ---- which partitions ---- */

static int add_topic(struct seeking *s, const char *name)
{
	struct sluice_metadata *metadata;

	for (size_t i = 0; i < s->topic_count; i++) {
		/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): there are so many */
		if (strcmp(s->topics[i], name) == 0)
			return EXIT_DONE;
	}
	int code = choice_topic(s->invocation, name, &metadata);
	if (code)
		return code;
	const struct sluice_topic *topic = &metadata->topics[0];
	struct sluice_assigned *chosen =
		realloc(s->chosen, (s->count + topic->partition_count + 1) * sizeof(*chosen));
	char *copy = strdup(name);
	code = chosen && copy ? choice_check(&s->choice, topic) : EXIT_FAILED;
	s->chosen = chosen ? chosen : s->chosen;
	if (code) {
		free(copy);
	} else {
		s->topics[s->topic_count++] = copy;
		for (size_t i = 0; i < topic->partition_count; i++) {
			if (choice_has(&s->choice, topic->partitions[i].index))
				s->chosen[s->count++] =
					(struct sluice_assigned){copy, topic->partitions[i].index};
		}
	}
	sluice_metadata_free(metadata);
	return code;
}

static int choose(struct seeking *s, const struct flag_values *names)
{
	int code = EXIT_DONE;

	if (!names->count)
		return EXIT_DONE;
	s->topics = calloc(names->count, sizeof(char *));
	if (!s->topics)
		return EXIT_FAILED;
	for (size_t i = 0; !code && i < names->count; i++)
		code = add_topic(s, names->values[i]);
	return code;
}

/* ---- seeking ---- */

/* Of what is committed, what --partition says. */
static void keep_chosen(struct seeking *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->plan->count; i++) {
		if (choice_has(&s->choice, s->plan->spots[i].partition))
			s->plan->spots[kept++] = s->plan->spots[i];
	}
	s->plan->count = kept;
}

static int check_offsets(const struct sluice_group_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct sluice_spot *spot = &plan->spots[i];
		if (spot->at >= spot->first && spot->at <= spot->end)
			continue;
		complain("%s/%d has offsets %lld to %lld, and no %lld: nothing was changed",
			 spot->topic, spot->partition, (long long)spot->first, (long long)spot->end,
			 (long long)spot->at);
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

static int plan(struct seeking *s)
{
	int rc = sluice_group_plan(s->invocation->client, s->group, s->chosen, s->count, &s->to,
				   &s->plan);

	if (rc < 0)
		return complain_of(s->invocation, rc);
	keep_chosen(s);
	if (!s->plan->count) {
		complain("group '%s' has committed nothing%s: --topic says what it shall read",
			 s->group, s->choice.ranges ? " of these partitions" : "");
		return EXIT_FAILED;
	}
	int code = spots_check(s->plan->spots, s->plan->count);
	return code ? code : check_offsets(s->plan);
}

static int commit(const struct seeking *s)
{
	int rc = sluice_group_plan_commit(s->invocation->client, s->plan);

	return rc < 0 ? complain_of(s->invocation, rc)
		      : spots_check(s->plan->spots, s->plan->count);
}

static int print(const struct seeking *s, int code)
{
	static const struct column columns[] = {{"topic", "TOPIC"},
						{"partition", "PARTITION"},
						{"was_committed", "WAS-COMMITTED"},
						{"committed", "COMMITTED"},
						{"end", "END"},
						{0}};
	json_t *rows = json_array();

	for (size_t i = 0; i < s->plan->count; i++) {
		const struct sluice_spot *spot = &s->plan->spots[i];
		json_t *row = json_object();
		document_set_text(row, "topic", spot->topic);
		json_object_set_new(row, "partition", json_integer(spot->partition));
		document_set_count(row, "was_committed", spot->committed);
		document_set_count(row, "committed", spot->error ? spot->committed : spot->at);
		json_object_set_new(row, "end", json_integer(spot->end));
		json_array_append_new(rows, row);
	}
	return document_print_rows(s->invocation, rows, columns, code);
}

static int seek(struct seeking *s)
{
	int code = group_check_free(s->invocation, s->group);

	if (!code)
		code = choose(s, &s->invocation->flags[FLAG_topic]);
	if (!code)
		code = plan(s);
	if (code)
		return code;
	return print(s, flag_value(s->invocation, FLAG_dry_run) ? EXIT_DONE : commit(s));
}

int verb_group_seek(struct invocation *invocation)
{
	struct seeking s = {.invocation = invocation, .group = invocation->words[0]};
	const char *to = flag_value(invocation, FLAG_to);
	int code = choice_read(invocation, &s.choice);

	if (!code && !to)
		code = complain_usage("group seek needs --to: where shall it go on?");
	else if (!code && from_parse(&s.to, to, clock_wall_ms(clock_system())) < 0)
		code = complain_usage("--to takes beginning, end, an offset, -N or @TIME, not '%s'",
				      to);
	if (!code)
		code = seek(&s);
	for (size_t i = 0; i < s.topic_count; i++)
		free(s.topics[i]);
	free(s.topics);
	free(s.chosen);
	sluice_group_plan_free(s.plan);
	choice_free(&s.choice);
	return code;
}

/* ---- deleting ---- */

static bool is_named(const struct flag_values *names, const char *topic)
{
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->values[i], topic) == 0)
			return true;
	}
	return false;
}

/* What the group has committed for the named topics. */
static int forget(const struct invocation *invocation, const char *group,
		  const struct flag_values *names)
{
	struct sluice_group_offsets *offsets;
	int rc = sluice_group_offsets(invocation->client, group, &offsets);
	size_t count = 0;

	if (rc < 0)
		return complain_of(invocation, rc);
	struct sluice_place *places = calloc(offsets->count + 1, sizeof(*places));
	for (size_t i = 0; places && i < offsets->count; i++) {
		if (is_named(names, offsets->offsets[i].topic))
			places[count++] =
				(struct sluice_place){.topic = offsets->offsets[i].topic,
						      .partition = offsets->offsets[i].partition};
	}
	rc = places ? sluice_group_forget(invocation->client, group, places, count) : -ENOMEM;
	int code = rc < 0 ? complain_of(invocation, rc) : EXIT_DONE;
	for (size_t i = 0; !code && i < count; i++) {
		if (!places[i].error)
			continue;
		complain("group '%s', %s/%d: %s", group, places[i].topic, places[i].partition,
			 sluice_error_text(places[i].error));
		code = EXIT_FAILED;
	}
	free(places);
	sluice_group_offsets_free(offsets);
	return code;
}

int verb_group_delete(struct invocation *invocation)
{
	const struct flag_values *topics = &invocation->flags[FLAG_topic];
	int code = EXIT_DONE;

	if (!choice_confirmed(invocation, "delete %s %zu group%s (%s%s)?",
			      topics->count ? "offsets of" : "what was committed by",
			      invocation->word_count, invocation->word_count > 1 ? "s" : "",
			      invocation->words[0], invocation->word_count > 1 ? ", ..." : ""))
		return EXIT_FAILED;
	for (size_t i = 0; !code && i < invocation->word_count; i++) {
		const char *group = invocation->words[i];
		if (topics->count) {
			code = forget(invocation, group, topics);
			continue;
		}
		int rc = sluice_group_delete(invocation->client, group);
		if (rc == -SLUICE_KAFKA(68))
			code = group_check_free(invocation, group);
		/* Those that were in it may have left meanwhile. */
		if (rc < 0 && !code)
			code = complain_of(invocation, rc);
	}
	return code;
}
