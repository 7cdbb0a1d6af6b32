/* Asked over DPDK's socket, while newer pictures come. */
#include "control/group_telemetry.h"
#include "control/groups/lag.h"
#include "dataplane/dpdk/eal.h"
#include "tests/control/offset_requests.h"

#include <rte_eal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

static int64_t thousand(const void *context, uint32_t topic_number, int32_t partition)
{
	return 1000;
}

static int connect_to(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char greeting[1024];
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/dpdk_telemetry.v2",
		 rte_eal_get_runtime_dir());
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_true(recv(fd, greeting, sizeof(greeting), 0) > 0);
	return fd;
}

static void check_answer(int fd, const char *question, const char *expected)
{
	char answer[16384];

	assert_int_equal(send(fd, question, strlen(question), 0), strlen(question));
	ssize_t length = recv(fd, answer, sizeof(answer) - 1, 0);
	assert_true(length > 0);
	answer[length] = 0;
	if (!strstr(answer, expected))
		fail_msg("%s: %s", question, answer);
}

static void publish(struct world *world)
{
	struct lag_picture *picture = lag_picture_new(world->groups, thousand, NULL);

	assert_non_null(picture);
	group_telemetry_publish(picture);
}

static void groups_and_their_lag_are_told(void **state)
{
	struct world *world = world_new(1);
	int fd = connect_to();

	(void)state;
	world_topic(world, "orders.eu", 300);
	check_answer(fd, "/sluice/groups", "{\"/sluice/groups\":[]}");
	check_answer(fd, "/sluice/group_lag,a", "null");
	for (int32_t i = 0; i < 300; i++)
		commit_one(world, 8, "a,b", "orders.eu", i, i);
	commit_one(world, 8, "c", "orders.eu", 0, 1000);
	publish(world);
	check_answer(fd, "/sluice/groups", "[\"a,b\",\"c\"]");
	check_answer(fd, "/sluice/groups,1", "[\"c\"]");
	check_answer(fd, "/sluice/groups,2", "[]");
	check_answer(fd, "/sluice/group_lag", "null");
	check_answer(fd, "/sluice/group_lag,none", "null");
	check_answer(fd, "/sluice/group_lag,c",
		     "{\"type\":\"classic\",\"state\":\"Empty\",\"members\":0,"
		     "\"partitions\":1,\"lag\":0,\"0\":{\"topic\":\"orders.eu\","
		     "\"partition\":0,\"committed\":1000,\"high_watermark\":1000,\"lag\":0}}");
	check_answer(fd, "/sluice/group_lag,a,b", "\"partitions\":300,\"lag\":255150,");
	check_answer(fd, "/sluice/group_lag,a,b", "\"committed\":99,"); /* of a hundred */
	commit_one(world, 8, "c", "orders.eu", 0, 900);
	publish(world);
	check_answer(fd, "/sluice/group_lag,c", "\"lag\":100,");
	group_telemetry_publish(NULL);
	check_answer(fd, "/sluice/groups", "[]");
	close(fd);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(groups_and_their_lag_are_told),
	};
	struct eal_options options = {.thread_count = 1, .telemetry = true};
	char why[256];

	if (eal_start_with(&options, why, sizeof(why)) < 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	group_telemetry_start();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	return failed;
}
