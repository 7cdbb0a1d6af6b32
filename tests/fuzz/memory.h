/* tests/fuzz/memory.h: how much memory a call holds at once.  AddressSanitizer counts; where it is
 * not, nothing is known. */
#pragma once
#include <stddef.h>

void memory_watch(void); /* from here on */
/* The most that was held at one time beyond what was there when the watch began; 0: not known. */
size_t memory_peak_bytes(void);
