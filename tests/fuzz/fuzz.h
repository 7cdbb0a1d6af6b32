/* tests/fuzz/fuzz.h: what a fuzz target is: one function that must survive any bytes.
 *
 * With the option `fuzz` libFuzzer calls it; without, replay.c does, with the seeds and the inputs
 * that once crashed. */
#pragma once
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
