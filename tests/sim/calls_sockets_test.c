/* The socket and poll calls as programs make them: this one is linked with --wrap, so that what its
 * fibers call is simulated. */
#include "tests/sim/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/sim/descriptors.h"
#include "tests/sim/schedule.h"

enum { PORT = 9092 };

static struct process *process;
static unsigned running;

static bool all_ended(void *context)
{
	(void)context;
	return !running;
}

static void *run_part(void *context)
{
	void (*const *run)(void) = context;

	(*run)();
	running--;
	return NULL;
}

static int begin(void **state)
{
	static const struct network_faults faults = {.delay_ns_min = 1000, .delay_ns_max = 50000};

	(void)state;
	schedule_init((struct random){5});
	network_init((struct random){6});
	network_set_faults(&faults);
	process = process_new("test");
	running = 0;
	return 0;
}

/* An assertion that fails in one leaves it by cmocka's longjmp, which ends the test all the same.
 */
static void run_parts(void (*first)(void), void (*second)(void))
{
	void (*parts[])(void) = {first, second};

	for (unsigned i = 0; i < 2 && parts[i]; i++) {
		running++;
		fiber_spawn(process, "part", run_part, &parts[i]);
	}
	assert_true(schedule_run(all_ended, NULL));
	process_kill(process);
}

static struct sockaddr_in address_of(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static int bound(int type, uint16_t port)
{
	struct sockaddr_in address = address_of(port);
	int fd = socket(AF_INET, type, 0);

	assert_in_range(fd, DESCRIPTOR_FIRST, DESCRIPTOR_FIRST + 100);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int listening(int flags)
{
	int fd = bound(SOCK_STREAM | flags, PORT);

	assert_int_equal(listen(fd, 10), 0);
	return fd;
}

/* Waits for the other fiber to listen. */
static int connected(int type)
{
	struct sockaddr_in address = address_of(PORT);
	int fd = socket(AF_INET, type, 0);

	while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		assert_int_equal(errno, ECONNREFUSED);
		close(fd);
		fd = socket(AF_INET, type, 0);
	}
	return fd;
}

/* ---- streams ---- */

enum { MUCH = 8 << 20 }; /* more than any window */

static void serve_echo(void)
{
	static uint8_t data[MUCH];
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);
	int listener = listening(0);
	int fd = accept4(listener, (struct sockaddr *)&peer, &length, 0);

	assert_in_range(fd, DESCRIPTOR_FIRST, DESCRIPTOR_FIRST + 100);
	assert_int_equal(peer.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	assert_int_equal(recv(fd, data, sizeof(data), MSG_WAITALL), sizeof(data));
	assert_int_equal(send(fd, data, sizeof(data), MSG_NOSIGNAL), sizeof(data));
	assert_int_equal(recv(fd, data, 1, 0), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(close(listener), 0);
}

static void ask_echo(void)
{
	static uint8_t sent[MUCH], got[MUCH];

	int fd = connected(SOCK_STREAM);
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i * 31 + i / 509);
	assert_int_equal(send(fd, sent, sizeof(sent), MSG_NOSIGNAL), sizeof(sent));
	assert_int_equal(recv(fd, got, sizeof(got), MSG_WAITALL), sizeof(got));
	assert_memory_equal(sent, got, sizeof(sent));
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_int_equal(close(fd), 0);
}

static void blocking_calls_move_more_than_a_window_holds(void **state)
{
	run_parts(serve_echo, ask_echo);
}

static void serve_and_die(void)
{
	int fd = accept4(listening(0), NULL, NULL, 0);

	assert_in_range(fd, DESCRIPTOR_FIRST, DESCRIPTOR_FIRST + 100);
	process_exit();
}

static void *connect_and_be_left(void *context)
{
	char data;
	int fd = connected(SOCK_STREAM);
	ssize_t got = recv(fd, &data, 1, 0);

	assert_true(got == 0 || (got < 0 && errno == ECONNRESET));
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL) < 0 ? errno : EPIPE, EPIPE);
	*(bool *)context = true;
	return NULL;
}

static bool is_true(void *context)
{
	return *(bool *)context;
}

static void what_a_dead_process_had_open_is_closed(void **state)
{
	void (*part)(void) = serve_and_die;
	bool left = false;

	fiber_spawn(process, "server", run_part, &part);
	fiber_spawn(process_new("client"), "client", connect_and_be_left, &left);
	assert_true(schedule_run(is_true, &left));
	assert_false(process_alive(process));
}

/* ---- polling ---- */

static void add(int epoll_fd, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	assert_int_equal(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event), 0);
}

static void watch_events_twice(void)
{
	struct epoll_event event = {.events = EPOLLIN};
	uint64_t value = 7;
	int epoll_fd = epoll_create1(0);
	int level = eventfd(0, EFD_NONBLOCK);
	int once = eventfd(0, EFD_NONBLOCK);

	add(epoll_fd, level, EPOLLIN);
	add(epoll_fd, once, EPOLLIN | EPOLLONESHOT);
	assert_int_equal(epoll_wait(epoll_fd, &event, 1, 0), 0);
	assert_int_equal(write(level, &value, sizeof(value)), sizeof(value));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(epoll_wait(epoll_fd, &event, 1, -1), 1);
		assert_int_equal(event.data.fd, level);
		assert_int_equal(event.events, EPOLLIN);
	}
	assert_int_equal(read(level, &value, sizeof(value)), sizeof(value));
	assert_int_equal(value, 7);
	assert_int_equal(read(level, &value, sizeof(value)), -1);
	assert_int_equal(errno, EAGAIN);

	assert_int_equal(write(once, &value, sizeof(value)), sizeof(value));
	assert_int_equal(epoll_wait(epoll_fd, &event, 1, -1), 1);
	assert_int_equal(event.data.fd, once);
	assert_int_equal(epoll_wait(epoll_fd, &event, 1, 1), 0);
	event.events = EPOLLIN | EPOLLONESHOT;
	assert_int_equal(epoll_ctl(epoll_fd, EPOLL_CTL_MOD, once, &event), 0);
	assert_int_equal(epoll_wait(epoll_fd, &event, 1, -1), 1);

	close(once);
	assert_int_equal(epoll_ctl(epoll_fd, EPOLL_CTL_DEL, once, NULL), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, level, &event), -1);
	assert_int_equal(errno, EEXIST);
	close(level);
	close(epoll_fd);
}

static void epoll_tells_again_until_it_is_read_and_of_one_shots_once(void **state)
{
	run_parts(watch_events_twice, NULL);
}

static void wait_for_timer(void)
{
	struct itimerspec when = {.it_value.tv_nsec = 5000000};
	struct epoll_event event;
	uint64_t count;
	int epoll_fd = epoll_create1(0);
	int outer_fd = epoll_create1(0);
	int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	uint64_t begun_ns = sim_now_ns();

	add(epoll_fd, timer_fd, EPOLLIN);
	add(outer_fd, epoll_fd, EPOLLIN);
	assert_int_equal(timerfd_settime(timer_fd, 0, &when, NULL), 0);
	assert_int_equal(epoll_wait(outer_fd, &event, 1, 4), 0);
	assert_int_equal(epoll_wait(outer_fd, &event, 1, -1), 1);
	assert_in_range(sim_now_ns() - begun_ns, 5000000, 5100000);
	struct pollfd fds[] = {{outer_fd, POLLIN, 0}, {timer_fd, POLLIN, 0}};
	assert_int_equal(poll(fds, 2, -1), 2);
	assert_int_equal(read(timer_fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 1);
	assert_int_equal(poll(fds, 2, 10), 0);
	close(timer_fd);
	close(outer_fd);
	close(epoll_fd);
}

static void a_timer_rings_at_its_time_through_an_epoll_in_another(void **state)
{
	run_parts(wait_for_timer, NULL);
}

/* ---- datagrams ---- */

enum { RUN_BYTES = 2500, SEGMENT_BYTES = 1000 };

static void send_run(void)
{
	static uint8_t data[RUN_BYTES];
	union {
		struct cmsghdr head;
		uint8_t room[CMSG_SPACE(sizeof(uint16_t))];
	} control = {
		.head = {CMSG_LEN(sizeof(uint16_t)), IPPROTO_UDP, UDP_SEGMENT},
	};
	struct iovec vectors[] = {{data, 10}, {data + 10, RUN_BYTES - 10}};
	struct mmsghdr message = {
		.msg_hdr = {.msg_iov = vectors,
			    .msg_iovlen = 2,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control)},
	};
	uint16_t segment = SEGMENT_BYTES;
	int fd = connected(SOCK_DGRAM);

	memcpy(CMSG_DATA(&control.head), &segment, sizeof(segment));
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i / SEGMENT_BYTES);
	fiber_sleep_until(sim_now_ns() + 1000000); /* for the other to be there */
	assert_int_equal(sendmmsg(fd, &message, 1, MSG_NOSIGNAL), 1);
	assert_int_equal(message.msg_len, RUN_BYTES);
	close(fd);
}

static void receive_segments(void)
{
	static uint8_t data[4][2 * SEGMENT_BYTES];
	struct iovec vectors[4];
	struct mmsghdr messages[4] = {0};
	struct sockaddr_in from;
	int fd = bound(SOCK_DGRAM, PORT);
	int count = 0;

	while (count < 3) {
		for (int i = 0; i < 4; i++) {
			vectors[i] = (struct iovec){data[i], sizeof(data[i])};
			messages[i].msg_hdr = (struct msghdr){.msg_name = &from,
							      .msg_namelen = sizeof(from),
							      .msg_iov = &vectors[i],
							      .msg_iovlen = 1};
		}
		int got = recvmmsg(fd, messages, 4, 0, NULL);
		assert_in_range(got, 1, 3 - count);
		for (int i = 0; i < got; i++, count++) {
			assert_int_equal(messages[i].msg_len,
					 count < 2 ? SEGMENT_BYTES : RUN_BYTES % SEGMENT_BYTES);
			assert_int_equal(data[i][0], count);
		}
	}
	assert_int_equal(recvmmsg(fd, messages, 4, MSG_DONTWAIT, NULL), -1);
	assert_int_equal(errno, EAGAIN);
	close(fd);
}

static void a_run_of_segments_comes_as_datagrams(void **state)
{
	run_parts(receive_segments, send_run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(blocking_calls_move_more_than_a_window_holds, begin),
		cmocka_unit_test_setup(what_a_dead_process_had_open_is_closed, begin),
		cmocka_unit_test_setup(epoll_tells_again_until_it_is_read_and_of_one_shots_once,
				       begin),
		cmocka_unit_test_setup(a_timer_rings_at_its_time_through_an_epoll_in_another,
				       begin),
		cmocka_unit_test_setup(a_run_of_segments_comes_as_datagrams, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
