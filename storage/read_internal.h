/* storage/read_internal.h: what reads from the tail and from files share; log_read draws them. */
#pragma once
#include "storage/store_internal.h"

/* The reader is given nothing at or above it. */
int64_t read_limit(const struct log *log, const struct log_read *read);
/* May it have a batch of `size` bytes behind the `taken` that it has? */
static inline bool read_fits(const struct log_read *read, uint64_t taken, size_t size)
{
	return taken + size <= read->bytes_max || (taken == 0 && read->oversize_first);
}
/* The reader gets [at, at + length) of the buffer.  False: it would hold too much. */
bool read_add_reference(struct log_read *read, struct store *store, struct buffer *buffer,
			size_t at, size_t length);

/* What the tail has nothing of; read->done will run, or has. */
void read_file(struct log *log, struct log_read *read);
