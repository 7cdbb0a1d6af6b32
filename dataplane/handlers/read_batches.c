#include "dataplane/handlers/read_batches.h"

#include "base/check.h"

#include <errno.h>
#include <string.h>

/* `size` bytes at `at`. */
static void copy_out(const struct log_read *read, size_t at, void *to, size_t size)
{
	uint8_t *into = to;

	for (unsigned i = 0; i < read->vector_count && size; i++) {
		const struct iovec *vector = &read->vectors[i];
		if (at >= vector->iov_len) {
			at -= vector->iov_len;
			continue;
		}
		size_t here = vector->iov_len - at < size ? vector->iov_len - at : size;
		memcpy(into, (const uint8_t *)vector->iov_base + at, here);
		into += here;
		size -= here;
		at = 0;
	}
	check(!size);
}

bool read_batch_at(const struct log_read *read, size_t at, struct batch *ret)
{
	uint8_t header[BATCH_HEADER_BYTES];

	if (read->bytes - at < sizeof(header))
		return false;
	copy_out(read, at, header, sizeof(header));
	int rc = batch_parse(ret, header, sizeof(header));
	return rc == 0 || rc == -EMSGSIZE;
}

int64_t read_last_offset(const struct log_read *read)
{
	struct batch batch;
	int64_t last = -1;

	for (size_t at = 0; read_batch_at(read, at, &batch); at += batch.size)
		last = batch_last_offset(&batch);
	return last;
}
