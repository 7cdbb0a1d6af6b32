/* The back ends of the kernel behind io.h, one of them named on the command line: files, sockets,
 * cancelling, waking. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "storage/io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	POOL_COUNT = 8,
	POOL_BYTES = 4096,
};

static const char *io_kind;

struct bench {
	struct io_backend *io;
	char folder[128];
	int dir_fd;
};

static int setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	const char *base = getenv("TMPDIR");
	struct io_options options = {
		.depth = 16,
		.buffer_count = POOL_COUNT,
		.buffer_bytes = POOL_BYTES,
	};

	check(bench);
	snprintf(bench->folder, sizeof(bench->folder), "%s/sluice-io-XXXXXX", base ? base : "/tmp");
	check(mkdtemp(bench->folder));
	bench->dir_fd = open(bench->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(bench->dir_fd >= 0);
	int rc = strcmp(io_kind, "uring") == 0 ? io_uring_new(&bench->io, &options)
					       : io_sync_new(&bench->io, &options);
	check(rc == 0);
	*state = bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	io_free(bench->io);
	close(bench->dir_fd);
	check(rmdir(bench->folder) == 0);
	free(bench);
	return 0;
}

struct waiting {
	struct io io;
	unsigned done;
	int result;
	int results[64]; /* of an accept */
};

static void done(struct io *io, int result)
{
	struct waiting *waiting = container_of(io, struct waiting, io);

	check(waiting->done < 64);
	waiting->results[waiting->done++] = result;
	waiting->result = result;
}

static void turn_until(struct bench *bench, const struct waiting *waiting, unsigned count)
{
	for (int i = 0; waiting->done < count; i++) {
		assert_true(i < 1000);
		assert_true(io_turn(bench->io, 20 * NS_PER_MS) >= 0);
	}
}

/* ---- files ---- */

static void files_are_made_written_read_and_removed(void **state)
{
	struct bench *bench = *state;
	struct waiting w = {.io.done = done};
	char text[16] = "";

	io_open(bench->io, &w.io, bench->dir_fd, "one", O_RDWR | O_CREAT | O_EXCL);
	assert_int_equal(w.done, 0);
	int fd = io_wait(bench->io, &w.io);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	io_write(bench->io, &w.io, fd, "hello world", 11, 100);
	assert_int_equal(io_wait(bench->io, &w.io), 11);
	io_flush(bench->io, &w.io, fd);
	assert_int_equal(io_wait(bench->io, &w.io), 0);
	io_read(bench->io, &w.io, fd, text, sizeof(text), 106);
	assert_int_equal(io_wait(bench->io, &w.io), 5); /* short: the end */
	assert_memory_equal(text, "world", 5);
	io_read(bench->io, &w.io, fd, text, sizeof(text), 1000);
	assert_int_equal(io_wait(bench->io, &w.io), 0);
	io_allocate(bench->io, &w.io, fd, 0, 65536);
	assert_int_equal(io_wait(bench->io, &w.io), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 65536);
	io_close(bench->io, &w.io, fd);
	assert_int_equal(io_wait(bench->io, &w.io), 0);
	io_rename(bench->io, &w.io, bench->dir_fd, "one", "two");
	assert_int_equal(io_wait(bench->io, &w.io), 0);
	io_sync(bench->io, &w.io, bench->dir_fd);
	assert_int_equal(io_wait(bench->io, &w.io), 0);
	io_open(bench->io, &w.io, bench->dir_fd, "one", O_RDONLY);
	assert_int_equal(io_wait(bench->io, &w.io), -ENOENT);
	io_unlink(bench->io, &w.io, bench->dir_fd, "two");
	assert_int_equal(io_wait(bench->io, &w.io), 0);
	io_unlink(bench->io, &w.io, bench->dir_fd, "two");
	assert_int_equal(io_wait(bench->io, &w.io), -ENOENT);
	io_read(bench->io, &w.io, -1, text, 1, 0);
	assert_int_equal(io_wait(bench->io, &w.io), -EBADF);
	io_close(bench->io, &w.io, 1 << 20);
	assert_int_equal(io_wait(bench->io, &w.io), -EBADF);
}

/* More than the queue has entries, in one go. */
static void many_operations_at_once_all_end(void **state)
{
	struct bench *bench = *state;
	enum { COUNT = 500 };
	struct waiting *w = calloc(COUNT, sizeof(*w));
	uint32_t *numbers = calloc(COUNT, sizeof(*numbers));
	struct waiting file = {.io.done = done};

	assert_non_null(w);
	assert_non_null(numbers);
	io_open(bench->io, &file.io, bench->dir_fd, "many", O_RDWR | O_CREAT);
	int fd = io_wait(bench->io, &file.io);
	for (int i = 0; i < COUNT; i++) {
		numbers[i] = (uint32_t)i;
		w[i].io.done = done;
		io_write(bench->io, &w[i].io, fd, &numbers[i], 4, (uint64_t)i * 4);
		assert_int_equal(w[i].done, 0);
	}
	for (int i = 0; i < COUNT; i++)
		turn_until(bench, &w[i], 1);
	for (int i = 0; i < COUNT; i++) {
		uint32_t number;
		assert_int_equal(w[i].done, 1);
		assert_int_equal(w[i].result, 4);
		assert_int_equal(pread(fd, &number, 4, i * 4), 4);
		assert_int_equal(number, i);
	}
	close(fd);
	unlinkat(bench->dir_fd, "many", 0);
	free(numbers);
	free(w);
}

/* ---- sockets ---- */

static int listen_somewhere(struct sockaddr_in *ret)
{
	socklen_t length = sizeof(*ret);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	check(fd >= 0);
	*ret = (struct sockaddr_in){.sin_family = AF_INET};
	ret->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	check(bind(fd, (const struct sockaddr *)ret, sizeof(*ret)) == 0);
	check(listen(fd, 64) == 0);
	check(getsockname(fd, (struct sockaddr *)ret, &length) == 0);
	return fd;
}

static int connect_to(const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	check(fd >= 0);
	check(connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0);
	return fd;
}

static void accept_goes_on_until_it_is_cancelled(void **state)
{
	struct bench *bench = *state;
	struct waiting accepting = {.io.done = done};
	struct sockaddr_in address;
	int listener = listen_somewhere(&address);
	int clients[20];

	io_accept(bench->io, &accepting.io, listener);
	for (int i = 0; i < 20; i++) {
		clients[i] = connect_to(&address);
		if (i % 5 == 4)
			turn_until(bench, &accepting, (unsigned)i + 1);
	}
	for (int i = 0; i < 20; i++) {
		assert_true(accepting.results[i] >= 0);
		close(accepting.results[i]);
		close(clients[i]);
	}
	io_cancel(bench->io, &accepting.io);
	io_cancel(bench->io, &accepting.io);
	turn_until(bench, &accepting, 21);
	assert_int_equal(accepting.result, -ECANCELED);
	close(listener);
}

static void pair(int fds[static 2])
{
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
}

static void what_arrives_comes_in_a_pooled_buffer(void **state)
{
	struct bench *bench = *state;
	struct waiting w = {.io.done = done};
	int fds[2];

	pair(fds);
	io_receive(bench->io, &w.io, fds[0]);
	io_turn(bench->io, 0);
	io_turn(bench->io, NS_PER_MS);
	assert_int_equal(w.done, 0);
	assert_int_equal(write(fds[1], "abc", 3), 3);
	turn_until(bench, &w, 1);
	assert_int_equal(w.result, 3);
	assert_non_null(w.io.buffer);
	assert_int_equal(w.io.buffer->length, 3);
	assert_memory_equal(w.io.buffer->data, "abc", 3);
	io_buffer_put(bench->io, w.io.buffer);
	/* Data that is there already. */
	assert_int_equal(write(fds[1], "defg", 4), 4);
	io_receive(bench->io, &w.io, fds[0]);
	turn_until(bench, &w, 2);
	assert_int_equal(w.result, 4);
	io_buffer_put(bench->io, w.io.buffer);
	/* The peer's end. */
	close(fds[1]);
	io_receive(bench->io, &w.io, fds[0]);
	turn_until(bench, &w, 3);
	assert_int_equal(w.result, 0);
	assert_null(w.io.buffer);
	close(fds[0]);
}

static void an_empty_pool_is_told_and_data_waits(void **state)
{
	struct bench *bench = *state;
	struct waiting w[POOL_COUNT + 1];
	int fds[POOL_COUNT + 1][2];

	memset(w, 0, sizeof(w));
	for (int i = 0; i <= POOL_COUNT; i++) {
		pair(fds[i]);
		assert_int_equal(write(fds[i][1], "x", 1), 1);
		w[i].io.done = done;
		io_receive(bench->io, &w[i].io, fds[i][0]);
		turn_until(bench, &w[i], 1);
		assert_int_equal(w[i].result, i < POOL_COUNT ? 1 : -ENOBUFS);
	}
	io_buffer_put(bench->io, w[0].io.buffer);
	io_receive(bench->io, &w[POOL_COUNT].io, fds[POOL_COUNT][0]);
	turn_until(bench, &w[POOL_COUNT], 2);
	assert_int_equal(w[POOL_COUNT].result, 1);
	for (int i = 1; i <= POOL_COUNT; i++)
		io_buffer_put(bench->io, w[i].io.buffer);
	for (int i = 0; i <= POOL_COUNT; i++) {
		close(fds[i][0]);
		close(fds[i][1]);
	}
}

static void receive_into_ends_when_full_or_at_the_end(void **state)
{
	struct bench *bench = *state;
	struct waiting w = {.io.done = done};
	char data[10];
	int fds[2];

	pair(fds);
	io_receive_into(bench->io, &w.io, fds[0], data, sizeof(data));
	for (int i = 0; i < 10; i++) {
		io_turn(bench->io, 0);
		assert_int_equal(w.done, 0);
		assert_int_equal(write(fds[1], &"0123456789"[i], 1), 1);
	}
	turn_until(bench, &w, 1);
	assert_int_equal(w.result, 10);
	assert_memory_equal(data, "0123456789", 10);
	io_receive_into(bench->io, &w.io, fds[0], data, sizeof(data));
	assert_int_equal(write(fds[1], "abc", 3), 3);
	io_turn(bench->io, NS_PER_MS);
	assert_int_equal(w.done, 1);
	close(fds[1]);
	turn_until(bench, &w, 2);
	assert_int_equal(w.result, 3);
	close(fds[0]);
}

/* Far more than the socket holds, in several pieces, to a slow reader. */
static void readiness_is_told_once_and_leaves_the_data(void **state)
{
	struct bench *bench = *state;
	struct waiting w = {.io.done = done};
	char byte;
	int fds[2];

	pair(fds);
	for (unsigned round = 1; round <= 2; round++) {
		io_ready(bench->io, &w.io, fds[0]);
		assert_true(io_turn(bench->io, NS_PER_MS) >= 0);
		assert_int_equal(w.done, round - 1);
		assert_int_equal(send(fds[1], "x", 1, 0), 1);
		turn_until(bench, &w, round);
		assert_int_equal(w.result, 0);
		assert_int_equal(recv(fds[0], &byte, 1, MSG_DONTWAIT), 1);
	}
	io_ready(bench->io, &w.io, fds[0]);
	io_cancel(bench->io, &w.io);
	turn_until(bench, &w, 3);
	assert_int_equal(w.result, -ECANCELED);
	close(fds[0]);
	close(fds[1]);
}

static void a_message_is_sent_whole(void **state)
{
	struct bench *bench = *state;
	enum { PIECE = 700000, PIECES = 3 };
	uint8_t *data = malloc(PIECE * PIECES);
	uint8_t *got = malloc(PIECE * PIECES);
	struct iovec vectors[PIECES + 1];
	struct msghdr message = {.msg_iov = vectors, .msg_iovlen = PIECES + 1};
	struct waiting w = {.io.done = done};
	size_t received = 0;
	int fds[2];

	assert_non_null(data);
	assert_non_null(got);
	for (size_t i = 0; i < PIECE * PIECES; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 13);
	for (size_t i = 0; i < PIECES; i++)
		vectors[i] = (struct iovec){data + i * PIECE, PIECE};
	vectors[PIECES] = (struct iovec){data, 0};
	pair(fds);
	io_send(bench->io, &w.io, fds[0], &message);
	while (received < PIECE * PIECES) {
		io_turn(bench->io, 0);
		ssize_t rc = recv(fds[1], got + received, 50000, MSG_DONTWAIT);
		if (rc > 0)
			received += (size_t)rc;
		else
			assert_int_equal(errno, EAGAIN);
	}
	turn_until(bench, &w, 1);
	assert_int_equal(w.result, PIECE * PIECES);
	assert_memory_equal(got, data, PIECE * PIECES);
	/* Nobody reads any more: an error, and no signal.  TCP has to be told first. */
	close(fds[1]);
	do {
		vectors[0] = (struct iovec){data, PIECE};
		message = (struct msghdr){.msg_iov = vectors, .msg_iovlen = 1};
		io_send(bench->io, &w.io, fds[0], &message);
		w.done = 0;
		turn_until(bench, &w, 1);
	} while (w.result > 0);
	assert_true(w.result == -EPIPE || w.result == -ECONNRESET);
	close(fds[0]);
	free(data);
	free(got);
}

static void sockets_may_be_nonblocking(void **state)
{
	struct bench *bench = *state;
	struct waiting w = {.io.done = done};
	int fds[2];

	pair(fds);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	io_receive(bench->io, &w.io, fds[0]);
	for (int i = 0; i < 5; i++)
		io_turn(bench->io, NS_PER_MS);
	assert_int_equal(w.done, 0);
	assert_int_equal(write(fds[1], "abc", 3), 3);
	turn_until(bench, &w, 1);
	assert_int_equal(w.result, 3);
	io_buffer_put(bench->io, w.io.buffer);
	/* Cancelled while it waits for readiness. */
	io_receive(bench->io, &w.io, fds[0]);
	io_turn(bench->io, NS_PER_MS);
	io_turn(bench->io, NS_PER_MS);
	io_cancel(bench->io, &w.io);
	turn_until(bench, &w, 2);
	assert_int_equal(w.result, -ECANCELED);
	close(fds[0]);
	close(fds[1]);
}

static void every_socket_operation_can_be_cancelled(void **state)
{
	struct bench *bench = *state;
	struct waiting receive = {.io.done = done};
	struct waiting into = {.io.done = done};
	struct waiting send = {.io.done = done};
	size_t large = 8 << 20;
	uint8_t *data = calloc(1, large);
	struct iovec vector = {data, large};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
	char room[10];
	int one[2];
	int two[2];

	assert_non_null(data);
	for (int submitted = 0; submitted < 2; submitted++) {
		unsigned before = receive.done;
		pair(one);
		pair(two);
		vector = (struct iovec){data, large};
		message = (struct msghdr){.msg_iov = &vector, .msg_iovlen = 1};
		io_receive(bench->io, &receive.io, one[0]);
		io_receive_into(bench->io, &into.io, two[0], room, sizeof(room));
		io_send(bench->io, &send.io, one[0], &message);
		if (submitted)
			io_turn(bench->io, NS_PER_MS);
		io_cancel(bench->io, &receive.io);
		io_cancel(bench->io, &into.io);
		io_cancel(bench->io, &send.io);
		turn_until(bench, &receive, before + 1);
		turn_until(bench, &into, before + 1);
		turn_until(bench, &send, before + 1);
		assert_int_equal(receive.result, -ECANCELED);
		assert_int_equal(into.result, -ECANCELED);
		assert_int_equal(send.result, -ECANCELED);
		close(one[0]);
		close(one[1]);
		close(two[0]);
		close(two[1]);
	}
	free(data);
}

static void cancelling_what_is_not_yet_submitted_works(void **state)
{
	struct bench *bench = *state;
	enum { COUNT = 100 }; /* more than the queue has entries */
	struct waiting w[COUNT];
	int fds[COUNT][2];

	memset(w, 0, sizeof(w));
	for (int i = 0; i < COUNT; i++) {
		pair(fds[i]);
		w[i].io.done = done;
		io_receive(bench->io, &w[i].io, fds[i][0]);
	}
	for (int i = COUNT - 1; i >= 0; i -= 2)
		io_cancel(bench->io, &w[i].io);
	for (int i = 1; i < COUNT; i += 2) {
		turn_until(bench, &w[i], 1);
		assert_int_equal(w[i].result, -ECANCELED);
	}
	for (int i = 0; i < COUNT; i += 2) {
		assert_int_equal(w[i].done, 0);
		io_cancel(bench->io, &w[i].io);
		turn_until(bench, &w[i], 1);
	}
	for (int i = 0; i < COUNT; i++) {
		assert_int_equal(w[i].done, 1);
		close(fds[i][0]);
		close(fds[i][1]);
	}
}

/* ---- waking ---- */

static void a_turn_without_news_ends_in_time(void **state)
{
	struct bench *bench = *state;
	const struct clock *clock = clock_system();
	uint64_t before_ns = clock_monotonic_ns(clock);

	assert_int_equal(io_turn(bench->io, 0), 0);
	assert_int_equal(io_turn(bench->io, 20 * NS_PER_MS), 0);
	uint64_t took_ns = clock_monotonic_ns(clock) - before_ns;
	assert_in_range(took_ns, 15 * NS_PER_MS, 5 * NS_PER_SECOND);
}

static void a_wake_before_the_sleep_ends_it(void **state)
{
	struct bench *bench = *state;
	const struct clock *clock = clock_system();

	io_turn(bench->io, 0);
	for (int i = 0; i < 20; i++) {
		uint64_t before_ns = clock_monotonic_ns(clock);
		io_wake(bench->io);
		io_turn(bench->io, 20 * NS_PER_SECOND);
		assert_true(clock_monotonic_ns(clock) - before_ns < 10 * NS_PER_SECOND);
	}
}

enum { ROUNDS = 2000 };

struct waker {
	struct bench *bench;
	_Atomic unsigned asked;
	_Atomic unsigned seen;
};

/* Tells of each round by a wake only; one that is lost hangs the sleeper. */
static void *wake_often(void *context)
{
	struct waker *waker = context;

	for (unsigned i = 1; i <= ROUNDS; i++) {
		waker->asked = i;
		io_wake(waker->bench->io);
		while (waker->seen < i)
			sched_yield();
	}
	return NULL;
}

static void no_wake_is_lost(void **state)
{
	struct waker waker = {.bench = *state};
	const struct clock *clock = clock_system();
	uint64_t before_ns = clock_monotonic_ns(clock);
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, wake_often, &waker), 0);
	while (waker.seen < ROUNDS) {
		waker.seen = waker.asked;
		if (waker.seen < ROUNDS)
			io_turn(waker.bench->io, 60 * NS_PER_SECOND);
	}
	pthread_join(thread, NULL);
	assert_true(clock_monotonic_ns(clock) - before_ns < 30 * NS_PER_SECOND);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(files_are_made_written_read_and_removed),
		T(many_operations_at_once_all_end),
		T(accept_goes_on_until_it_is_cancelled),
		T(what_arrives_comes_in_a_pooled_buffer),
		T(an_empty_pool_is_told_and_data_waits),
		T(receive_into_ends_when_full_or_at_the_end),
		T(readiness_is_told_once_and_leaves_the_data),
		T(a_message_is_sent_whole),
		T(sockets_may_be_nonblocking),
		T(every_socket_operation_can_be_cancelled),
		T(cancelling_what_is_not_yet_submitted_works),
		T(a_turn_without_news_ends_in_time),
		T(a_wake_before_the_sleep_ends_it),
		T(no_wake_is_lost),
#undef T
	};

	check(argc == 2);
	io_kind = argv[1];
	return cmocka_run_group_tests_name(io_kind, tests, NULL, NULL);
}
