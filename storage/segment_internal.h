/* storage/segment_internal.h: what the files about one segment share: its names and layouts, which
 * README.md has byte by byte.
 *
 *     segment.c        the file, made and given up; its index in memory
 *     segment_index.c  the index as a file
 *     segment_load.c   what a file that is found holds; segment_scan.h reads it
 *     compact_write.c  a compacted one, made of others */
#pragma once
#include <stddef.h>

#include "storage/store_internal.h"

enum {
	SEGMENT_FORMAT_VERSION = 1, /* of the index too */
	SEGMENT_GAPS_VERSION = 2,   /* compacted, as it was made once: offsets have gaps */
	SEGMENT_COMPACTED_VERSION = 3,
	SEGMENT_NAME_BYTES = 32,
};

struct segment_header {
	char magic[8];
	uint32_t version;
	int32_t partition;
	struct uuid topic_id;
	int64_t base_offset;
	int64_t created_ms;
	uint64_t id;
	uint64_t checksum; /* XXH3 of the bytes before */
};
_Static_assert(sizeof(struct segment_header) == 64, "segment header layout");

/* What follows in the header of a compacted segment: it is written as a whole and never changes. */
struct segment_extent {
	int64_t next_offset; /* it stands for all offsets below, from its base offset on */
	uint64_t end;        /* byte after the last batch */
	uint64_t checksum;   /* XXH3 of the header and of the bytes before */
};
_Static_assert(sizeof(struct segment_extent) == 24, "segment extent layout");

struct index_header {
	char magic[8];
	uint32_t version;
	uint32_t entry_count;
	uint64_t segment_id;
	int64_t next_offset;
	uint64_t end;
	int64_t max_ms;
	uint32_t epoch_count;
	uint32_t content;  /* enum index_content */
	uint64_t checksum; /* XXH3 of the header before it, of the entries and of the epochs */
};
_Static_assert(sizeof(struct index_header) == 64, "index header layout");
_Static_assert(sizeof(struct index_entry) == 24, "index entry layout");

_Static_assert(sizeof(struct epoch_start) == 16, "index epoch layout");

/* What need not be looked for in the segment. */
enum index_content {
	CONTENT_ANY = 0,
	CONTENT_NO_PRODUCERS = 1, /* no batch has a producer id */
};

extern const char segment_magic[8];

void segment_name(char name[static SEGMENT_NAME_BYTES], int64_t base_offset, const char *ending);
struct segment *segment_new(struct log *log, int64_t base_offset); /* no file yet; null */
/* Direct I/O where that is wanted and possible.  A descriptor, -errno.  On any thread. */
int segment_open_file(const struct log *log, const char *name, int flags);
/* The segment's own file, to stay open for as long as there is room.  0; -ESTALE: that name is
 * another file's now; -errno. */
int segment_open(struct segment *segment, int flags);
int segment_keep_open(struct segment *segment, int fd); /* takes `fd` over; likewise */
/* No append follows, and the index file has it all: it is in memory for as long as there is room.
 */
void segment_index_may_go(struct segment *segment);
/* Header of a new segment, SEGMENT_HEADER_BYTES; it gets an id, and is made now. */
void segment_new_header(struct segment *segment, uint8_t *block);
/* Gives the segment its identity, durably. */
int segment_write_header(struct segment *segment);
/* The header of a compacted segment that is whole, SEGMENT_HEADER_BYTES; it gets an id. */
void segment_compacted_header(struct segment *segment, uint8_t *block);
/* What the index file says of all that is durable; null: no memory.  To be freed. */
struct index_header *segment_build_index(const struct segment *segment);
/* Any thread; `new_name` is what it is written as before it is renamed. */
int segment_write_index(const struct log *log, int64_t base_offset, const struct index_header *file,
			const char *new_name);
/* The index file, whole and of this segment, or of one of this name; null: none.  To be freed. */
struct index_header *segment_read_index(const struct segment *segment, bool of_any_id);
