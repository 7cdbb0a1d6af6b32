/* The mesh: messages arrive whole and in order, and nobody sleeps on what is still to be sent. */
#include "base/bytes.h"
#include "base/check.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/message.h"
#include "storage/io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 2, MANY = 2500 }; /* more than a ring takes */

struct thread {
	struct io_backend backend;
	unsigned wakes;
	unsigned received;
	unsigned next; /* number expected */
};

struct numbered {
	struct message message;
	unsigned number;
};

static struct mesh *mesh;
static struct thread threads[THREADS];

static void count_wake(struct io_backend *backend)
{
	container_of(backend, struct thread, backend)->wakes++;
}

static const struct io_ops counting_ops = {.name = "counting", .wake = count_wake};

static int setup(void **state)
{
	check(mesh_new(&mesh, THREADS) == 0);
	for (unsigned i = 0; i < THREADS; i++) {
		threads[i] = (struct thread){.backend.ops = &counting_ops};
		mesh_attach(mesh, i, &threads[i].backend, &threads[i]);
	}
	return 0;
}

static int teardown(void **state)
{
	mesh_free(mesh);
	return 0;
}

static void numbered_arrived(struct message *message, void *receiver)
{
	struct thread *thread = receiver;

	assert_int_equal(container_of(message, struct numbered, message)->number, thread->next);
	thread->next++;
	thread->received++;
}

static struct numbered *send_many(unsigned from, unsigned to)
{
	struct numbered *sent = calloc(MANY, sizeof(*sent));

	check(sent);
	for (unsigned i = 0; i < MANY; i++) {
		sent[i].number = i;
		sent[i].message.handle = numbered_arrived;
		mesh_send(mesh, from, to, &sent[i].message);
	}
	return sent;
}

static void more_messages_than_a_ring_takes_arrive_in_order(void **state)
{
	struct numbered *sent = send_many(0, 1);

	for (unsigned turns = 0; threads[1].received < MANY; turns++) {
		assert_true(turns < MANY);
		mesh_flush(mesh, 0);
		mesh_receive(mesh, 1);
	}
	assert_int_equal(mesh_receive(mesh, 1), 0);
	free(sent);
}

static void a_sender_does_not_sleep_before_all_is_sent(void **state)
{
	struct numbered *sent = send_many(0, 1);

	for (unsigned sleeps = 0; threads[1].received < MANY; sleeps++) {
		assert_true(sleeps < MANY);
		mesh_flush(mesh, 0);
		while (mesh_receive(mesh, 1))
			;
		/* Nothing comes in that would end its sleep: it has to have told itself. */
		if (threads[1].received < MANY)
			assert_true(threads[0].wakes > 0);
		threads[0].wakes = 0;
	}
	assert_true(threads[1].wakes > 0);
	/* With nothing left it may sleep. */
	mesh_flush(mesh, 0);
	assert_int_equal(threads[0].wakes, 0);
	free(sent);
}

static void a_message_to_itself_is_handled_in_the_next_turn(void **state)
{
	struct numbered one = {.message.handle = numbered_arrived};

	mesh_send(mesh, 0, 0, &one.message);
	assert_int_equal(threads[0].received, 0);
	mesh_flush(mesh, 0);
	assert_true(threads[0].wakes > 0);
	assert_int_equal(mesh_receive(mesh, 0), 1);
	assert_int_equal(threads[0].received, 1);
}

static void what_one_thread_has_sent_is_received_without_that_of_others(void **state)
{
	struct numbered second = {.message.handle = numbered_arrived, .number = 1};
	struct numbered first = {.message.handle = numbered_arrived};

	mesh_send(mesh, 1, 1, &second.message);
	mesh_send(mesh, 0, 1, &first.message);
	mesh_flush(mesh, 0);
	assert_int_equal(mesh_receive_from(mesh, 1, 0), 1);
	assert_int_equal(mesh_receive_from(mesh, 1, 0), 0);
	assert_int_equal(mesh_receive(mesh, 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(more_messages_than_a_ring_takes_arrive_in_order),
		T(a_sender_does_not_sleep_before_all_is_sent),
		T(a_message_to_itself_is_handled_in_the_next_turn),
		T(what_one_thread_has_sent_is_received_without_that_of_others),
#undef T
	};
	char why[160] = "";

	if (eal_start(THREADS, why, sizeof(why)) < 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	return failed;
}
