/* storage/compact_write.h: a compacted segment being written, beside those that it is made of.
 *
 * Phases: open -> add, add, ... -> seal -> commit; or discard, at any time.  Any one thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct batch;
struct log;
struct segment;

struct compact_writer {
	struct segment *segment; /* in no log yet; null: none is open */
	int fd;                  /* its file; -1: not open */
	uint8_t *buffer;         /* what is not written yet, from `position` on */
	size_t used;
	uint64_t position;
	int32_t leader_epoch; /* of the last batch that was added or left out, ever */
};

/* The file compact.new; `created_ms` is that of the first segment it stands for. */
int compact_writer_open(struct compact_writer *writer, struct log *log, int64_t base_offset,
			int64_t created_ms);
int compact_writer_add(struct compact_writer *writer, const void *data, const struct batch *batch);
/* It does not stay: what is added next, or the end, is behind it. */
void compact_writer_leave_out(struct compact_writer *writer, const struct batch *batch);
/* It ends before `next_offset`; all of it is durable then, under the name it has. */
int compact_writer_seal(struct compact_writer *writer, int64_t next_offset);
/* It takes the place of the first segment, but not yet durably. */
int compact_writer_commit(struct compact_writer *writer);
void compact_writer_discard(struct compact_writer *writer); /* none open is fine */
void compact_writer_fini(struct compact_writer *writer);    /* none is open any more */
