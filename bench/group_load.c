/* Members of many consumer groups, each on its own connection: what the group coordinator has to do
 * for them, and how fast it does it.
 *
 *     group_load IP:PORT [--groups N] [--members N] [--protocol classic|consumer] [--topic NAME]
 *                [--heartbeat MS] [--commit MS] [--churn MS] [--session MS]
 *                [--seconds N] [--settle SECONDS]
 *
 * All members connect, then all join at once.  When every group has settled once, a line of JSON
 * says how long that took.  From then on each member sends a heartbeat every --heartbeat ms and
 * commits an offset every --commit ms, and every --churn ms one member of each group leaves and
 * joins again, so that the group rebalances (0: never).  After --seconds a second line has the
 * rates and the latencies in between; with --seconds 0 there is one for each line that is read from
 * standard input, about the time since the last, until its end.  Then all members leave.
 *
 * A heartbeat that is late, because its member waits for a rebalance, is sent when that is over.
 * "rebalance" is from the moment that something is asked of a settled group until all members have
 * what the new generation gives them; members learn of it by their heartbeats, so with the classic
 * protocol it takes about one interval.  "assembly" is the part of it that is the broker's: from
 * the last member's JoinGroup on. */
#include "bench/group_load.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "bench/load.h"
#include "dataplane/kafka/kafka_errors.h"
#include "kafka_messages.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	TOPICS_VERSION = 7,
	EVENTS = 256,
	OTHER_FILES = 32,
	ANSWER_BYTES = 4096,
	ANSWER_MEMBER_BYTES = 256, /* of a leader's JoinGroup */
	ARENA_BYTES = 64 << 20,
};

struct group_load group_load;

/* ---- set up and down ---- */

static void make_topic(struct group_line *line)
{
	const struct group_options *options = &group_load.options;
	struct kafka_create_topics_request request;
	struct kafka_create_topics_request_creatable_topic topic;

	kafka_create_topics_request_init(&request);
	kafka_create_topics_request_creatable_topic_init(&topic);
	topic.name = kafka_string_of(options->topic);
	topic.num_partitions = (int32_t)options->partitions;
	topic.replication_factor = 1;
	request.topics = &topic;
	request.topics_count = 1;
	const struct kafka_create_topics_response *response = group_line_exchange(
		line, KAFKA_CREATE_TOPICS, TOPICS_VERSION, &request, &group_load.arena);
	int16_t code = response->topics[0].error_code;
	if (code && code != KAFKA_TOPIC_ALREADY_EXISTS)
		load_die("the topic is not made: %s", kafka_error_name(code));
}

static void allow_files(uint64_t count)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max < count)
		load_die("%" PRIu64 " open files are not allowed (ulimit -Hn)", count);
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		load_die("setrlimit: %s", strerror(errno));
}

static void open_member(struct member *member, int epoll, const char *host, uint16_t port)
{
	const struct group_options *options = &group_load.options;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = member};

	group_line_open(&member->line, host, port,
			ANSWER_BYTES + (size_t)options->members * ANSWER_MEMBER_BYTES);
	member->timer.expired = member_expired;
	member->settled = -1;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, member->line.fd, &event) < 0)
		load_die("epoll: %s", strerror(errno));
}

static void open_groups(int epoll, const char *host, uint16_t port)
{
	const struct group_options *options = &group_load.options;
	const size_t count = (size_t)options->groups * options->members;

	group_load.groups = calloc(options->groups, sizeof(*group_load.groups));
	group_load.members = calloc(count, sizeof(*group_load.members));
	if (!group_load.groups || !group_load.members)
		load_die("no memory");
	for (size_t i = 0; i < count; i++) {
		struct member *member = &group_load.members[i];
		struct group *group = &group_load.groups[i / options->members];
		member->index = (unsigned)(i % options->members);
		member->group = group;
		if (member->index == 0) {
			group->members = member;
			group->churn.expired = group_churns;
			group->generation = -1;
			snprintf(group->id, sizeof(group->id), "load-%zu", i / options->members);
		}
		open_member(member, epoll, host, port);
	}
}

/* Spread over their intervals, as they are among clients that started at any time. */
static void start(void)
{
	const struct group_options *options = &group_load.options;
	const size_t count = (size_t)options->groups * options->members;
	const uint64_t now_ns = load_now_ns();

	for (size_t i = 0; i < count; i++) {
		struct member *member = &group_load.members[i];
		member->heartbeat_ns = now_ns + options->heartbeat_ms * NS_PER_MS * i / count;
		member->commit_ns = now_ns + options->commit_ms * NS_PER_MS * i / count;
		arena_reset(&group_load.arena);
		member_turn(member);
	}
}

static void start_churn(void)
{
	const struct group_options *options = &group_load.options;
	const uint64_t now_ns = load_now_ns();

	for (unsigned i = 0; i < options->groups && options->churn_ms; i++)
		timer_wheel_arm(&group_load.wheel, &group_load.groups[i].churn,
				now_ns + options->churn_ms * NS_PER_MS * i / options->groups);
}

static void leave(struct group_line *line)
{
	for (unsigned i = 0; i < group_load.options.groups; i++) {
		arena_reset(&group_load.arena);
		group_load.options.protocol->leave(&group_load.groups[i], line);
	}
	for (size_t i = 0; i < (size_t)group_load.options.groups * group_load.options.members; i++)
		group_line_close(&group_load.members[i].line);
	group_line_close(line);
	free(group_load.members);
	free(group_load.groups);
}

/* ---- the run ---- */

/* Until `until_ns`, or `ended` says so. */
static void run(int epoll, uint64_t until_ns, bool (*ended)(void))
{
	struct epoll_event events[EVENTS];

	for (uint64_t now_ns = load_now_ns(); now_ns < until_ns && !ended();
	     now_ns = load_now_ns()) {
		timer_wheel_run(&group_load.wheel, now_ns);
		uint64_t due_ns = timer_wheel_next_ns(&group_load.wheel);
		if (due_ns > until_ns)
			due_ns = until_ns;
		uint64_t wait_ns = due_ns > now_ns ? due_ns - now_ns : 0;
		int count = epoll_wait(epoll, events, EVENTS,
				       (int)((wait_ns + NS_PER_MS - 1) / NS_PER_MS));
		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr)
				member_readable(events[i].data.ptr);
			else
				group_load.asked = true;
		}
	}
}

static bool never(void)
{
	return false;
}

static bool settled(void)
{
	return group_load.settled_groups == group_load.options.groups;
}

static bool asked(void)
{
	return group_load.asked;
}

static double ms_at(const struct histogram *histogram, double share)
{
	return (double)histogram_at(histogram, share) / 1e6;
}

static void print_latency(const char *name, const struct histogram *histogram)
{
	printf(", \"%s_p50_ms\": %.2f, \"%s_p99_ms\": %.2f, \"%s_max_ms\": %.1f", name,
	       ms_at(histogram, 0.5), name, ms_at(histogram, 0.99), name,
	       (double)histogram->max_ns / 1e6);
}

static void report(const char *what, uint64_t from_ns)
{
	const struct group_counts *counts = &group_load.counts;
	const double seconds = (double)(load_now_ns() - from_ns) / 1e9;
	const char *separator = "";
	unsigned unsettled = 0;

	for (unsigned i = 0; i < group_load.options.groups; i++)
		unsettled += group_load.groups[i].begun_ns != 0;
	printf("{\"what\": \"%s\", \"seconds\": %.3f", what, seconds);
	printf(", \"heartbeats\": %.1f, \"commits\": %.1f, \"joins\": %.1f, \"syncs\": %.1f"
	       ", \"leaves\": %.1f, \"generations\": %.1f, \"rebalances\": %.1f",
	       (double)counts->heartbeats / seconds, (double)counts->commits / seconds,
	       (double)counts->joins / seconds, (double)counts->syncs / seconds,
	       (double)counts->leaves / seconds, (double)counts->generations / seconds,
	       (double)counts->rebalances / seconds);
	printf(", \"skipped\": %" PRIu64 ", \"unsettled\": %u", counts->skipped, unsettled);
	print_latency("heartbeat", &counts->heartbeat);
	print_latency("commit", &counts->commit);
	print_latency("rebalance", &counts->rebalance);
	print_latency("assembly", &counts->assembly);
	printf(", \"errors\": {");
	for (int code = -1; code < ERROR_CODES - 1; code++) {
		if (!counts->errors[code + 1])
			continue;
		printf("%s\"%s\": %" PRIu64, separator, kafka_error_name((int16_t)code),
		       counts->errors[code + 1]);
		separator = ", ";
	}
	printf("}}\n");
	fflush(stdout);
	memset(&group_load.counts, 0, sizeof(group_load.counts));
}

/* One report a line of standard input. */
static void run_on_request(int epoll)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	uint64_t from_ns = load_now_ns();
	char line[64];

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0)
		load_die("standard input: %s", strerror(errno));
	for (;;) {
		run(epoll, UINT64_MAX, asked);
		group_load.asked = false;
		if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
			return;
		report("run", from_ns);
		from_ns = load_now_ns();
	}
}

/* ---- options ---- */

static const struct group_protocol *protocol_of(const char *name)
{
	if (strcmp(name, "classic") == 0)
		return &group_protocol_classic;
	if (strcmp(name, "consumer") == 0)
		return &group_protocol_consumer;
	load_die("%s is not classic or consumer", name);
}

static struct group_options parse(int argc, char **argv)
{
	static const struct option names[] = {
		{"groups", 1, NULL, 'g'},
		{"members", 1, NULL, 'm'},
		{"protocol", 1, NULL, 'p'},
		{"topic", 1, NULL, 'T'},
		{"heartbeat", 1, NULL, 'h'},
		{"commit", 1, NULL, 'c'},
		{"churn", 1, NULL, 'C'},
		{"session", 1, NULL, 's'},
		{"seconds", 1, NULL, 'd'},
		{"settle", 1, NULL, 'S'},
		{0},
	};
	struct group_options options = {
		.topic = "group-load",
		.groups = 200,
		.members = 50,
		.heartbeat_ms = 3000,
		.commit_ms = 5000,
		.churn_ms = 10000,
		.session_ms = 45000,
		.seconds = 10,
		.settle_seconds = 120,
		.protocol = &group_protocol_classic,
	};
	int name;

	while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (name) {
		case 'g':
			options.groups = (unsigned)load_number(optarg);
			break;
		case 'm':
			options.members = (unsigned)load_number(optarg);
			break;
		case 'p':
			options.protocol = protocol_of(optarg);
			break;
		case 'T':
			options.topic = optarg;
			break;
		case 'h':
			options.heartbeat_ms = load_number(optarg);
			break;
		case 'c':
			options.commit_ms = load_number(optarg);
			break;
		case 'C':
			options.churn_ms = load_number(optarg);
			break;
		case 's':
			options.session_ms = load_number(optarg);
			break;
		case 'd':
			options.seconds = load_number(optarg);
			break;
		case 'S':
			options.settle_seconds = load_number(optarg);
			break;
		default:
			exit(2);
		}
	}
	if (optind + 1 != argc)
		load_die("which broker? IP:PORT");
	options.to = argv[optind];
	if (!options.groups || !options.members || !options.heartbeat_ms ||
	    strlen(options.topic) > TOPIC_BYTES_MAX)
		load_die("groups, members, heartbeat or topic out of range");
	options.partitions = options.members < TOPIC_PARTITIONS_MAX ? options.members
								    : TOPIC_PARTITIONS_MAX;
	return options;
}

int main(int argc, char **argv)
{
	struct group_line line;
	char host[64];
	uint16_t port;
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	group_load.options = parse(argc, argv);
	port = load_address(group_load.options.to, host);
	allow_files((uint64_t)group_load.options.groups * group_load.options.members + OTHER_FILES);
	arena_init(&group_load.arena, ARENA_BYTES);
	timer_wheel_init(&group_load.wheel, load_now_ns(), NS_PER_MS);
	group_line_open(&line, host, port,
			ANSWER_BYTES + group_load.options.members * ANSWER_MEMBER_BYTES);
	make_topic(&line);
	open_groups(epoll, host, port);

	uint64_t from_ns = load_now_ns();
	start();
	run(epoll, from_ns + group_load.options.settle_seconds * NS_PER_SECOND, settled);
	report("settled", from_ns);
	if (!settled())
		load_die("%u of %u groups have settled", group_load.settled_groups,
			 group_load.options.groups);
	start_churn();
	from_ns = load_now_ns();
	if (group_load.options.seconds) {
		run(epoll, from_ns + group_load.options.seconds * NS_PER_SECOND, never);
		report("run", from_ns);
	} else {
		run_on_request(epoll);
	}
	leave(&line);
	arena_fini(&group_load.arena);
	return 0;
}
