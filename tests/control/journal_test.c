/* The journal against files that a crash or a damaged disk leaves: every cut, every flipped byte.
 */
#include "base/errors.h"
#include "control/journal.h"
#include "tests/control/folder.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

enum { RECORDS = 5, HEADER_BYTES = 16, RECORD_HEADER_BYTES = 16 };

struct seen {
	unsigned count;
	char texts[RECORDS + 2][64];
};

static int note(void *context, const void *payload, size_t length)
{
	struct seen *seen = context;

	assert_true(seen->count < RECORDS + 2 && length < 64);
	memcpy(seen->texts[seen->count], payload, length);
	seen->texts[seen->count++][length] = '\0';
	return 0;
}

static int open_in(const struct folder *folder, struct journal **ret, struct seen *seen)
{
	char why[256];

	*seen = (struct seen){0};
	return journal_open(ret, folder->fd, "j", note, seen, why, sizeof(why));
}

static void text_of(unsigned number, char text[static 64])
{
	snprintf(text, 64, "record number %u", number);
}

static void append_records(struct journal *journal, unsigned count)
{
	char text[64];

	for (unsigned i = 0; i < count; i++) {
		text_of(i, text);
		assert_int_equal(journal_append(journal, text, strlen(text)), 0);
	}
}

/* A journal with RECORDS records, closed; its bytes. */
static char *make(const struct folder *folder, size_t *ret_length)
{
	struct journal *journal;
	struct seen seen;

	assert_int_equal(open_in(folder, &journal, &seen), 0);
	assert_int_equal(seen.count, 0);
	append_records(journal, RECORDS);
	journal_close(journal);
	return folder_read(folder, "j", ret_length);
}

static int set_up(void **state)
{
	*state = folder_new();
	return 0;
}

static int tear_down(void **state)
{
	folder_free(*state);
	return 0;
}

static void records_come_back_in_order(void **state)
{
	struct journal *journal;
	struct seen seen;
	char text[64];
	size_t length;

	free(make(*state, &length));
	assert_int_equal(open_in(*state, &journal, &seen), 0);
	assert_int_equal(seen.count, RECORDS);
	for (unsigned i = 0; i < RECORDS; i++) {
		text_of(i, text);
		assert_string_equal(seen.texts[i], text);
	}
	assert_int_equal(journal_bytes(journal), length);
	journal_close(journal);
}

static void a_torn_append_is_cut_at_every_byte(void **state)
{
	size_t length;
	char *data = make(*state, &length);
	char last[64];

	text_of(RECORDS - 1, last);
	size_t before_last = length - RECORD_HEADER_BYTES - strlen(last);
	for (size_t cut = before_last; cut < length; cut++) {
		struct journal *journal;
		struct seen seen;
		folder_write(*state, "j", data, cut);
		assert_int_equal(open_in(*state, &journal, &seen), 0);
		assert_int_equal(seen.count, RECORDS - 1);
		/* What is appended now must not be read with the torn bytes. */
		assert_int_equal(journal_append(journal, "after", 5), 0);
		journal_close(journal);
		assert_int_equal(open_in(*state, &journal, &seen), 0);
		assert_int_equal(seen.count, RECORDS);
		assert_string_equal(seen.texts[RECORDS - 1], "after");
		journal_close(journal);
	}
	free(data);
}

static void a_torn_append_of_zeros_is_cut(void **state)
{
	struct journal *journal;
	struct seen seen;
	size_t length;
	char *data = make(*state, &length);
	char *longer = calloc(1, length + 4096);

	memcpy(longer, data, length);
	folder_write(*state, "j", longer, length + 4096);
	assert_int_equal(open_in(*state, &journal, &seen), 0);
	assert_int_equal(seen.count, RECORDS);
	assert_int_equal(journal_bytes(journal), length);
	journal_close(journal);
	free(longer);
	free(data);
}

static void a_flipped_byte_before_the_last_record_is_refused(void **state)
{
	size_t length;
	char *data = make(*state, &length);
	char last[64];

	text_of(RECORDS - 1, last);
	size_t before_last = length - RECORD_HEADER_BYTES - strlen(last);
	for (size_t at = HEADER_BYTES; at < before_last; at++) {
		struct journal *journal = NULL;
		struct seen seen;
		data[at] ^= 0x20;
		folder_write(*state, "j", data, length);
		data[at] ^= 0x20;
		assert_int_equal(open_in(*state, &journal, &seen), -ERR_CORRUPT);
	}
	free(data);
}

static void a_flipped_byte_in_the_header_is_refused(void **state)
{
	size_t length;
	char *data = make(*state, &length);

	for (size_t at = 0; at < HEADER_BYTES - 4; at++) {
		struct journal *journal = NULL;
		struct seen seen;
		data[at] ^= 0x01;
		folder_write(*state, "j", data, length);
		data[at] ^= 0x01;
		assert_int_equal(open_in(*state, &journal, &seen), -ERR_FORMAT);
	}
	free(data);
}

static int refuse(void *context, const void *payload, size_t length)
{
	(void)context;
	(void)payload;
	(void)length;
	return -ERR_FORMAT;
}

static void what_replay_refuses_is_not_opened(void **state)
{
	const struct folder *folder = *state;
	struct journal *journal = NULL;
	char why[256];
	size_t length;

	free(make(*state, &length));
	assert_int_equal(journal_open(&journal, folder->fd, "j", refuse, NULL, why, sizeof(why)),
			 -ERR_FORMAT);
	assert_non_null(strstr(why, "record at byte 16"));
}

static void records_of_no_or_too_many_bytes_are_refused(void **state)
{
	struct journal *journal;
	struct seen seen;
	char *large = calloc(1, JOURNAL_RECORD_BYTES_MAX + 1);

	assert_int_equal(open_in(*state, &journal, &seen), 0);
	assert_int_equal(journal_append(journal, "", 0), -E2BIG);
	assert_int_equal(journal_append(journal, large, JOURNAL_RECORD_BYTES_MAX + 1), -E2BIG);
	assert_int_equal(journal_bytes(journal), HEADER_BYTES);
	journal_close(journal);
	free(large);
}

static int fill_two(void *context, struct journal *fresh)
{
	(void)context;
	int rc = journal_append(fresh, "one", 3);
	return rc < 0 ? rc : journal_append(fresh, "two", 3);
}

static int fill_fails(void *context, struct journal *fresh)
{
	(void)context;
	(void)fresh;
	return -ENOMEM;
}

static void a_rewrite_replaces_everything(void **state)
{
	struct journal *journal;
	struct seen seen;

	assert_int_equal(open_in(*state, &journal, &seen), 0);
	append_records(journal, RECORDS);
	assert_int_equal(journal_rewrite(journal, fill_two, NULL), 0);
	assert_int_equal(journal_append(journal, "three", 5), 0);
	journal_close(journal);
	assert_int_equal(open_in(*state, &journal, &seen), 0);
	assert_int_equal(seen.count, 3);
	assert_string_equal(seen.texts[0], "one");
	assert_string_equal(seen.texts[2], "three");
	journal_close(journal);
}

static void a_failed_rewrite_leaves_the_old_content(void **state)
{
	struct journal *journal;
	struct seen seen;

	assert_int_equal(open_in(*state, &journal, &seen), 0);
	append_records(journal, 2);
	assert_int_equal(journal_rewrite(journal, fill_fails, NULL), -ENOMEM);
	assert_int_equal(journal_append(journal, "after", 5), 0);
	journal_close(journal);
	assert_int_equal(open_in(*state, &journal, &seen), 0);
	assert_int_equal(seen.count, 3);
	journal_close(journal);
}

static void a_rewrite_that_a_crash_ended_is_ignored(void **state)
{
	struct journal *journal;
	struct seen seen;
	size_t length;

	free(make(*state, &length));
	folder_write(*state, "j.new", "SLUICEjl half", 13);
	assert_int_equal(open_in(*state, &journal, &seen), 0);
	assert_int_equal(seen.count, RECORDS);
	assert_int_equal(journal_rewrite(journal, fill_two, NULL), 0);
	journal_close(journal);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(records_come_back_in_order),
		TEST(a_torn_append_is_cut_at_every_byte),
		TEST(a_torn_append_of_zeros_is_cut),
		TEST(a_flipped_byte_before_the_last_record_is_refused),
		TEST(a_flipped_byte_in_the_header_is_refused),
		TEST(what_replay_refuses_is_not_opened),
		TEST(records_of_no_or_too_many_bytes_are_refused),
		TEST(a_rewrite_replaces_everything),
		TEST(a_failed_rewrite_leaves_the_old_content),
		TEST(a_rewrite_that_a_crash_ended_is_ignored),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
