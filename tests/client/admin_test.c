/* Administration of several brokers at once: which of them is asked, how often, and what one that
 * refuses does to the answers of the others.  Two brokers: 7 leads the even partitions, 8 the odd
 * ones and coordinates all groups. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "client/sluice.h"
#include "tests/client/fake_broker.h"

enum {
	PARTITIONS = 1000,
	NOT_LEADER = 6,
	NOT_COORDINATOR = 16,
	UNKNOWN_PARTITION = 3,
	NO_SUCH_GROUP = 69,
	COORDINATOR = 8,
	EPOCH = 4,
};

struct bench {
	struct fake_broker even;
	struct fake_broker odd;
	struct sluice_client *client;
	int16_t code;                  /* of answers, while failures are left */
	atomic_int failures;           /* requests to answer with it */
	int protocol;                  /* the request that knows groups; 0: the classic one */
	struct kafka_bytes assignment; /* of the classic group's only member */
};

static int16_t next_code(struct bench *bench)
{
	return bench->failures > 0 && bench->failures-- > 0 ? bench->code : 0;
}

/* The offset of partition p is 100 + p, and its timestamp p. */
static void list_offsets(struct bench *bench, const struct kafka_list_offsets_request *request,
			 struct kafka_list_offsets_response *response, struct arena *arena)
{
	int16_t code = next_code(bench);

	response->topics = arena_calloc(arena, (size_t)request->topics_count,
					sizeof(*response->topics));
	response->topics_count = request->topics_count;
	for (int32_t t = 0; t < request->topics_count; t++) {
		int32_t count = request->topics[t].partitions_count;
		response->topics[t].name = request->topics[t].name;
		response->topics[t].partitions_count = count;
		response->topics[t].partitions =
			arena_calloc(arena, (size_t)count, sizeof(*response->topics[t].partitions));
		/* Backwards: the order is nobody's promise. */
		for (int32_t p = 0; p < count; p++) {
			struct kafka_list_offsets_response_list_offsets_partition_response *to =
				&response->topics[t].partitions[count - 1 - p];
			to->partition_index = request->topics[t].partitions[p].partition_index;
			to->error_code = code;
			to->offset = 100 + to->partition_index;
			to->timestamp = to->partition_index;
		}
	}
}

static void delete_records(const struct kafka_delete_records_request *request,
			   struct kafka_delete_records_response *response, struct arena *arena)
{
	response->topics = arena_calloc(arena, 1, sizeof(*response->topics));
	response->topics_count = 1;
	response->topics->name = request->topics->name;
	response->topics->partitions_count = 1;
	response->topics->partitions = arena_calloc(arena, 1,
						    sizeof(*response->topics->partitions));
	response->topics->partitions->partition_index =
		request->topics->partitions->partition_index;
	response->topics->partitions->low_watermark = request->topics->partitions->offset + 1;
}

static void find_coordinator(struct bench *bench, struct kafka_find_coordinator_response *response)
{
	response->node_id = COORDINATOR;
	response->host = kafka_string_of("127.0.0.1");
	response->port = bench->odd.port;
}

static void offset_commit(struct bench *bench, const struct kafka_offset_commit_request *request,
			  struct kafka_offset_commit_response *response, struct arena *arena)
{
	response->topics = arena_calloc(arena, 1, sizeof(*response->topics));
	response->topics_count = 1;
	response->topics->name = request->topics->name;
	response->topics->partitions_count = 1;
	response->topics->partitions = arena_calloc(arena, 1,
						    sizeof(*response->topics->partitions));
	response->topics->partitions->partition_index =
		request->topics->partitions->partition_index;
	response->topics->partitions->error_code = next_code(bench);
}

/* A group of the bench's protocol has one member with the partitions 5 and 1 of "t"; to the others
 * it is not there. */
static struct kafka_string topic_names[] = {{"t", 1}};
static int32_t partitions[] = {5, 1};

static void describe_consumer(const struct bench *bench,
			      struct kafka_consumer_group_describe_response *response,
			      struct arena *arena)
{
	struct kafka_consumer_group_describe_response_described_group *group =
		arena_calloc(arena, 1, sizeof(*group));
	struct kafka_consumer_group_describe_response_member *member =
		arena_calloc(arena, 1, sizeof(*member));
	struct kafka_consumer_group_describe_response_assigned_topic *assigned =
		arena_calloc(arena, 1, sizeof(*assigned));

	response->groups = group;
	response->groups_count = 1;
	kafka_consumer_group_describe_response_described_group_init(group);
	group->error_code = bench->protocol == KAFKA_CONSUMER_GROUP_DESCRIBE ? 0 : NO_SUCH_GROUP;
	group->group_state = kafka_string_of("Stable");
	group->group_epoch = EPOCH;
	group->assignor_name = kafka_string_of("uniform");
	group->members = member;
	group->members_count = 1;
	kafka_consumer_group_describe_response_member_init(member);
	member->member_id = kafka_string_of("m");
	member->instance_id = kafka_string_of("i");
	member->member_epoch = EPOCH - 1;
	member->client_id = kafka_string_of("c");
	member->client_host = kafka_string_of("/127.0.0.1");
	member->subscribed_topic_names = topic_names;
	member->subscribed_topic_names_count = 1;
	member->assignment.topic_partitions = assigned;
	member->assignment.topic_partitions_count = 1;
	assigned->topic_name = kafka_string_of("t");
	assigned->partitions = partitions;
	assigned->partitions_count = 2;
}

static void describe_share(const struct bench *bench,
			   struct kafka_share_group_describe_response *response,
			   struct arena *arena)
{
	struct kafka_share_group_describe_response_described_group *group =
		arena_calloc(arena, 1, sizeof(*group));
	struct kafka_share_group_describe_response_member *member = arena_calloc(arena, 1,
										 sizeof(*member));
	struct kafka_share_group_describe_response_topic_partitions *assigned =
		arena_calloc(arena, 1, sizeof(*assigned));

	response->groups = group;
	response->groups_count = 1;
	kafka_share_group_describe_response_described_group_init(group);
	group->error_code = bench->protocol == KAFKA_SHARE_GROUP_DESCRIBE ? 0 : NO_SUCH_GROUP;
	group->group_state = kafka_string_of("Stable");
	group->group_epoch = EPOCH;
	group->assignor_name = kafka_string_of("simple");
	group->members = member;
	group->members_count = 1;
	kafka_share_group_describe_response_member_init(member);
	member->member_id = kafka_string_of("m");
	member->member_epoch = EPOCH - 1;
	member->client_id = kafka_string_of("c");
	member->client_host = kafka_string_of("/127.0.0.1");
	member->subscribed_topic_names = topic_names;
	member->subscribed_topic_names_count = 1;
	member->assignment.topic_partitions = assigned;
	member->assignment.topic_partitions_count = 1;
	assigned->topic_name = kafka_string_of("t");
	assigned->partitions = partitions;
	assigned->partitions_count = 2;
}

static void describe_classic(struct bench *bench, struct kafka_describe_groups_response *response,
			     struct arena *arena)
{
	static const uint8_t subscription[] = "\0\0\0\0\0\1\0\1t\xff\xff\xff\xff";
	struct kafka_describe_groups_response_described_group *group = arena_calloc(arena, 1,
										    sizeof(*group));
	struct kafka_describe_groups_response_described_group_member *member =
		arena_calloc(arena, 1, sizeof(*member));

	response->groups = group;
	response->groups_count = 1;
	kafka_describe_groups_response_described_group_init(group);
	group->group_state = kafka_string_of("Stable");
	group->protocol_type = kafka_string_of("consumer");
	group->protocol_data = kafka_string_of("range");
	group->members = member;
	group->members_count = 1;
	kafka_describe_groups_response_described_group_member_init(member);
	member->member_id = kafka_string_of("m");
	member->client_id = kafka_string_of("c");
	member->client_host = kafka_string_of("/127.0.0.1");
	member->member_metadata = (struct kafka_bytes){subscription, sizeof(subscription) - 1};
	member->member_assignment = bench->assignment;
}

static enum fake_answer handle(struct fake_broker *fake, const struct kafka_api *api,
			       int16_t version, const void *request, void *response,
			       struct arena *arena)
{
	struct bench *bench = fake->user;

	switch (api->key) {
	case KAFKA_LIST_OFFSETS:
		list_offsets(bench, request, response, arena);
		return FAKE_ANSWER;
	case KAFKA_DELETE_RECORDS:
		delete_records(request, response, arena);
		return FAKE_ANSWER;
	case KAFKA_FIND_COORDINATOR:
		find_coordinator(bench, response);
		return FAKE_ANSWER;
	case KAFKA_OFFSET_COMMIT:
		offset_commit(bench, request, response, arena);
		return FAKE_ANSWER;
	case KAFKA_CONSUMER_GROUP_DESCRIBE:
		describe_consumer(bench, response, arena);
		return FAKE_ANSWER;
	case KAFKA_SHARE_GROUP_DESCRIBE:
		describe_share(bench, response, arena);
		return FAKE_ANSWER;
	case KAFKA_DESCRIBE_GROUPS:
		describe_classic(bench, response, arena);
		return FAKE_ANSWER;
	default:
		return FAKE_DEFAULT;
	}
}

static int start(void **state)
{
	static struct bench bench;
	struct sluice_options *options;
	char url[64];

	memset(&bench, 0, sizeof(bench));
	bench.even = (struct fake_broker){
		.partitions = PARTITIONS, .handle = handle, .user = &bench, .other = &bench.odd};
	bench.odd =
		(struct fake_broker){.partitions = PARTITIONS, .handle = handle, .user = &bench};
	fake_broker_start(&bench.odd);
	fake_broker_start(&bench.even);
	snprintf(url, sizeof(url), "127.0.0.1:%d", bench.even.port);
	*state = &bench;
	assert_int_equal(sluice_options_new(&options), 0);
	assert_int_equal(sluice_options_set(options, "retry.backoff.ms", "1"), 0);
	assert_int_equal(sluice_options_set(options, "retry.backoff.max.ms", "1"), 0);
	int rc = sluice_open(&bench.client, url, options);
	sluice_options_free(options);
	return rc;
}

static int stop(void **state)
{
	struct bench *bench = *state;

	sluice_close(bench->client);
	fake_broker_stop(&bench->even);
	fake_broker_stop(&bench->odd);
	return 0;
}

static void offsets_of_many_partitions_take_one_request_a_leader(void **state)
{
	static struct sluice_place places[PARTITIONS * 2];
	struct bench *bench = *state;

	for (int32_t i = 0; i < PARTITIONS * 2; i++)
		places[i] = (struct sluice_place){
			.topic = i % 2 ? "t" : "tt", .partition = i / 2, .timestamp_ms = -1};
	assert_int_equal(sluice_list_offsets(bench->client, places, PARTITIONS * 2), 0);
	for (int32_t i = 0; i < PARTITIONS * 2; i++) {
		assert_int_equal(places[i].error, 0);
		assert_int_equal(places[i].offset, 100 + i / 2);
		assert_int_equal(places[i].timestamp_ms, i / 2);
	}
	assert_int_equal(bench->even.requests[KAFKA_LIST_OFFSETS], 1);
	assert_int_equal(bench->odd.requests[KAFKA_LIST_OFFSETS], 1);
	assert_int_equal(sluice_list_offsets(bench->client, places, 0), 0);
}

static void a_leader_that_has_moved_is_looked_up_again(void **state)
{
	struct bench *bench = *state;
	struct sluice_place places[] = {{.topic = "t", .partition = 2},
					{.topic = "t", .partition = 3}};

	bench->code = NOT_LEADER;
	bench->failures = 1;
	assert_int_equal(sluice_list_offsets(bench->client, places, 2), 0);
	assert_int_equal(places[0].error, 0);
	assert_int_equal(places[1].error, 0);
	/* The one that had an answer is not asked once more. */
	assert_int_equal(bench->even.requests[KAFKA_LIST_OFFSETS], 2);
	assert_int_equal(bench->odd.requests[KAFKA_LIST_OFFSETS], 1);
	assert_int_equal(bench->even.requests[KAFKA_METADATA], 2);
}

static void what_one_leader_refuses_leaves_the_others_alone(void **state)
{
	struct bench *bench = *state;
	struct sluice_place places[] = {{.topic = "t", .partition = 2, .offset = 9},
					{.topic = "t", .partition = 3},
					{.topic = "t", .partition = PARTITIONS}};

	bench->code = UNKNOWN_PARTITION;
	bench->failures = 1;
	assert_int_equal(sluice_list_offsets(bench->client, places, 3), 0);
	assert_int_equal(places[0].error, -SLUICE_KAFKA(UNKNOWN_PARTITION));
	assert_int_equal(places[0].offset, 9);
	assert_int_equal(places[1].error, 0);
	assert_int_equal(places[1].offset, 103);
	assert_int_equal(places[2].error, -SLUICE_KAFKA(UNKNOWN_PARTITION));
}

static void a_leader_that_is_gone_fails_its_partitions_only(void **state)
{
	struct bench *bench = *state;
	struct sluice_place places[] = {{.topic = "t", .partition = 2},
					{.topic = "t", .partition = 3}};
	int port = bench->odd.port;

	fake_broker_stop(&bench->odd);
	assert_int_equal(sluice_list_offsets(bench->client, places, 2), 0);
	assert_int_equal(places[0].error, 0);
	assert_int_equal(places[1].error, -ECONNREFUSED);
	assert_int_equal(sluice_broker_check(bench->client, 7), 0);
	assert_int_equal(sluice_broker_check(bench->client, 8), -ECONNREFUSED);
	assert_int_equal(sluice_broker_check(bench->client, 9), -ENOENT);
	assert_int_equal(bench->odd.port, port);
	fake_broker_start(&bench->odd); /* for stop */
}

static void wrong_places_are_refused_before_anything_is_sent(void **state)
{
	struct bench *bench = *state;
	struct sluice_place twice[] = {{.topic = "t", .partition = 2},
				       {.topic = "u", .partition = 2},
				       {.topic = "t", .partition = 2}};
	struct sluice_place nameless[] = {{.topic = ""}};

	assert_int_equal(sluice_list_offsets(bench->client, twice, 3), -EINVAL);
	assert_int_equal(sluice_trim(bench->client, nameless, 1), -EINVAL);
	assert_int_equal(sluice_group_commit(bench->client, "g", twice, 3), -EINVAL);
	assert_int_equal(sluice_group_forget(bench->client, "g", nameless, 1), -EINVAL);
	assert_int_equal(bench->even.requests[KAFKA_API_VERSIONS], 0);
}

static void records_are_deleted_at_the_leader(void **state)
{
	struct bench *bench = *state;
	struct sluice_place place = {.topic = "t", .partition = 3, .offset = 41};

	assert_int_equal(sluice_trim(bench->client, &place, 1), 0);
	assert_int_equal(place.error, 0);
	assert_int_equal(place.offset, 42);
	assert_int_equal(bench->even.requests[KAFKA_DELETE_RECORDS], 0);
	assert_int_equal(bench->odd.requests[KAFKA_DELETE_RECORDS], 1);
}

static void a_group_is_asked_for_at_its_coordinator(void **state)
{
	struct bench *bench = *state;
	struct sluice_place place = {.topic = "t", .partition = 3, .offset = 41};

	assert_int_equal(sluice_group_commit(bench->client, "g", &place, 1), 0);
	assert_int_equal(place.error, 0);
	assert_int_equal(bench->even.requests[KAFKA_OFFSET_COMMIT], 0);
	assert_int_equal(bench->odd.requests[KAFKA_OFFSET_COMMIT], 1);
}

static void a_coordinator_that_has_moved_is_looked_up_again(void **state)
{
	struct bench *bench = *state;
	struct sluice_place place = {.topic = "t", .partition = 3, .offset = 41};

	bench->code = NOT_COORDINATOR;
	bench->failures = 2;
	assert_int_equal(sluice_group_commit(bench->client, "g", &place, 1), 0);
	assert_int_equal(place.error, 0);
	assert_int_equal(bench->odd.requests[KAFKA_OFFSET_COMMIT], 3);
	assert_int_equal(bench->even.requests[KAFKA_FIND_COORDINATOR] +
				 bench->odd.requests[KAFKA_FIND_COORDINATOR],
			 3);
}

static void a_classic_group_is_described_with_what_its_members_said(void **state)
{
	static const uint8_t bytes[] = "\0\0\0\0\0\1\0\1t\0\0\0\2\0\0\0\5\0\0\0\1\xff\xff\xff\xff";
	struct bench *bench = *state;
	struct sluice_group_description *group;

	bench->assignment = (struct kafka_bytes){bytes, sizeof(bytes) - 1};
	assert_int_equal(sluice_group_describe(bench->client, "g", &group), 0);
	assert_string_equal(group->id, "g");
	assert_string_equal(group->type, "classic");
	assert_string_equal(group->state, "Stable");
	assert_string_equal(group->assignor, "range");
	assert_int_equal(group->epoch, -1);
	assert_int_equal(group->coordinator, COORDINATOR);
	assert_int_equal(group->member_count, 1);
	assert_string_equal(group->members->host, "/127.0.0.1");
	assert_null(group->members->instance);
	assert_int_equal(group->members->topic_count, 1);
	assert_string_equal(group->members->topics[0], "t");
	assert_int_equal(group->members->assigned_count, 2);
	assert_int_equal(group->members->assigned[0].partition, 1);
	assert_int_equal(group->members->assigned[1].partition, 5);
	sluice_group_description_free(group);
	assert_int_equal(bench->even.requests[KAFKA_DESCRIBE_GROUPS], 0);
}

static void groups_of_members_with_epochs_are_described(void **state)
{
	static const struct {
		int protocol;
		const char *type;
		const char *protocol_type;
		const char *assignor;
		bool instance;
	} rows[] = {
		{KAFKA_CONSUMER_GROUP_DESCRIBE, "consumer", "consumer", "uniform", true},
		{KAFKA_SHARE_GROUP_DESCRIBE, "share", "share", "simple", false},
	};
	struct bench *bench = *state;

	for (size_t i = 0; i < array_count(rows); i++) {
		struct sluice_group_description *group;
		bench->protocol = rows[i].protocol;
		assert_int_equal(sluice_group_describe(bench->client, "g", &group), 0);
		assert_string_equal(group->id, "g");
		assert_string_equal(group->type, rows[i].type);
		assert_string_equal(group->protocol_type, rows[i].protocol_type);
		assert_string_equal(group->state, "Stable");
		assert_string_equal(group->assignor, rows[i].assignor);
		assert_int_equal(group->epoch, EPOCH);
		assert_int_equal(group->member_count, 1);
		assert_string_equal(group->members->id, "m");
		assert_int_equal(group->members->instance != NULL, rows[i].instance);
		assert_int_equal(group->members->epoch, EPOCH - 1);
		assert_string_equal(group->members->topics[0], "t");
		assert_int_equal(group->members->assigned_count, 2);
		assert_string_equal(group->members->assigned[1].topic, "t");
		assert_int_equal(group->members->assigned[0].partition, 1);
		assert_int_equal(group->members->assigned[1].partition, 5);
		sluice_group_description_free(group);
	}
	assert_int_equal(bench->odd.requests[KAFKA_DESCRIBE_GROUPS], 0);
}

static void an_assignment_that_cannot_be_read_is_left_out(void **state)
{
	static const uint8_t bytes[] = "\0\0\0\0\0\1\0\1";
	struct bench *bench = *state;
	struct sluice_group_description *group;

	bench->assignment = (struct kafka_bytes){bytes, sizeof(bytes) - 1};
	assert_int_equal(sluice_group_describe(bench->client, "g", &group), 0);
	assert_int_equal(group->members->topic_count, 1);
	assert_int_equal(group->members->assigned_count, 0);
	sluice_group_description_free(group);
}

int main(void)
{
#define WITH_BROKERS(test) cmocka_unit_test_setup_teardown(test, start, stop)
	const struct CMUnitTest tests[] = {
		WITH_BROKERS(offsets_of_many_partitions_take_one_request_a_leader),
		WITH_BROKERS(a_leader_that_has_moved_is_looked_up_again),
		WITH_BROKERS(what_one_leader_refuses_leaves_the_others_alone),
		WITH_BROKERS(a_leader_that_is_gone_fails_its_partitions_only),
		WITH_BROKERS(wrong_places_are_refused_before_anything_is_sent),
		WITH_BROKERS(records_are_deleted_at_the_leader),
		WITH_BROKERS(a_group_is_asked_for_at_its_coordinator),
		WITH_BROKERS(a_coordinator_that_has_moved_is_looked_up_again),
		WITH_BROKERS(a_classic_group_is_described_with_what_its_members_said),
		WITH_BROKERS(groups_of_members_with_epochs_are_described),
		WITH_BROKERS(an_assignment_that_cannot_be_read_is_left_out),
	};
#undef WITH_BROKERS

	return cmocka_run_group_tests(tests, NULL, NULL);
}
