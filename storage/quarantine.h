/* storage/quarantine.h: what a log's files have lost: ranges of offsets whose records cannot be
 * read, and may not be passed over in silence.
 *
 * A reader inside a range is told (-ERR_CORRUPT), readers before and behind it go on, and the bytes
 * stay where they are until records are deleted beyond them.  The ranges are in the file
 * `quarantine` of the log's folder, durable before anything is changed for their sake; README.md
 * has the format.
 *
 * Owner: the log's. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum damage_kind {
	DAMAGE_BATCH,      /* framing or checksum of batches */
	DAMAGE_HEADER,     /* the segment's: whose records they are is not known */
	DAMAGE_MISSING,    /* no file has them */
	DAMAGE_UNREADABLE, /* the device says so; a start asks it again */
};

struct damage {
	int64_t from, to; /* offsets, [from, to) */
	/* Readers of committed records are told from here on: a transaction that begins here may
	 * have ended in the range.  At most `from`. */
	int64_t committed_from;
	int64_t segment;     /* base offset of the file that has them, or would have */
	uint64_t start, end; /* its bytes, [start, end); both 0: there are none */
	int64_t found_ms;    /* wall clock */
	enum damage_kind kind;
};

enum {
	QUARANTINE_RANGES_MAX = 1000, /* of a log; beyond, the nearest ones become one */
	QUARANTINE_LINE_BYTES = 160,
	QUARANTINE_FILE_BYTES = 64 + (QUARANTINE_RANGES_MAX + 1) * QUARANTINE_LINE_BYTES,
};

/* No log gets so far: a file that says so is none of ours. */
static const int64_t QUARANTINE_OFFSET_MAX = INT64_MAX / 2;

struct quarantine {
	struct damage *ranges; /* by offset, none in another */
	size_t count;
	size_t capacity;
	bool changed; /* since it was read or written */
};

void quarantine_fini(struct quarantine *quarantine); /* a zeroed one is fine */
/* Takes it up, joined with those that it meets.  1: something of it is new; 0; -ENOMEM. */
int quarantine_add(struct quarantine *quarantine, const struct damage *damage);
/* The log begins at `start` now: what lies before is nobody's loss any more. */
void quarantine_trim(struct quarantine *quarantine, int64_t start);
/* It is a loss no more. */
void quarantine_remove(struct quarantine *quarantine, size_t range);
/* Readers of committed records are told from `committed_from` on, for the sake of this range. */
void quarantine_bar_committed(struct quarantine *quarantine, size_t range, int64_t committed_from);
/* The range whose bytes begin at `position` of the segment, or null. */
const struct damage *quarantine_at(const struct quarantine *quarantine, int64_t segment,
				   uint64_t position);
/* What a reader at `offset` may read up to: INT64_MAX: there is nothing in its way; `offset` or
 * less: nothing, it is told. */
int64_t quarantine_limit(const struct quarantine *quarantine, int64_t offset, bool committed);
bool quarantine_ends_at(const struct quarantine *quarantine, int64_t offset);
int64_t quarantine_offsets(const struct quarantine *quarantine); /* how many */
const char *damage_text(enum damage_kind kind);

/* The file: returns its length; `text` has QUARANTINE_FILE_BYTES. */
size_t quarantine_format(const struct quarantine *quarantine, char *text);
/* Replaces what there is.  -ERR_CORRUPT, -ERR_FORMAT (a newer version), -ENOMEM: it is empty then.
 */
int quarantine_parse(struct quarantine *ret, const char *text, size_t length);
