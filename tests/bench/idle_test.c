/* Connections that do nothing, with a broker that answers, closes or says nothing. */
#include "base/bytes.h"
#include "bench/suite/idle.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { CONNECTIONS_MAX = 16 };

struct broker {
	int listener;
	char url[64];
	struct driver_target target;
	pthread_t thread;
	bool mute;
	unsigned count;
	int fds[CONNECTIONS_MAX];
};

static const struct driver_hello hello = {.text = "hello", .bytes = 5, .default_port = 1};
static const struct driver greeter = {.name = "greeter", .hello = &hello};

static void *serve(void *context)
{
	struct broker *broker = context;
	char heard[5];
	int fd;

	while (broker->count < CONNECTIONS_MAX &&
	       (fd = accept(broker->listener, NULL, NULL)) >= 0) {
		broker->fds[broker->count++] = fd;
		if (recv(fd, heard, sizeof(heard), MSG_WAITALL) != sizeof(heard))
			break;
		if (broker->mute)
			shutdown(fd, SHUT_RDWR);
		else if (memcmp(heard, "hello", 5) == 0)
			send(fd, "well", 4, MSG_NOSIGNAL);
	}
	return NULL;
}

static int begin(void **state)
{
	struct broker *broker = calloc(1, sizeof(*broker));
	struct sockaddr_in here = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(here);

	broker->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(broker->listener, (struct sockaddr *)&here, length), 0);
	assert_int_equal(listen(broker->listener, CONNECTIONS_MAX), 0);
	assert_int_equal(getsockname(broker->listener, (struct sockaddr *)&here, &length), 0);
	snprintf(broker->url, sizeof(broker->url), "tcp://127.0.0.1:%u", ntohs(here.sin_port));
	broker->target.url = broker->url;
	*state = broker;
	return 0;
}

/* Now it accepts. */
static void open_shop(struct broker *broker)
{
	assert_int_equal(pthread_create(&broker->thread, NULL, serve, broker), 0);
}

/* Its thread has come to its end afterwards. */
static void close_shop(struct broker *broker)
{
	shutdown(broker->listener, SHUT_RDWR);
	pthread_join(broker->thread, NULL);
}

static int end(void **state)
{
	struct broker *broker = *state;

	for (unsigned i = 0; i < broker->count; i++)
		close(broker->fds[i]);
	close(broker->listener);
	free(broker);
	return 0;
}

static void every_connection_has_been_answered_and_stays(void **state)
{
	struct broker *broker = *state;
	struct idle *idle;

	open_shop(broker);
	assert_int_equal(idle_open(&greeter, &broker->target, 5, &idle), 0);
	close_shop(broker);
	assert_int_equal(broker->count, 5);
	assert_int_equal(idle_lost(idle), 0);
	idle_close(idle);
}

/* Which may well be ::1 first. */
static void a_name_is_tried_at_all_its_addresses(void **state)
{
	struct broker *broker = *state;
	struct idle *idle;
	unsigned port = 0;

	assert_int_equal(sscanf(broker->url, "tcp://127.0.0.1:%u", &port), 1);
	snprintf(broker->url, sizeof(broker->url), "tcp://localhost:%u", port);
	open_shop(broker);
	assert_int_equal(idle_open(&greeter, &broker->target, 2, &idle), 0);
	close_shop(broker);
	assert_int_equal(broker->count, 2);
	idle_close(idle);
}

static void those_that_the_broker_has_closed_are_counted(void **state)
{
	struct broker *broker = *state;
	struct idle *idle;

	open_shop(broker);
	assert_int_equal(idle_open(&greeter, &broker->target, 5, &idle), 0);
	close_shop(broker);
	send(broker->fds[1], "bye", 3, MSG_NOSIGNAL);
	shutdown(broker->fds[1], SHUT_RDWR);
	shutdown(broker->fds[3], SHUT_RDWR);
	assert_int_equal(idle_lost(idle), 2);
	idle_close(idle);
}

static void a_broker_that_hangs_up_is_told(void **state)
{
	struct broker *broker = *state;
	struct idle *idle = NULL;

	broker->mute = true;
	open_shop(broker);
	assert_int_equal(idle_open(&greeter, &broker->target, 5, &idle), -ECONNRESET);
	close_shop(broker);
	assert_null(idle);
}

static void nobody_there_is_told(void **state)
{
	struct broker *broker = *state;
	struct idle *idle;

	close(broker->listener);
	assert_int_equal(idle_open(&greeter, &broker->target, 1, &idle), -ECONNREFUSED);
	broker->listener = -1;
}

static unsigned producers; /* of the one below */

static int producer_new(const struct driver_target *target, driver_delivered *delivered,
			void *context, struct driver_producer **ret)
{
	if (producers == 3)
		return -EPROTO;
	producers++;
	*ret = NULL;
	return 0;
}

static void producer_free(struct driver_producer *producer)
{
	producers--;
}

static void producers_stand_for_them_where_there_is_no_hello(void **state)
{
	static const struct driver mute = {
		.name = "mute", .producer_new = producer_new, .producer_free = producer_free};
	struct broker *broker = *state;
	struct idle *idle;

	assert_int_equal(idle_open(&mute, &broker->target, 3, &idle), 0);
	assert_int_equal(producers, 3);
	assert_int_equal(idle_lost(idle), 0);
	idle_close(idle);
	assert_int_equal(producers, 0);
	assert_int_equal(idle_open(&mute, &broker->target, 4, &idle), -EPROTO);
	assert_int_equal(producers, 0);
}

static void none_is_nothing(void **state)
{
	struct broker *broker = *state;
	struct idle *idle;

	assert_int_equal(idle_open(&greeter, &broker->target, 0, &idle), 0);
	assert_null(idle);
	assert_int_equal(idle_lost(idle), 0);
	idle_close(idle);
}

static void more_than_the_files_allowed_is_refused_at_once(void **state)
{
	struct broker *broker = *state;
	struct idle *idle;

	assert_int_equal(idle_open(&greeter, &broker->target, 1 << 27, &idle), -EMFILE);
}

#define each(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		each(every_connection_has_been_answered_and_stays),
		each(a_name_is_tried_at_all_its_addresses),
		each(those_that_the_broker_has_closed_are_counted),
		each(a_broker_that_hangs_up_is_told),
		each(nobody_there_is_told),
		each(producers_stand_for_them_where_there_is_no_hello),
		each(none_is_nothing),
		each(more_than_the_files_allowed_is_refused_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
