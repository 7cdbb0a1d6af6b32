/* control/journal.h: an append-only file of small records, each durable when its append returns.
 *
 *     header  8 bytes magic "SLUICEjl", u32 version, u32 zero           (integers little-endian)
 *     record  u32 length, u32 zero, u64 XXH3-64 of the payload, payload; no padding
 *
 * A record that was being written when the machine stopped is cut at the next opening; a bad record
 * with a good one behind it is damage, and refused.  Owner: one thread; calls block on the disk. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { JOURNAL_RECORD_BYTES_MAX = 4 << 20 };

struct journal;

/* Opens or creates `name` in `dir_fd` (which the journal borrows), and calls `replay` for each
 * record in order; a negative return of `replay` ends the opening with that code.
 * -ERR_CORRUPT, -ERR_FORMAT, -errno; `why` gets the sentence for the operator. */
int journal_open(struct journal **ret, int dir_fd, const char *name,
		 int (*replay)(void *context, const void *payload, size_t length), void *context,
		 char *why, size_t why_bytes);
void journal_close(struct journal *journal); /* null is fine */
/* -errno: nothing was appended.  -ERR_STORAGE: it is not known, or an earlier append ended so; no
 * append is accepted until the journal is opened anew. */
int journal_append(struct journal *journal, const void *payload, size_t length);
uint64_t journal_bytes(const struct journal *journal);

/* Replaces the whole content: `fill` appends the records to the new file, which is then swapped in.
 * On failure the old content stays. */
int journal_rewrite(struct journal *journal, int (*fill)(void *context, struct journal *fresh),
		    void *context);
