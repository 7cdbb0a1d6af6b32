/* Memory that a process of the simulated world maps goes when it dies; its heap stays, as that of
 * all is one. */
#include "base/check.h"
#include "tests/sim/schedule.h"

#include <stdlib.h>
#include <sys/mman.h>

/* The linker's names (--wrap) have no header. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

struct mapping {
	struct mapping *next;
	struct process *owner;
	void *memory;
	size_t bytes;
};

static struct mapping *mappings;

void *__real_mmap64(void *wish, size_t bytes, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *memory, size_t bytes);

static void forget(struct mapping **at)
{
	struct mapping *mapping = *at;

	*at = mapping->next;
	free(mapping);
}

static void unmap_all_of(void *process)
{
	for (struct mapping **at = &mappings; *at;) {
		if ((*at)->owner != process) {
			at = &(*at)->next;
			continue;
		}
		check(__real_munmap((*at)->memory, (*at)->bytes) == 0);
		forget(at);
	}
}

static bool is_known(const struct process *process)
{
	const struct mapping *mapping = mappings;

	while (mapping && mapping->owner != process)
		mapping = mapping->next;
	return mapping != NULL;
}

/* The stacks of fibers are the schedule's. */
static void remember(struct process *process, void *memory, size_t bytes)
{
	struct mapping *mapping = malloc(sizeof(*mapping));

	check(mapping);
	if (!is_known(process))
		process_on_death(process, unmap_all_of, process);
	*mapping = (struct mapping){mappings, process, memory, bytes};
	mappings = mapping;
}

void *__wrap_mmap64(void *wish, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	void *memory = __real_mmap64(wish, bytes, protection, flags, fd, offset);

	if (process_current() && memory != MAP_FAILED && !(flags & MAP_STACK))
		remember(process_current(), memory, bytes);
	return memory;
}

int __wrap_munmap(void *memory, size_t bytes)
{
	for (struct mapping **at = &mappings; *at; at = &(*at)->next) {
		if ((*at)->memory == memory) {
			forget(at);
			break;
		}
	}
	return __real_munmap(memory, bytes);
}
