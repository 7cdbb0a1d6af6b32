/* The region: two sizes that do not starve each other, references, reuse. */
#include "base/bytes.h"
#include "base/check.h"
#include "storage/buffer.h"
#include "storage/log.h"
#include "tests/storage/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static struct store_region *region;
static struct io_backend *io;

static int setup(void **state)
{
	(void)state;
	io = sim_new(1);
	return store_region_new(&region, 16 << 20);
}

static int teardown(void **state)
{
	(void)state;
	store_region_free(region);
	io_free(io);
	return 0;
}

static unsigned take_all(bool large, struct list *taken)
{
	unsigned count = 0;
	struct buffer *buffer;

	while ((buffer = buffer_take(region, io, large))) {
		assert_int_equal((uintptr_t)buffer->data % 4096, 0);
		assert_int_equal(buffer->capacity, large ? BUFFER_LARGE_BYTES : BUFFER_SMALL_BYTES);
		assert_int_equal(buffer->references, 1);
		memset(buffer->data, 0x5a, buffer->capacity);
		list_push_back(taken, &buffer->link);
		count++;
	}
	return count;
}

static void give_all(struct list *taken)
{
	struct list *node;

	while ((node = list_pop_front(taken)))
		buffer_release(region, container_of(node, struct buffer, link));
}

static void neither_size_starves_the_other(void **state)
{
	struct list small;
	struct list large;

	(void)state;
	list_init(&small);
	list_init(&large);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(take_all(true, &large), (12 << 20) / BUFFER_LARGE_BYTES);
		assert_int_equal(take_all(false, &small), (4 << 20) / BUFFER_SMALL_BYTES);
		assert_int_equal(buffer_region_used(region), 16 << 20);
		give_all(&large);
		assert_null(buffer_take(region, io, false));
		give_all(&small);
		assert_int_equal(buffer_region_used(region), 0);
	}
}

static void a_buffer_lives_as_long_as_its_references(void **state)
{
	(void)state;
	struct buffer *buffer = buffer_take(region, io, false);
	assert_non_null(buffer);
	uint8_t *data = buffer->data;
	list_push_back(buffer_ages(region), &buffer->age);
	buffer_acquire(buffer);
	buffer_release(region, buffer);
	struct buffer *other = buffer_take(region, io, false);
	assert_ptr_not_equal(other->data, data);
	buffer_release(region, other);
	buffer_release(region, buffer);
	assert_true(list_empty(buffer_ages(region)));
	other = buffer_take(region, io, false);
	assert_ptr_equal(other->data, data);
	/* Nothing of its earlier life. */
	assert_int_equal(other->used, 0);
	assert_int_equal(other->first_offset, -1);
	buffer_release(region, other);
	buffer_release(region, NULL);
}

static void heap_buffers_are_outside_the_region(void **state)
{
	(void)state;
	struct buffer *buffer = buffer_heap(region, 8192);
	assert_non_null(buffer);
	assert_int_equal((uintptr_t)buffer->data % 4096, 0);
	memset(buffer->data, 1, 8192);
	assert_int_equal(buffer_region_used(region), 0);
	buffer_acquire(buffer);
	buffer_release(region, buffer);
	buffer_release(region, buffer);
}

static void a_small_budget_still_has_both_sizes(void **state)
{
	struct store_region *tiny;
	struct io_options options = {0};

	(void)state;
	assert_int_equal(store_region_new(&tiny, 1), 0);
	store_region_options(tiny, &options);
	assert_non_null(options.region);
	assert_int_equal(options.region_bytes % options.slab_bytes, 0);
	struct buffer *small = buffer_take(tiny, io, false);
	struct buffer *large = buffer_take(tiny, io, true);
	assert_non_null(small);
	assert_non_null(large);
	assert_true(buffer_batch_bytes_max(tiny) >= 1 << 20);
	buffer_release(tiny, small);
	buffer_release(tiny, large);
	store_region_free(tiny);
	store_region_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(neither_size_starves_the_other, setup, teardown),
		cmocka_unit_test_setup_teardown(a_buffer_lives_as_long_as_its_references, setup,
						teardown),
		cmocka_unit_test_setup_teardown(heap_buffers_are_outside_the_region, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_small_budget_still_has_both_sizes, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
