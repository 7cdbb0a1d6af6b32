/* The primitive types at their edges.  What is read lies in a heap block of exactly its length, so
 * that a sanitizer sees a read past the end. */
#include "base/arena.h"
#include "base/errors.h"
#include "dataplane/kafka/utf8.h"
#include "dataplane/kafka/wire.h"
#include "tests/dataplane/kafka_codec.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { ARENA_BYTES_MAX = 64 << 10 };

struct fixture {
	struct arena arena;
	struct kafka_frame input;
	struct wire_reader r;
	struct wire_writer w;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	arena_init(&f->arena, ARENA_BYTES_MAX);
	wire_writer_init(&f->w, &f->arena);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	arena_fini(&f->arena);
	kafka_frame_free(&f->input);
	free(f);
	return 0;
}

static struct wire_reader *over(struct fixture *f, const void *data, size_t length)
{
	kafka_frame_free(&f->input);
	f->input = kafka_frame_copy(data, length);
	f->r = wire_reader_over(f->input.data, length, &f->arena);
	return &f->r;
}

#define OVER(f, text) over((f), (text), sizeof(text) - 1)

/* A reader over what was written. */
static struct wire_reader *read_back(struct fixture *f)
{
	wire_finish(&f->w);
	uint8_t *all = malloc(f->w.bytes + 1);
	size_t at = 0;

	for (size_t i = 0; i < f->w.vector_count; i++) {
		memcpy(all + at, f->w.vectors[i].iov_base, f->w.vectors[i].iov_len);
		at += f->w.vectors[i].iov_len;
	}
	assert_int_equal(at, f->w.bytes);
	struct wire_reader *r = over(f, all, at);
	free(all);
	wire_writer_init(&f->w, &f->arena);
	return r;
}

static void assert_written(struct fixture *f, const char *bytes, size_t length)
{
	read_back(f);
	assert_int_equal(f->input.length, length);
	assert_memory_equal(f->input.data, bytes, length);
}

#define ASSERT_WRITTEN(f, text) assert_written((f), (text), sizeof(text) - 1)

/* ---- reading ---- */

static void numbers_are_big_endian(void **state)
{
	struct wire_reader *r = OVER(*state, "\x01\xff\x80\x00\xff\xff\x80\x00\x00\x01"
					     "\x80\x00\x00\x00\x00\x00\x00\x02\x02\x00"
					     "\x3f\xe0\x00\x00\x00\x00\x00\x00");

	assert_true(wire_get_bool(r));
	assert_int_equal(wire_get_i8(r), -1);
	assert_int_equal(wire_get_i16(r), INT16_MIN);
	assert_int_equal(wire_get_u16(r), UINT16_MAX);
	assert_int_equal(wire_get_i32(r), INT32_MIN + 1);
	assert_true(wire_get_i64(r) == INT64_MIN + 2);
	assert_true(wire_get_bool(r)); /* any number but 0 */
	assert_false(wire_get_bool(r));
	assert_true(wire_get_f64(r) == 0.5);
	assert_true(wire_ok(r));
	assert_ptr_equal(r->at, r->end);
}

static void an_error_stays_and_nothing_is_read_after_it(void **state)
{
	struct wire_reader *r = OVER(*state, "\x01\x02\x03");

	assert_int_equal(wire_get_i32(r), 0);
	assert_int_equal(r->error, -ERR_BAD_REQUEST);
	assert_int_equal(wire_get_i8(r), 0);
	wire_fail(r, -ENOMEM);
	assert_int_equal(r->error, -ERR_BAD_REQUEST);
}

static void nothing_can_be_read_from_nothing(void **state)
{
	struct wire_reader r = wire_reader_over(NULL, 0, NULL);

	assert_true(wire_ok(&r));
	wire_get_i8(&r);
	assert_false(wire_ok(&r));
}

static void uvarints_of_up_to_five_bytes_are_read(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
		uint32_t value;
	} cases[] = {
		{"\x00", 1, 0},
		{"\x7f", 1, 127},
		{"\x80\x01", 2, 128},
		{"\xff\xff\x03", 3, 65535},
		{"\xff\xff\xff\xff\x0f", 5, UINT32_MAX},
		{"\x80\x80\x80\x80\x00", 5, 0}, /* longer than needed */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wire_reader *r = over(*state, cases[i].bytes, cases[i].length);
		assert_int_equal(wire_get_uvarint(r), cases[i].value);
		assert_true(wire_ok(r));
		assert_ptr_equal(r->at, r->end);
	}
}

static void uvarints_that_are_too_long_too_large_or_cut_are_refused(void **state)
{
	struct fixture *f = *state;

	wire_get_uvarint(OVER(f, "\x80\x80\x80\x80\x80\x00"));
	assert_int_equal(f->r.error, -ERR_BAD_REQUEST);
	wire_get_uvarint(OVER(f, "\xff\xff\xff\xff\x10"));
	assert_int_equal(f->r.error, -ERR_BAD_REQUEST);
	wire_get_uvarint(OVER(f, "\xff\xff"));
	assert_int_equal(f->r.error, -ERR_BAD_REQUEST);
	wire_get_uvarint(over(f, "", 0));
	assert_int_equal(f->r.error, -ERR_BAD_REQUEST);
}

static void strings_are_views(void **state)
{
	struct fixture *f = *state;
	struct kafka_string text = wire_get_string(OVER(f, "\x00\x03"
							   "abc"),
						   false, false);

	assert_int_equal(text.length, 3);
	assert_ptr_equal(text.data, f->input.data + 2);
	text = wire_get_string(OVER(f, "\x04"
				       "abc"),
			       true, false);
	assert_int_equal(text.length, 3);
	assert_ptr_equal(text.data, f->input.data + 1);
	assert_int_equal(wire_get_string(OVER(f, "\x00\x00"), false, false).length, 0);
	assert_int_equal(wire_get_string(OVER(f, "\x01"), true, false).length, 0);
	assert_true(wire_ok(&f->r));
}

static void null_is_read_only_where_it_is_allowed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(wire_get_string(OVER(f, "\xff\xff"), false, true).length, -1);
	assert_int_equal(wire_get_string(OVER(f, "\x00"), true, true).length, -1);
	assert_int_equal(wire_get_bytes(OVER(f, "\xff\xff\xff\xff"), false, true).length, -1);
	assert_int_equal(wire_get_records(OVER(f, "\x00"), true, true).length, -1);
	assert_true(wire_ok(&f->r));
	wire_get_string(OVER(f, "\xff\xff"), false, false);
	assert_false(wire_ok(&f->r));
	wire_get_string(OVER(f, "\x00"), true, false);
	assert_false(wire_ok(&f->r));
	wire_get_bytes(OVER(f, "\x00"), true, false);
	assert_false(wire_ok(&f->r));
	wire_get_records(OVER(f, "\xff\xff\xff\xff"), false, false);
	assert_false(wire_ok(&f->r));
}

static void lengths_below_null_or_past_the_end_are_refused(void **state)
{
	struct fixture *f = *state;

	wire_get_string(OVER(f, "\xff\xfe"), false, true);
	assert_false(wire_ok(&f->r));
	wire_get_string(OVER(f, "\x00\x03"
				"ab"),
			false, true);
	assert_false(wire_ok(&f->r));
	wire_get_bytes(OVER(f, "\x80\x00\x00\x00"), false, true);
	assert_false(wire_ok(&f->r));
	wire_get_bytes(OVER(f, "\x7f\xff\xff\xff"
			       "a"),
		       false, true);
	assert_false(wire_ok(&f->r));
	wire_get_bytes(OVER(f, "\xff\xff\xff\xff\x0f"
			       "a"),
		       true, true);
	assert_false(wire_ok(&f->r));
}

static void a_compact_string_above_32_kib_is_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t *large = malloc(3 + INT16_MAX + 1);

	memset(large, 'a', 3 + INT16_MAX + 1);
	memcpy(large, "\x81\x80\x02", 3); /* 32768 + 1 */
	wire_get_string(over(f, large, 3 + INT16_MAX + 1), true, true);
	assert_int_equal(f->r.error, -ERR_BAD_REQUEST);
	memcpy(large, "\x80\x80\x02", 3);
	assert_int_equal(wire_get_string(over(f, large, 3 + INT16_MAX), true, true).length,
			 INT16_MAX);
	assert_true(wire_ok(&f->r));
	free(large);
}

static void a_string_that_is_not_utf8_is_refused(void **state)
{
	struct fixture *f = *state;

	wire_get_string(OVER(f, "\x00\x02\xc3\xa9"), false, true);
	assert_true(wire_ok(&f->r));
	assert_int_equal(wire_get_string(OVER(f, "\x00\x02\xc3("), false, true).length, 0);
	assert_int_equal(f->r.error, -ERR_BAD_REQUEST);
}

static void utf8_is_what_rfc_3629_says(void **state)
{
	static const char *const good[] = {"",
					   "plain ASCII, longer than eight bytes",
					   "\xc2\x80",
					   "\xdf\xbf",
					   "\xe0\xa0\x80",
					   "\xed\x9f\xbf",
					   "\xee\x80\x80",
					   "\xef\xbf\xbf",
					   "\xf0\x90\x80\x80",
					   "\xf4\x8f\xbf\xbf",
					   "seven77\xe2\x82\xacthen"};
	static const char *const bad[] = {"\x80",
					  "\xbf",
					  "\xc0\x80",
					  "\xc1\xbf",
					  "\xc2",
					  "\xc2z",
					  "\xe0\x9f\xbf",
					  "\xe2\x82",
					  "\xe2\x82z",
					  "\xed\xa0\x80",
					  "\xed\xbf\xbf",
					  "\xf0\x8f\xbf\xbf",
					  "\xf0\x90\x80",
					  "\xf4\x90\x80\x80",
					  "\xf5\x80\x80\x80",
					  "\xff",
					  "eight888\xff",
					  "seven77\xe2\x82"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct kafka_frame text = kafka_frame_copy(good[i], strlen(good[i]));
		assert_true(utf8_valid(text.data, text.length));
		kafka_frame_free(&text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct kafka_frame text = kafka_frame_copy(bad[i], strlen(bad[i]));
		assert_false(utf8_valid(text.data, text.length));
		kafka_frame_free(&text);
	}
	assert_true(utf8_valid("a\0b", 3));
}

static void arrays_are_counted(void **state)
{
	struct fixture *f = *state;
	int64_t *elements;

	assert_int_equal(wire_get_array(OVER(f, "\x00\x00\x00\x02\x01\x02\x03\x04"), false, false,
					2, sizeof(*elements), (void **)&elements),
			 2);
	elements[0] = elements[1] = 1; /* there is room for two */
	assert_int_equal(wire_get_array(OVER(f, "\x03\x01\x02"), true, false, 1, sizeof(*elements),
					(void **)&elements),
			 2);
	assert_int_equal(wire_get_array(OVER(f, "\x01"), true, false, 1, 8, (void **)&elements), 0);
	assert_null(elements);
	assert_int_equal(wire_get_array(OVER(f, "\x00"), true, true, 1, 8, (void **)&elements), -1);
	assert_null(elements);
	assert_true(wire_ok(&f->r));
}

static void counts_are_bounded_by_the_bytes_left(void **state)
{
	struct fixture *f = *state;
	const uint8_t *free_memory = f->arena.at;
	void *elements;

	assert_int_equal(wire_get_array(OVER(f, "\x00\x00\x00\x03\x01\x02\x03\x04\x05"), false,
					true, 2, 1, &elements),
			 0);
	assert_int_equal(f->r.error, -ERR_BAD_REQUEST);
	wire_get_array(OVER(f, "\x7f\xff\xff\xff\x01"), false, true, 1, 1, &elements);
	assert_int_equal(f->r.error, -ERR_BAD_REQUEST);
	wire_get_array(OVER(f, "\xff\xff\xff\xfe\x01"), false, true, 1, 1, &elements);
	assert_int_equal(f->r.error, -ERR_BAD_REQUEST);
	wire_get_array(OVER(f, "\xff\xff\xff\xff"), false, false, 1, 1, &elements);
	assert_int_equal(f->r.error, -ERR_BAD_REQUEST);
	wire_get_array(OVER(f, "\xff\xff\xff\xff\x0f\x01"), true, true, 1, 1, &elements);
	assert_int_equal(f->r.error, -ERR_BAD_REQUEST);
	assert_ptr_equal(f->arena.at, free_memory);
}

static void counts_are_bounded_by_memory(void **state)
{
	struct fixture *f = *state;
	void *elements;

	/* Two elements, each as large as half the limit and a little more. */
	assert_int_equal(wire_get_array(OVER(f, "\x03\x01\x01"), true, true, 1,
					ARENA_BYTES_MAX / 2 + 16, &elements),
			 0);
	assert_int_equal(f->r.error, -ENOMEM);
	assert_null(elements);
	/* count * size does not wrap round to little. */
	wire_get_array(OVER(f, "\x03\x01\x01"), true, true, 1, SIZE_MAX / 2 + 2, &elements);
	assert_int_equal(f->r.error, -ENOMEM);
}

static void more_than_a_million_elements_are_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t *large = calloc(1, 4 + (2 << 20));
	void *elements;

	memcpy(large, "\x00\x10\x00\x01", 4);
	struct wire_reader r = wire_reader_over(large, 4 + (2 << 20), &f->arena);
	wire_get_array(&r, false, true, 1, 0, &elements);
	assert_int_equal(r.error, -ERR_BAD_REQUEST);
	free(large);
}

static void tags_are_given_in_order_with_their_bytes(void **state)
{
	struct wire_reader *r = OVER(*state, "\x02\x00\x02\x12\x34\x05\x00");
	struct wire_reader field;
	struct wire_tags tags = {0};
	uint32_t tag = 99;

	assert_true(wire_next_tag(r, &tags, &tag, &field));
	assert_int_equal(tag, 0);
	assert_int_equal(wire_get_i16(&field), 0x1234);
	wire_end_tag(r, &field);
	assert_true(wire_next_tag(r, &tags, &tag, &field));
	assert_int_equal(tag, 5);
	assert_ptr_equal(field.at, field.end);
	wire_end_tag(r, &field);
	assert_false(wire_next_tag(r, &tags, &tag, &field));
	assert_true(wire_ok(r));
	assert_ptr_equal(r->at, r->end);
}

static void no_tag_is_given_after_an_error(void **state)
{
	struct wire_reader *r = OVER(*state, "\x01\x80");
	struct wire_reader field;
	struct wire_tags tags = {0};
	uint32_t tag = 99;

	assert_false(wire_next_tag(r, &tags, &tag, &field));
	assert_int_equal(tag, 99);
	assert_false(wire_ok(r));
}

static void a_tagged_field_is_read_to_its_end_and_not_past_it(void **state)
{
	struct fixture *f = *state;
	struct wire_reader field;
	struct wire_tags tags = {0};
	uint32_t tag;

	OVER(f, "\x01\x00\x02\x12\x34");
	assert_true(wire_next_tag(&f->r, &tags, &tag, &field));
	wire_get_i8(&field);
	wire_end_tag(&f->r, &field);
	assert_int_equal(f->r.error, -ERR_BAD_REQUEST);
	OVER(f, "\x01\x00\x02\x12\x34\x56\x78");
	tags = (struct wire_tags){0};
	assert_true(wire_next_tag(&f->r, &tags, &tag, &field));
	wire_get_i32(&field);
	wire_end_tag(&f->r, &field);
	assert_int_equal(f->r.error, -ERR_BAD_REQUEST);
}

static void presence_is_a_byte_only_where_null_is_allowed(void **state)
{
	struct fixture *f = *state;

	assert_true(wire_get_present(OVER(f, "\x01"), true));
	assert_false(wire_get_present(OVER(f, "\xff"), true));
	assert_true(wire_get_present(over(f, "", 0), false));
	assert_true(wire_ok(&f->r));
}

/* ---- writing ---- */

static void what_is_written_is_read_back(void **state)
{
	struct fixture *f = *state;
	const struct uuid id = {{1, 2, 3, 4}};

	wire_put_bool(&f->w, true);
	wire_put_i8(&f->w, INT8_MIN);
	wire_put_i16(&f->w, INT16_MIN);
	wire_put_u16(&f->w, UINT16_MAX);
	wire_put_i32(&f->w, INT32_MIN);
	wire_put_i64(&f->w, INT64_MIN);
	wire_put_f64(&f->w, -1.5);
	wire_put_uvarint(&f->w, UINT32_MAX);
	wire_put_uuid(&f->w, &id);
	struct wire_reader *r = read_back(f);
	assert_true(wire_get_bool(r));
	assert_int_equal(wire_get_i8(r), INT8_MIN);
	assert_int_equal(wire_get_i16(r), INT16_MIN);
	assert_int_equal(wire_get_u16(r), UINT16_MAX);
	assert_int_equal(wire_get_i32(r), INT32_MIN);
	assert_true(wire_get_i64(r) == INT64_MIN);
	assert_true(wire_get_f64(r) == -1.5);
	assert_int_equal(wire_get_uvarint(r), UINT32_MAX);
	struct uuid read = wire_get_uuid(r);
	assert_memory_equal(&read, &id, sizeof(id));
	assert_true(wire_ok(r));
	assert_ptr_equal(r->at, r->end);
}

static void null_is_written_only_where_it_is_allowed(void **state)
{
	struct fixture *f = *state;
	const struct kafka_string text = {.length = -1};
	const struct kafka_bytes bytes = {.length = -1};
	const struct kafka_records records = {.length = -1};

	wire_put_string(&f->w, &text, false, true);
	wire_put_string(&f->w, &text, false, false);
	ASSERT_WRITTEN(f, "\xff\xff\x00\x00");
	wire_put_string(&f->w, &text, true, true);
	wire_put_string(&f->w, &text, true, false);
	ASSERT_WRITTEN(f, "\x00\x01");
	wire_put_bytes(&f->w, &bytes, false, true);
	wire_put_bytes(&f->w, &bytes, true, false);
	ASSERT_WRITTEN(f, "\xff\xff\xff\xff\x01");
	wire_put_records(&f->w, &records, true, true);
	wire_put_records(&f->w, &records, false, false);
	ASSERT_WRITTEN(f, "\x00\x00\x00\x00\x00");
	wire_put_array(&f->w, -1, false, true);
	wire_put_array(&f->w, -1, true, false);
	ASSERT_WRITTEN(f, "\xff\xff\xff\xff\x01");
}

static void presence_is_written_only_where_null_is_allowed(void **state)
{
	struct fixture *f = *state;

	assert_false(wire_put_present(&f->w, false, true));
	assert_true(wire_put_present(&f->w, true, true));
	assert_true(wire_put_present(&f->w, false, false));
	ASSERT_WRITTEN(f, "\xff\x01");
}

static void a_string_above_32_kib_is_not_written(void **state)
{
	struct fixture *f = *state;
	char *large = calloc(1, INT16_MAX + 1);
	struct kafka_string text = {.data = large, .length = INT16_MAX + 1};

	wire_put_string(&f->w, &text, false, true);
	assert_int_equal(f->w.error, -ERR_TOO_LARGE);
	wire_writer_init(&f->w, &f->arena);
	wire_put_string(&f->w, &text, true, true);
	assert_int_equal(f->w.error, -ERR_TOO_LARGE);
	wire_writer_init(&f->w, &f->arena);
	text.length = INT16_MAX;
	wire_put_string(&f->w, &text, false, true);
	assert_int_equal(f->w.error, 0);
	free(large);
}

static void records_are_referred_to_and_not_copied(void **state)
{
	struct fixture *f = *state;
	const struct iovec parts[] = {{.iov_base = (char[]){"one"}, .iov_len = 3},
				      {.iov_base = (char[]){"three"}, .iov_len = 5}};
	const struct kafka_records whole = {.data = (const uint8_t *)"zero", .length = 4};
	const struct kafka_records split = {.vectors = parts, .vector_count = 2, .length = 8};

	wire_put_i8(&f->w, 1);
	wire_put_records(&f->w, &whole, true, true);
	wire_put_i8(&f->w, 2);
	wire_put_records(&f->w, &split, true, true);
	wire_put_i8(&f->w, 3);
	assert_int_equal(wire_finish(&f->w), 0);
	assert_int_equal(f->w.vector_count, 6);
	assert_ptr_equal(f->w.vectors[1].iov_base, whole.data);
	assert_ptr_equal(f->w.vectors[3].iov_base, parts[0].iov_base);
	assert_ptr_equal(f->w.vectors[4].iov_base, parts[1].iov_base);
	/* What follows a reference goes on in the same chunk. */
	assert_ptr_equal(f->w.vectors[2].iov_base, (uint8_t *)f->w.vectors[0].iov_base + 2);
	ASSERT_WRITTEN(f, "\x01\x05zero\x02\x09onethree\x03");
}

static void a_writer_without_memory_counts(void **state)
{
	struct wire_writer counter = {0};
	const struct kafka_string text = kafka_string_of("text");
	const struct kafka_records records = {.data = (const uint8_t *)"r", .length = 1};

	wire_put_string(&counter, &text, true, true);
	wire_put_records(&counter, &records, false, true);
	assert_null(wire_reserve(&counter, 7));
	assert_int_equal(counter.bytes, 5 + 5 + 7);
	assert_int_equal(counter.error, 0);
	assert_int_equal(counter.vector_count, 0);
}

static void writing_stops_at_the_limit_of_memory(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i <= ARENA_BYTES_MAX / 8; i++)
		wire_put_i64(&f->w, 1);
	assert_int_equal(f->w.error, -ENOMEM);
	assert_true(f->arena.held <= ARENA_BYTES_MAX);
	assert_null(wire_reserve(&f->w, 1));
}

#define wire_unit_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		wire_unit_test(numbers_are_big_endian),
		wire_unit_test(an_error_stays_and_nothing_is_read_after_it),
		wire_unit_test(nothing_can_be_read_from_nothing),
		wire_unit_test(uvarints_of_up_to_five_bytes_are_read),
		wire_unit_test(uvarints_that_are_too_long_too_large_or_cut_are_refused),
		wire_unit_test(strings_are_views),
		wire_unit_test(null_is_read_only_where_it_is_allowed),
		wire_unit_test(lengths_below_null_or_past_the_end_are_refused),
		wire_unit_test(a_compact_string_above_32_kib_is_refused),
		wire_unit_test(a_string_that_is_not_utf8_is_refused),
		wire_unit_test(utf8_is_what_rfc_3629_says),
		wire_unit_test(arrays_are_counted),
		wire_unit_test(counts_are_bounded_by_the_bytes_left),
		wire_unit_test(counts_are_bounded_by_memory),
		wire_unit_test(more_than_a_million_elements_are_refused),
		wire_unit_test(tags_are_given_in_order_with_their_bytes),
		wire_unit_test(no_tag_is_given_after_an_error),
		wire_unit_test(a_tagged_field_is_read_to_its_end_and_not_past_it),
		wire_unit_test(presence_is_a_byte_only_where_null_is_allowed),
		wire_unit_test(what_is_written_is_read_back),
		wire_unit_test(null_is_written_only_where_it_is_allowed),
		wire_unit_test(presence_is_written_only_where_null_is_allowed),
		wire_unit_test(a_string_above_32_kib_is_not_written),
		wire_unit_test(records_are_referred_to_and_not_copied),
		wire_unit_test(a_writer_without_memory_counts),
		wire_unit_test(writing_stops_at_the_limit_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
