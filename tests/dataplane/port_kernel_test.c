/* Ports with a kernel on the other side of the link, in network namespaces of their own:
 *
 *     ours                                     theirs
 *     va (af_packet or af_xdp) ---- veth ----- vb        kernel sockets
 *     net_tap (the port)   ------------------- wire      kernel sockets
 *     sluice0 (exception path): our kernel's TCP listener
 *
 * Needs root and iproute2; skipped, with the reason, elsewhere. */
#include "tests/dataplane/port_world.h"

#include "base/bytes.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <rte_config.h>
#include <rte_dev.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROUNDS = 200, STREAM_BYTES = 1 << 20, TCP_PORT = 9092, CHILD_SECONDS = 20 };

static int ours = -1; /* namespaces */
static int theirs = -1;
static pid_t holder; /* a process that lives in theirs */
static const char *why_not;

/* ---- namespaces and children ---- */

/* Runs the command in `namespace`; its exit code. */
static int run(int namespace, const char *command)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (setns(namespace, CLONE_NEWNET) < 0)
			_exit(126);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	int status = -1;
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static void must_run(int namespace, const char *command)
{
	if (run(namespace, command) != 0)
		fail_msg("%s", command);
}

/* A child that does `work` in `namespace` with blocking sockets; it ends with 0 when all is well.
 */
static pid_t start_child(int namespace, int (*work)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(CHILD_SECONDS);
		_exit(setns(namespace, CLONE_NEWNET) < 0 ? 99 : work());
	}
	assert_true(pid > 0);
	return pid;
}

static int open_namespace(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Ours is the process's from here on. */
static void make_namespaces(void)
{
	int ready[2];
	char byte;

	if (geteuid() != 0) {
		why_not = "needs root";
		return;
	}
	if (pipe(ready) < 0 || (holder = fork()) < 0) {
		why_not = "no process";
		return;
	}
	if (holder == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) == 0 && write(ready[1], "r", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1 || unshare(CLONE_NEWNET) < 0)
		why_not = "may not make network namespaces";
	close(ready[0]);
	ours = open_namespace(getpid());
	theirs = open_namespace(holder);
	char command[256];
	snprintf(command, sizeof(command),
		 "ip link set lo up && ip link add va type veth peer name vb &&"
		 "ip link set vb netns %d && ip addr add 10.77.0.1/24 dev va &&"
		 "ip addr add fd77::1/64 dev va nodad && ip link set va up",
		 (int)holder);
	if (!why_not && run(ours, command) != 0)
		why_not = "needs iproute2 and veth";
	/* Without offloads that only make sense when the frame ends in another kernel's socket. */
	if (!why_not)
		run(theirs, "ip link set lo up; ip addr add 10.77.0.2/24 dev vb;"
			    "ip addr add fd77::2/64 dev vb nodad; ip link set vb up");
}

#define skip_without_root()                                                                        \
	do {                                                                                       \
		if (why_not) {                                                                     \
			fprintf(stderr, "skipped: %s\n", why_not);                                 \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

/* ---- what children do ---- */

static const char *peer; /* address of the port, or of our kernel */

static int connected(int type, uint16_t port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct timeval patience = {.tv_sec = 1};
	bool is_v4 = inet_pton(AF_INET, peer, &v4.sin_addr) == 1;
	int fd = socket(is_v4 ? AF_INET : AF_INET6, type, 0);

	if (!is_v4)
		inet_pton(AF_INET6, peer, &v6.sin6_addr);
	const struct sockaddr *address = is_v4 ? (const struct sockaddr *)&v4
					       : (const struct sockaddr *)&v6;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return connect(fd, address, is_v4 ? sizeof(v4) : sizeof(v6)) < 0 ? -1 : fd;
}

/* Datagrams of many sizes; what comes back must be the same.  A lost one is sent again: the first
 * may be lost while addresses are resolved. */
static int ask_datagrams(void)
{
	int fd = connected(SOCK_DGRAM, WORLD_UDP_PORT);
	uint8_t out[1400];
	uint8_t in[1400];

	for (int i = 0; fd >= 0 && i < ROUNDS; i++) {
		size_t length = 1 + (size_t)i * 37 % sizeof(out);
		memset(out, i, length);
		int tries = 0;
		for (;;) {
			if (send(fd, out, length, 0) < 0)
				return 2; /* refused: the kernel answered in our place */
			ssize_t got = recv(fd, in, sizeof(in), 0);
			if (got == (ssize_t)length && memcmp(in, out, length) == 0)
				break;
			if ((got < 0 && errno == ECONNREFUSED) || ++tries == 4)
				return 3;
		}
	}
	return fd < 0;
}

/* The other end sends back all that it gets. */
static int ask_stream(void)
{
	int fd = connected(SOCK_STREAM, TCP_PORT);
	static uint8_t out[STREAM_BYTES];
	static uint8_t in[STREAM_BYTES];
	size_t sent = 0;
	size_t received = 0;

	if (fd < 0)
		return 1;
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 131 >> 3);
	while (received < sizeof(in)) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		if (sent < sizeof(out))
			ready.events |= POLLOUT;
		if (poll(&ready, 1, 10000) <= 0)
			return 2;
		if (ready.revents & POLLIN) {
			ssize_t got = recv(fd, in + received, sizeof(in) - received, 0);
			if (got <= 0)
				return 3;
			received += (size_t)got;
		}
		if (ready.revents & POLLOUT) {
			ssize_t put = send(fd, out + sent, sizeof(out) - sent, MSG_DONTWAIT);
			if (put < 0 && errno != EAGAIN)
				return 4;
			sent += put > 0 ? (size_t)put : 0;
		}
	}
	return memcmp(in, out, sizeof(in)) != 0;
}

static int listener = -1;

static int serve_stream(void)
{
	int fd = accept(listener, NULL, NULL);
	uint8_t bytes[16384];
	ssize_t got;

	while ((got = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
		if (send(fd, bytes, (size_t)got, 0) != got)
			return 1;
	}
	return 0;
}

static void listen_here(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(TCP_PORT)};
	int one = 1;

	listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
}

/* ---- the port ---- */

static void echo_turn(struct port *port, unsigned shards)
{
	for (unsigned i = 0; i < shards; i++) {
		struct port_queue *queue = port_queue(port, i);
		struct port_datagram datagrams[PORT_BURST];
		uint64_t now_ns = world_now_ns();
		unsigned count = port_receive(queue, datagrams, PORT_BURST, now_ns);
		for (unsigned k = 0; k < count; k++) {
			struct port_piece piece = {datagrams[k].data, NULL, datagrams[k].length};
			assert_int_equal(
				port_send(queue, &datagrams[k].from, "", 0, &piece, 1, now_ns), 0);
			port_release(queue, datagrams[k].packet);
		}
		if (port_turn(queue, now_ns) + count == 0)
			sched_yield();
	}
}

/* Echoes until the child has ended well. */
static void echo_for(struct port *port, unsigned shards, pid_t child)
{
	uint64_t until_ns = world_now_ns() + (CHILD_SECONDS + 5) * NS_PER_SECOND;
	int status = 0;

	while (waitpid(child, &status, WNOHANG) == 0) {
		echo_turn(port, shards);
		assert_true(world_now_ns() < until_ns);
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("the client ended with status %#x", (unsigned)status);
}

/* Shard 0's words; *ret_addresses keeps what the options point to. */
static struct port *start_port(const char *device, const char *v4, const char *v6,
			       enum port_exception exception, unsigned shards)
{
	struct port_ip addresses[2];
	struct world_port what = {device, shards, {v4, v6}};
	struct port_options options = world_options(&what, addresses);

	options.exception = exception;
	return world_port(&options);
}

static void add_device(const char *name, const char *arguments)
{
	if (rte_eal_hotplug_add("vdev", name, arguments) < 0)
		fail_msg("no device %s,%s", name, arguments);
}

static uint64_t sum_drops(struct port_queue *queue)
{
	const struct port_statistics *statistics = port_queue_statistics(queue);
	uint64_t sum = 0;

	for (unsigned i = 0; i < PACKET_DROPS; i++) {
		if (i != PACKET_DROP_MAC_OTHER)
			sum += statistics->drops[i];
	}
	return sum;
}

static void af_packet_shares_the_kernels_interface(void **state)
{
	skip_without_root();
	add_device("net_af_packet0", "iface=va,blocksz=4096,framesz=2048,framecnt=512,qpairs=1");
	/* Its addresses are the kernel's. */
	struct port *port = start_port("net_af_packet0", NULL, NULL, PORT_EXCEPTION_AUTO, 1);
	assert_true(port_info(port).address_count >= 2);
	assert_string_equal(port_info(port).exception, "shadow");
	static const char *const addresses[] = {"10.77.0.1", "fd77::1"};
	for (unsigned i = 0; i < 2; i++) {
		peer = addresses[i];
		echo_for(port, 1, start_child(theirs, ask_datagrams));
	}
	assert_int_equal(sum_drops(port_queue(port, 0)), 0);
	/* TCP is the kernel's as ever. */
	listen_here();
	pid_t server = start_child(ours, serve_stream);
	peer = "10.77.0.1";
	echo_for(port, 1, start_child(theirs, ask_stream));
	assert_int_equal(waitpid(server, NULL, 0), server);
	close(listener);
	port_stop(port);
}

/* Moves the kernel's end of the tap to the other side and gives it a MAC of its own. */
static void connect_wire(const char *name)
{
	char command[256];

	snprintf(command, sizeof(command), "ip link set %s netns %d", name, (int)holder);
	must_run(ours, command);
	snprintf(command, sizeof(command),
		 "ip link set %s address 02:00:00:00:07:07 && ip addr add 10.78.0.2/24 dev %s &&"
		 "ip addr add fd78::2/64 dev %s nodad && ip link set %s up",
		 name, name, name, name);
	must_run(theirs, command);
}

static void without_a_kernel_behind_it_a_port_answers_arp_and_nd(void **state)
{
	skip_without_root();
	add_device("net_tap_wire", "iface=wire,mac=02:00:00:00:07:01");
	struct port *port = start_port("net_tap_wire", "10.78.0.1/24", "fd78::1/64",
				       PORT_EXCEPTION_AUTO, 2);
	struct port_queue *queue = port_queue(port, 0);
	assert_string_equal(port_info(port).exception, "none");
	connect_wire("wire");
	static const char *const addresses[] = {"10.78.0.1", "fd78::1"};
	for (unsigned i = 0; i < 2; i++) {
		peer = addresses[i];
		echo_for(port, 2, start_child(theirs, ask_datagrams));
	}
	/* The kernel chose the queues; what came on the wrong one was handed over. */
	struct port_queue *other = port_queue(port, 1);
	assert_true(port_queue_statistics(queue)->neighbour_questions_in +
			    port_queue_statistics(other)->neighbour_questions_in >=
		    2);
	assert_true(port_queue_statistics(queue)->received_ours >= 2 * ROUNDS);
	assert_int_equal(port_queue_statistics(other)->received_ours, 0);
	assert_int_equal(port_queue_statistics(other)->handed_over,
			 port_queue_statistics(queue)->handed_over_in);
	assert_int_equal(sum_drops(queue), 0);
	port_stop(port);
}

static bool readable(const struct port_queue *queue, int timeout_ms)
{
	int fds[PORT_WAIT_FDS_MAX];
	struct pollfd polled[PORT_WAIT_FDS_MAX];
	unsigned count = port_wait_fds(queue, fds);

	for (unsigned i = 0; i < count; i++)
		polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
	return poll(polled, count, timeout_ms) > 0;
}

static int send_late(void)
{
	int fd = connected(SOCK_DGRAM, WORLD_UDP_PORT);

	return fd < 0 || send(fd, "late", 4, 0) != 4;
}

static void tcp_goes_through_the_exception_path_beside_datagrams(void **state)
{
	skip_without_root();
	add_device("net_tap_line", "iface=line,mac=02:00:00:00:08:01");
	struct port *port = start_port("net_tap_line", "10.78.0.1/24", "fd78::1/64",
				       PORT_EXCEPTION_TAP, 1);
	struct port_queue *queue = port_queue(port, 0);
	assert_string_equal(port_info(port).exception, "tap");
	connect_wire("line");
	listen_here();
	pid_t server = start_child(ours, serve_stream);
	peer = "10.78.0.1";
	pid_t datagrams = start_child(theirs, ask_datagrams);
	pid_t stream = start_child(theirs, ask_stream);
	echo_for(port, 1, stream);
	echo_for(port, 1, datagrams);
	echo_for(port, 1, server);
	close(listener);
	const struct port_statistics *statistics = port_queue_statistics(queue);
	assert_true(statistics->kernel_out > STREAM_BYTES / 1500);
	assert_true(statistics->kernel_in > STREAM_BYTES / 1500);
	assert_int_equal(statistics->kernel_dropped, 0);
	assert_int_equal(statistics->neighbour_questions_in, 0);
	assert_true(statistics->received_ours >= ROUNDS);

	/* Asleep, it is woken by a datagram.  What the kernels still say to each other may wake it
	 * too. */
	assert_true(port_info(port).interrupts);
	assert_int_equal(port_wait_fds(queue, (int[PORT_WAIT_FDS_MAX]){0}), 2);
	pid_t late = start_child(theirs, send_late);
	struct port_datagram datagram;
	uint64_t until_ns = world_now_ns() + 5 * NS_PER_SECOND;
	unsigned count = 0;
	while (count == 0 && world_now_ns() < until_ns) {
		if (port_sleep(queue)) {
			assert_true(readable(queue, 5000));
			port_woken(queue);
		}
		count = port_receive(queue, &datagram, 1, world_now_ns());
		port_turn(queue, world_now_ns());
	}
	assert_int_equal(count, 1);
	assert_memory_equal(datagram.data, "late", 4);
	port_release(queue, datagram.packet);
	assert_int_equal(waitpid(late, NULL, 0), late);
	port_stop(port);
	assert_int_equal(if_nametoindex("sluice0"), 0);
}

static void af_xdp_takes_the_interface_and_gives_tcp_back(void **state)
{
	skip_without_root();
	must_run(ours, "ip addr flush dev va");
	if (rte_eal_hotplug_add("vdev", "net_af_xdp0", "iface=va") < 0) {
		fprintf(stderr, "skipped: the kernel has no AF_XDP\n");
		skip();
	}
	struct port *port = start_port("net_af_xdp0", "10.77.0.1/24", "fd77::1/64",
				       PORT_EXCEPTION_AUTO, 1);
	listen_here();
	pid_t server = start_child(ours, serve_stream);
	static const char *const addresses[] = {"fd77::1", "10.77.0.1"};
	for (unsigned i = 0; i < 2; i++) {
		peer = addresses[i];
		echo_for(port, 1, start_child(theirs, ask_datagrams));
	}
	pid_t stream = start_child(theirs, ask_stream);
	echo_for(port, 1, stream);
	echo_for(port, 1, server);
	close(listener);
	const struct port_statistics *statistics = port_queue_statistics(port_queue(port, 0));
	assert_true(statistics->kernel_out > STREAM_BYTES / 1500);
	assert_true(statistics->received_ours >= 2 * ROUNDS);
	assert_int_equal(sum_drops(port_queue(port, 0)), 0);
	port_stop(port);
}

/* libxdp forgets 80 bytes of a socket that DPDK's driver has closed. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:xsk_umem__create";
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(af_packet_shares_the_kernels_interface),
		cmocka_unit_test(af_xdp_takes_the_interface_and_gives_tcp_back),
		cmocka_unit_test(without_a_kernel_behind_it_a_port_answers_arp_and_nd),
		cmocka_unit_test(tcp_goes_through_the_exception_path_beside_datagrams),
	};

	make_namespaces();
	world_start(NULL, 0, false);
	int rc = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	if (holder > 0) {
		kill(holder, SIGKILL);
		waitpid(holder, NULL, 0);
	}
	return rc;
}
