/* storage/dedup_files_internal.h: what dedup_files.c and dedup_recover.c share. */
#pragma once
#include "storage/dedup_files.h"

enum { DEDUP_HELD_ID_BYTES = 38 }; /* of the table, an id, at most but for small tables */

struct dedup_found {
	int64_t from;
	int64_t to;
	uint64_t count; /* by the file's size */
};

struct dedup_listing {
	struct dedup_found *files; /* to free */
	size_t count;
};

/* By offset. */
int dedup_files_list(const struct log *log, struct dedup_listing *ret);
void dedup_files_unlink(const struct log *log, int64_t from, int64_t to);
void dedup_files_drop_anchor(struct log *log);
/* The fingerprint of what makes an id. */
uint64_t dedup_files_config(const struct log *log);
int dedup_files_make_spill(const struct dedup_file_head *head, const struct dedup_entry *entries,
			   struct dedup_spill *ret);
