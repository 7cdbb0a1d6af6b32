/* base/folder_reader.h: the names in a folder, one after the other, where reading may fail.
 *
 * readdir() ends alike where there is nothing more and where the folder could not be read, and who
 * takes the second for the first misses files.  Here the two are told apart by the close.
 *
 *	folder_reader_open(&reader, fd);
 *	while ((name = folder_reader_next(&reader)))
 *		...
 *	rc = folder_reader_close(&reader);
 *
 * Owner: one thread. */
#pragma once
#include <dirent.h>

struct folder_reader {
	DIR *dir; /* null: could not be opened */
	int rc;   /* what failed first; who reads may set it, and is told no more names */
};

/* Takes over `fd`, a folder's; a negative one is -errno of its opening, and stays the result. */
void folder_reader_open(struct folder_reader *reader, int fd);
/* Holds until the next call; "." and ".." are names too.  Null: no more, or a failure. */
const char *folder_reader_next(struct folder_reader *reader);
/* 0 when all names that were asked for have been told, else reader->rc.  Closes `fd`. */
int folder_reader_close(struct folder_reader *reader);
