/* The table of descriptors.  A number's place is never freed, only used again: a fiber that wakes
 * up on a descriptor that was closed finds it closed. */
#include "tests/sim/descriptors.h"

#include "base/check.h"
#include "tests/sim/calls_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { PROCESSES_MAX = 64 };

static struct descriptor **table;
static int table_count;
static unsigned limit;
static struct disk *the_disk;

/* Living processes that have made descriptors. */
static struct owner {
	struct process *process;
	unsigned open;
} owners[PROCESSES_MAX];

struct disk *sim_disk(void)
{
	return the_disk;
}

void sim_set_disk(struct disk *disk)
{
	the_disk = disk;
}

void descriptors_limit(unsigned count)
{
	limit = count;
}

static struct owner *owner_find(const struct process *process)
{
	for (unsigned i = 0; i < PROCESSES_MAX; i++) {
		if (owners[i].process == process)
			return &owners[i];
	}
	return NULL;
}

static void owner_died(void *context)
{
	struct owner *owner = owner_find(context);

	for (int i = 0; i < table_count; i++) {
		struct descriptor *descriptor = table[i];
		if (descriptor->kind == DESCRIPTOR_FREE || descriptor->owner != owner->process)
			continue;
		if (descriptor->kind == DESCRIPTOR_SOCKET) {
			socket_reset(descriptor->socket);
			descriptor->socket = NULL;
		}
		descriptor_close(descriptor->number);
	}
	*owner = (struct owner){0};
}

/* Null: no process, which owns without a limit and without an end. */
static struct owner *owner_of(struct process *process)
{
	struct owner *owner = owner_find(process);

	if (!process || owner)
		return process ? owner : NULL;
	owner = owner_find(NULL);
	check(owner);
	owner->process = process;
	process_on_death(process, owner_died, process);
	return owner;
}

static struct descriptor *free_place(void)
{
	for (int i = 0; i < table_count; i++) {
		if (table[i]->kind == DESCRIPTOR_FREE)
			return table[i];
	}
	table = realloc(table, ((size_t)table_count + 1) * sizeof(struct descriptor *));
	check(table);
	table[table_count] = calloc(1, sizeof(struct descriptor));
	check(table[table_count]);
	table[table_count]->number = DESCRIPTOR_FIRST + table_count;
	return table[table_count++];
}

struct descriptor *descriptor_new(enum descriptor_kind kind)
{
	struct owner *owner = owner_of(process_current());

	if (owner && limit && owner->open >= limit)
		return NULL;
	struct descriptor *descriptor = free_place();
	*descriptor = (struct descriptor){
		.kind = kind,
		.number = descriptor->number,
		.owner = process_current(),
		.waiting = descriptor->waiting,
	};
	if (owner)
		owner->open++;
	return descriptor;
}

struct descriptor *descriptor_get(int number)
{
	int at = number - DESCRIPTOR_FIRST;

	if (number < DESCRIPTOR_FIRST || at >= table_count || table[at]->kind == DESCRIPTOR_FREE)
		return NULL;
	return table[at];
}

int descriptor_close(int number)
{
	struct descriptor *descriptor = descriptor_get(number);

	if (!descriptor)
		return -EBADF;
	poll_closed(descriptor);
	if (descriptor->inode) {
		inode_unlock(descriptor->inode, descriptor);
		inode_put(the_disk, descriptor->inode);
	}
	if (descriptor->socket)
		socket_close(descriptor->socket);
	struct owner *owner = descriptor->owner ? owner_find(descriptor->owner) : NULL;
	if (owner)
		owner->open--;
	descriptor->kind = DESCRIPTOR_FREE;
	descriptor->inode = NULL;
	descriptor->socket = NULL;
	waiting_wake(&descriptor->waiting);
	return 0;
}

bool descriptor_readable(const struct descriptor *descriptor)
{
	return descriptor_events(descriptor) & EPOLLIN;
}

bool descriptor_writable(const struct descriptor *descriptor)
{
	return descriptor_events(descriptor) & EPOLLOUT;
}

void descriptor_changed(struct descriptor *descriptor)
{
	waiting_wake(&descriptor->waiting);
	poll_changed(descriptor);
}
