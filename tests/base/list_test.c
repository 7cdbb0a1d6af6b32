#include "base/list.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct item {
	int number;
	struct list link;
};

static void assert_numbers(const struct list *head, const char *expected)
{
	const struct list *before = head;

	list_foreach(node, head) {
		assert_int_equal('0' + container_of(node, struct item, link)->number, *expected++);
		assert_ptr_equal(node->prev, before);
		before = node;
	}
	assert_int_equal(*expected, 0);
	assert_ptr_equal(head->prev, before);
}

static void nodes_keep_their_order(void **state)
{
	struct item items[5] = {
		{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
	struct list head;
	struct list other;

	(void)state;
	list_init(&head);
	list_init(&other);
	assert_true(list_empty(&head));
	assert_null(list_pop_front(&head));
	for (int i = 0; i < 5; i++)
		list_push_back(&head, &items[i].link);
	assert_numbers(&head, "01234");
	list_remove(&items[2].link);
	assert_false(list_linked(&items[2].link));
	assert_true(list_linked(&items[3].link));
	assert_numbers(&head, "0134");
	list_push_front(&head, &items[2].link);
	assert_numbers(&head, "20134");
	assert_ptr_equal(list_pop_front(&head), &items[2].link);
	list_push_back(&other, &items[2].link);
	list_move_all(&other, &head);
	assert_true(list_empty(&head));
	assert_numbers(&other, "20134");
	list_move_all(&other, &head);
	assert_numbers(&other, "20134");
}

static void removing_what_is_in_no_list_is_harmless(void **state)
{
	struct item zero = {0};
	struct item made;

	(void)state;
	list_remove(&zero.link);
	assert_false(list_linked(&zero.link));
	list_init(&made.link);
	list_remove(&made.link);
	list_remove(&made.link);
	assert_false(list_linked(&made.link));
}

static void the_safe_walk_allows_removal(void **state)
{
	struct item items[6] = {{.number = 0}, {.number = 1}, {.number = 2},
				{.number = 3}, {.number = 4}, {.number = 5}};
	struct list head;

	(void)state;
	list_init(&head);
	for (int i = 0; i < 6; i++)
		list_push_back(&head, &items[i].link);
	list_foreach_safe(node, after, &head) {
		if (container_of(node, struct item, link)->number % 2)
			list_remove(node);
	}
	assert_numbers(&head, "024");
	list_foreach_safe(node, after, &head)
		list_remove(node);
	assert_true(list_empty(&head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_keep_their_order),
		cmocka_unit_test(removing_what_is_in_no_list_is_harmless),
		cmocka_unit_test(the_safe_walk_allows_removal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
