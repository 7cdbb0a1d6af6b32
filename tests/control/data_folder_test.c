/* The data folder and the listening sockets: what must be refused is, and says why. */
#include "base/errors.h"
#include "control/data_folder.h"
#include "control/listener.h"
#include "tests/control/folder.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
	struct folder *folder;
	struct data_folder data;
	char why[512];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->folder = folder_new();
	f->data = (struct data_folder){.fd = -1, .lock_fd = -1};
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	data_folder_close(&f->data);
	folder_free(f->folder);
	free(f);
	return 0;
}

static int open_data(struct fixture *f, struct data_folder *ret)
{
	return data_folder_open(ret, f->folder->path, f->why, sizeof(f->why));
}

static void a_new_folder_is_made_and_opened_again(void **state)
{
	struct fixture *f = *state;
	char path[128];
	struct stat info;

	snprintf(path, sizeof(path), "%s/data", f->folder->path);
	for (int twice = 0; twice < 2; twice++) {
		assert_int_equal(data_folder_open(&f->data, path, f->why, sizeof(f->why)), 0);
		assert_int_equal(stat(f->data.topics, &info), 0);
		data_folder_close(&f->data);
	}
}

static void a_folder_in_use_is_refused_until_it_is_free(void **state)
{
	struct fixture *f = *state;
	struct data_folder second;
	char holder[32];

	assert_int_equal(open_data(f, &f->data), 0);
	assert_int_equal(open_data(f, &second), -ERR_LOCKED);
	snprintf(holder, sizeof(holder), "process %d", (int)getpid());
	assert_non_null(strstr(f->why, holder));
	data_folder_close(&f->data);
	assert_int_equal(open_data(f, &f->data), 0);
}

static void a_strangers_folder_is_refused_and_left_alone(void **state)
{
	struct fixture *f = *state;
	struct stat info;

	folder_write(f->folder, "photos.zip", "x", 1);
	assert_int_equal(open_data(f, &f->data), -ERR_FORMAT);
	assert_non_null(strstr(f->why, "photos.zip"));
	assert_int_not_equal(fstatat(f->folder->fd, "topics", &info, 0), 0);
	assert_int_not_equal(fstatat(f->folder->fd, "sluice.meta", &info, 0), 0);
}

static void a_newer_or_broken_format_is_refused(void **state)
{
	struct fixture *f = *state;

	folder_write(f->folder, "sluice.meta", "sluice-data 2\n", 14);
	assert_int_equal(open_data(f, &f->data), -ERR_FORMAT);
	assert_non_null(strstr(f->why, "format 2"));
	folder_write(f->folder, "sluice.meta", "", 0);
	assert_int_equal(open_data(f, &f->data), -ERR_FORMAT);
}

static void a_file_in_its_place_is_refused(void **state)
{
	struct fixture *f = *state;
	char path[128];

	folder_write(f->folder, "file", "x", 1);
	snprintf(path, sizeof(path), "%s/file", f->folder->path);
	assert_int_equal(data_folder_open(&f->data, path, f->why, sizeof(f->why)), -ENOTDIR);
	snprintf(path, sizeof(path), "%s/no/where", f->folder->path);
	assert_int_equal(data_folder_open(&f->data, path, f->why, sizeof(f->why)), -ENOENT);
}

static void addresses_are_parsed(void **state)
{
	static const struct {
		const char *text;
		const char *host; /* null: refused */
		uint16_t port;
	} cases[] = {
		{"127.0.0.1:9092", "127.0.0.1", 9092},
		{"[::1]:1", "::1", 1},
		{":9092", "", 9092},
		{"host.example:0", "host.example", 0},
		{"::1:9092", NULL, 0},
		{"host", NULL, 0},
		{"host:", NULL, 0},
		{"host:65536", NULL, 0},
		{"host:+1", NULL, 0},
		{"host:1x", NULL, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct listen_address address;
		int rc = listen_address_parse(&address, cases[i].text);
		assert_int_equal(rc, cases[i].host ? 0 : -ERR_CONFIG);
		if (rc < 0)
			continue;
		assert_string_equal(address.host, cases[i].host);
		assert_int_equal(address.port, cases[i].port);
	}
}

static void listeners_share_a_port_that_nobody_else_gets(void **state)
{
	struct fixture *f = *state;
	struct listen_address address = {.host = "127.0.0.1"};
	int fds[3];
	int more[2];
	uint16_t port = 0;
	uint16_t again;

	assert_int_equal(listeners_open(&address, 3, fds, &port, f->why, sizeof(f->why)), 0);
	assert_int_not_equal(port, 0);
	address.port = port;
	assert_int_equal(listeners_open(&address, 2, more, &again, f->why, sizeof(f->why)),
			 -EADDRINUSE);
	assert_non_null(strstr(f->why, "in use"));
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	assert_int_equal(listeners_open(&address, 2, more, &again, f->why, sizeof(f->why)), 0);
	assert_int_equal(again, port);
	close(more[0]);
	close(more[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_new_folder_is_made_and_opened_again),
		TEST(a_folder_in_use_is_refused_until_it_is_free),
		TEST(a_strangers_folder_is_refused_and_left_alone),
		TEST(a_newer_or_broken_format_is_refused),
		TEST(a_file_in_its_place_is_refused),
		TEST(addresses_are_parsed),
		TEST(listeners_share_a_port_that_nobody_else_gets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
