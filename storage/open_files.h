/* storage/open_files.h: files that stay open for as long as there is room for them.
 *
 * The logs of a store have more files than a process may have open at a time.  Each that is kept
 * open between two uses is a `struct open_file`, closed or open, in the order of last use.  When
 * another is to be opened and the budget is used up, the one unused for longest is closed, but none
 * that is busy, nor one of the last few that were used: their numbers are in somebody's hands.
 * When that leaves none the budget is exceeded.
 *
 * Owner: one shard.  A number holds until the shard has used OPEN_FILES_KEPT others, or for as
 * long as `busy` says so. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/list.h"

enum { OPEN_FILES_KEPT = 8 };

struct open_file;

struct open_file_kind {
	/* It has to stay open: something is under way.  Null: never. */
	bool (*busy)(struct open_file *file);
	/* Just before it is closed to make room: what is held for it only can go.  Null: nothing.
	 */
	void (*closing)(struct open_file *file);
};

struct open_file {
	struct list link; /* open_files.open */
	const struct open_file_kind *kind;
	int fd;       /* -1: closed */
	size_t bytes; /* of memory that goes with it */
};

struct open_files {
	struct list open; /* least recently used first */
	unsigned count, count_max;
	size_t bytes, bytes_max; /* of memory held for open files */
};

/* `count_max` is at least OPEN_FILES_KEPT. */
void open_files_init(struct open_files *files, unsigned count_max, size_t bytes_max);
void open_file_init(struct open_file *file, const struct open_file_kind *kind);

/* For another to be opened. */
void open_files_make_room(struct open_files *files);
/* Closes the one unused for longest, as when the process has none left.  False: none can be. */
bool open_files_spare(struct open_files *files);
/* `fd` is the file's from now on. */
void open_file_keep(struct open_files *files, struct open_file *file, int fd);
/* The number of an open one, -1 of a closed one; it is the last used now. */
int open_file_use(struct open_files *files, struct open_file *file);
/* So much memory is held for it, which is open; others are closed where that is too much. */
void open_file_charge(struct open_files *files, struct open_file *file, size_t bytes);
/* A closed one is fine. */
void open_file_close(struct open_files *files, struct open_file *file);
