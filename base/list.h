/* base/list.h: intrusive doubly linked list with a head node; no allocation.
 *
 * A node in no list points at itself (list_init) or is all zero. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *prev;
};

static inline void list_init(struct list *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_push_back(struct list *head, struct list *node)
{
	node->prev = head->prev;
	node->next = head;
	/* A head that was initialised is never null; clang-tidy cannot know. */
	head->prev->next = node; /* NOLINT(clang-analyzer-core.NullDereference) */
	head->prev = node;
}

static inline void list_push_front(struct list *head, struct list *node)
{
	node->next = head->next;
	node->prev = head;
	head->next->prev = node;
	head->next = node;
}

/* Harmless on a node that is in no list. */
static inline void list_remove(struct list *node)
{
	if (!node->next)
		return;
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

static inline bool list_linked(const struct list *node)
{
	return node->next && node->next != node;
}

/* Null when empty. */
static inline struct list *list_pop_front(struct list *head)
{
	struct list *node = head->next;

	if (node == head)
		return NULL;
	/* Freed by the caller or not, it is in the list no more: clang-tidy loses track of that. */
	list_remove(node); /* NOLINT(clang-analyzer-unix.Malloc) */
	return node;
}

/* Everything of `from` behind what is in `to`. */
static inline void list_move_all(struct list *to, struct list *from)
{
	struct list *node;

	while ((node = list_pop_front(from)))
		list_push_back(to, node);
}

#define list_foreach(node, head)                                                                   \
	for (struct list *node = (head)->next; node != (head); node = node->next)
/* The body may remove `node`. */
#define list_foreach_safe(node, after, head)                                                       \
	for (struct list *node = (head)->next, *after = node->next; node != (head);                \
	     node = after, after = node->next)
