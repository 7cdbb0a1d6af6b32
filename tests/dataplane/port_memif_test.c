/* Two processes over shared memory: this program runs itself again as the peer, which sends back
 * what it gets, and which may die and come back: this side, as the broker, is the one that listens.
 *
 *     port_memif_test peer ROLE SOCKET
 *
 * ROLE is the peer's: a client of ours, or in one test the server that we look for. */
#include "tests/dataplane/port_world.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MTU = 9000, PEER_TIMEOUT_S = 60, ROUNDS = 2000 };

static char folder[] = "/tmp/port_memif_XXXXXX";
static char socket_path[64];
static struct port *port;
static struct port_queue *queue;
static const struct port_address *peer_address;

extern char **environ;

static struct port_options options_of(const char *device, const char *address, uint16_t udp_port,
				      struct port_ip addresses[2])
{
	struct world_port what = {device, 1, {address, NULL}};
	struct port_options options = world_options(&what, addresses);

	options.mtu = MTU;
	options.udp_port_first = udp_port;
	return options;
}

static struct port *start_port(const char *address, uint16_t udp_port)
{
	struct port_ip addresses[2];
	struct port_options options = options_of("net_memif0", address, udp_port, addresses);

	return world_port(&options);
}

static void name_device(char device[160], const char *name, const char *role, const char *path)
{
	snprintf(device, 160, "%s,role=%s,id=0,bsize=9216,rsize=9,socket-abstract=no,socket=%s",
		 name, role, path);
}

static void start_eal(const char *role)
{
	char device[160];
	const char *const vdevs[] = {device};

	name_device(device, "net_memif0", role, socket_path);
	world_start(vdevs, 1, false);
}

/* ---- the peer ---- */

static _Noreturn void echo(const char *role)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(PEER_TIMEOUT_S); /* a test that hangs leaves nobody behind */
	start_eal(role);
	struct port *own_port = start_port("192.0.2.1/24", WORLD_UDP_PORT);
	struct port_queue *own = port_queue(own_port, 0);
	for (;;) {
		struct port_datagram datagrams[PORT_BURST];
		uint64_t now_ns = world_now_ns();
		unsigned count = port_receive(own, datagrams, PORT_BURST, now_ns);
		for (unsigned i = 0; i < count; i++) {
			struct port_piece piece = {datagrams[i].data, NULL, datagrams[i].length};
			port_send(own, &datagrams[i].from, "", 0, &piece, 1, now_ns);
			port_release(own, datagrams[i].packet);
		}
		if (port_turn(own, now_ns) + count == 0)
			sched_yield(); /* two cores, and others want them */
	}
}

static pid_t start_peer(const char *role, char *path)
{
	char role_text[16];
	char *arguments[] = {(char[]){"port_memif_test"}, (char[]){"peer"}, role_text, path, NULL};
	pid_t pid;

	snprintf(role_text, sizeof(role_text), "%s", role);
	assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, arguments, environ), 0);
	return pid;
}

static void end_peer(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ---- the test ---- */

/* Sends until an answer comes, as the link may not be up yet.  Answers are told apart by a number:
 * one that was sent before may come late. */
static bool round_trip(uint32_t number, uint32_t length, unsigned timeout_ms)
{
	static uint8_t out[MTU];
	uint64_t until_ns = world_now_ns() + timeout_ms * NS_PER_MS;

	for (uint32_t i = 0; i < length; i++)
		out[i] = (uint8_t)(i * 31 + number);
	memcpy(out, &number, sizeof(number));
	while (world_now_ns() < until_ns) {
		struct port_datagram in;
		uint64_t now_ns = world_now_ns();
		int rc = port_send(queue, peer_address, out, length, NULL, 0, now_ns);
		assert_true(rc == 0 || rc == -EHOSTUNREACH || rc == -EAGAIN || rc == -ENOBUFS);
		port_turn(queue, now_ns);
		while (world_await(queue, &in, 20)) {
			bool same = in.length == length && memcmp(in.data, out, length) == 0;
			port_release(queue, in.packet);
			if (same)
				return true;
		}
	}
	return false;
}

static void every_size_comes_back_whole(void **state)
{
	pid_t peer = start_peer("client", socket_path);

	assert_true(round_trip(1, 4, 10000));
	for (uint32_t i = 0; i < ROUNDS; i++)
		assert_true(round_trip(100 + i, 4 + i * 7919 % (MTU - 28 - 4), WORLD_TIMEOUT_MS));
	assert_true(round_trip(2, MTU - 28, WORLD_TIMEOUT_MS));
	const struct port_statistics *statistics = port_queue_statistics(queue);
	for (unsigned i = 0; i < PACKET_DROPS; i++)
		assert_int_equal(statistics->drops[i], 0);
	end_peer(peer);
}

static void a_peer_that_dies_and_returns_is_survived(void **state)
{
	for (uint32_t life = 0; life < 2; life++) {
		pid_t peer = start_peer("client", socket_path);
		assert_true(round_trip(1000000 + life, 600, 10000));
		end_peer(peer);
		/* Nobody is there; nothing comes and nothing breaks. */
		assert_false(round_trip(2000000 + life, 600, 200));
	}
}

/* Null: not there.  A server that is still starting may accept the connection and drop it. */
static struct port *try_server(const char *vdev)
{
	struct port_ip addresses[2];
	struct port_options options = options_of("net_memif1", "192.0.2.3/24", 40000, addresses);
	struct port *found = NULL;
	char why[256] = "";

	assert_int_equal(eal_add_vdev(vdev, why, sizeof(why)), 0);
	if (port_start(&found, &options, why, sizeof(why)) == 0) {
		for (unsigned i = 0; i < 50; i++) {
			if (port_link(found).up)
				return found;
			poll(NULL, 0, 10);
		}
		port_stop(found);
	} else {
		assert_non_null(strstr(why, "does not start"));
	}
	assert_int_equal(eal_remove_vdev(vdev), 0);
	return NULL;
}

static struct port *find_server(const char *vdev, unsigned timeout_ms)
{
	uint64_t until_ns = world_now_ns() + timeout_ms * NS_PER_MS;
	struct port *found = NULL;

	while (!(found = try_server(vdev)) && world_now_ns() < until_ns)
		poll(NULL, 0, 20);
	return found;
}

static void a_client_finds_its_server_and_finds_it_again(void **state)
{
	char path[sizeof(socket_path) + 8];
	char vdev[160];

	snprintf(path, sizeof(path), "%s.server", socket_path);
	name_device(vdev, "net_memif1", "client", path);
	assert_null(find_server(vdev, 0));
	for (uint32_t life = 0; life < 2; life++) {
		pid_t peer = start_peer("server", path);
		struct port *own = find_server(vdev, 10000);
		assert_non_null(own);
		struct port_queue *before = queue;
		queue = port_queue(own, 0);
		assert_true(round_trip(3000000 + life, 600, WORLD_TIMEOUT_MS));
		queue = before;
		end_peer(peer);
		port_stop(own);
		assert_int_equal(eal_remove_vdev(vdev), 0);
		unlink(path);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_finds_its_server_and_finds_it_again),
		cmocka_unit_test(every_size_comes_back_whole),
		cmocka_unit_test(a_peer_that_dies_and_returns_is_survived),
	};

	if (argc == 4 && strcmp(argv[1], "peer") == 0) {
		snprintf(socket_path, sizeof(socket_path), "%s", argv[3]);
		echo(argv[2]);
	}
	if (!mkdtemp(folder))
		return 1;
	snprintf(socket_path, sizeof(socket_path), "%s/memif", folder);
	start_eal("server");
	port = start_port("192.0.2.2/24", 40000);
	queue = port_queue(port, 0);
	struct port_address to = world_address("192.0.2.1", WORLD_UDP_PORT, 0);
	peer_address = &to;
	int rc = cmocka_run_group_tests(tests, NULL, NULL);
	port_stop(port);
	unlink(socket_path);
	rmdir(folder);
	return rc;
}
