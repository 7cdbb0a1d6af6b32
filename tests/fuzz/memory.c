#include "tests/fuzz/memory.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif

/* gcc's sanitizer comes without the header in Debian. */
#if (__has_feature(address_sanitizer) || defined(__SANITIZE_ADDRESS__)) &&                         \
	__has_include(<sanitizer/allocator_interface.h>)
#include "base/check.h"

#include <sanitizer/allocator_interface.h>
#include <stdbool.h>

static bool installed;
static size_t held; /* what came before the watch and goes during it is not subtracted below 0 */
static size_t peak;

static void allocated(const volatile void *memory, size_t bytes)
{
	held += bytes;
	if (held > peak)
		peak = held;
}

static void freed(const volatile void *memory)
{
	size_t bytes = memory ? __sanitizer_get_allocated_size(memory) : 0;

	held -= bytes < held ? bytes : held;
}

void memory_watch(void)
{
	if (!installed)
		check(__sanitizer_install_malloc_and_free_hooks(allocated, freed) > 0);
	installed = true;
	held = peak = 0;
}

size_t memory_peak_bytes(void)
{
	return peak;
}
#else
void memory_watch(void)
{
}

size_t memory_peak_bytes(void)
{
	return 0;
}
#endif
