/* base/crc32c.h: CRC-32C (Castagnoli), the checksum of Kafka record batches. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* CRC of `length` bytes, in the form that is stored (initial value and final xor done).  Any
 * thread.  Pass the CRC of the bytes before as `crc` to continue, 0 to begin. */
uint32_t crc32c(uint32_t crc, const void *data, size_t length);
