/* storage/dedup_file.h: the ids of one bucket of a dedup window in a file, sorted.  README.md has
 * the bytes.
 *
 * A file is written once, beside its name, flushed and renamed; then it is only read.  Calls block;
 * any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/dedup_filter.h"

enum { DEDUP_FILE_NAME_BYTES = 64 };

/* Of which batches, and how old. */
struct dedup_file_head {
	int64_t from; /* offsets of the batches: [from, to) */
	int64_t to;
	uint64_t count;   /* of ids */
	uint64_t config;  /* fingerprint of what makes an id */
	uint64_t boot;    /* of the machine, which the monotonic times belong to; 0: not known */
	uint64_t last_ns; /* monotonic: when the last id came */
	uint64_t complete_ns; /* likewise: nothing that came later had been forgotten early */
	int64_t last_ms;      /* largest timestamp of the log with the last id; -1: none */
};

/* Sorts by id; of two that are the same the one of the larger offset stays.  Returns how many
 * stay. */
size_t dedup_entries_sort(struct dedup_entry *entries, size_t count);

void dedup_file_name(char name[static DEDUP_FILE_NAME_BYTES], int64_t from, int64_t to);
bool dedup_file_is_name(const char *name, int64_t *ret_from, int64_t *ret_to);

/* `entries` are sorted, head->count of them.  It is on the disk when this returns 0.  -errno. */
int dedup_file_write(int dir_fd, const struct dedup_file_head *head,
		     const struct dedup_entry *entries);
/* The file of that name, found good; *ret_entries is to be freed.  -ERR_CORRUPT, -ERR_FORMAT (a
 * newer version), -ENOMEM, -errno. */
int dedup_file_read(int dir_fd, int64_t from, int64_t to, struct dedup_file_head *ret_head,
		    struct dedup_entry **ret_entries);
/* Likewise of bytes; *ret_entries points into them. */
int dedup_file_parse(const void *data, size_t size, struct dedup_file_head *ret_head,
		     const struct dedup_entry **ret_entries);

/* A descriptor to look for ids in; or -errno. */
int dedup_file_open(int dir_fd, int64_t from, int64_t to);
/* The id's offset among the file's `count`, -1: it is not there, below: -errno. */
int64_t dedup_file_find(int fd, uint64_t count, const struct dedup_id *id);
uint64_t dedup_file_bytes(uint64_t count);
