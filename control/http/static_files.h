/* control/http/static_files.h: the console's files, which embed.py has put into the program. */
#pragma once
#include <stddef.h>

struct static_file {
	const char *path; /* "/index.html" */
	const char *content_type;
	const unsigned char *content;
	size_t bytes;
	const char *etag; /* of the content, quoted */
};

extern const struct static_file static_files[];
extern const size_t static_file_count;

/* Null: there is none.  "/" is "/index.html".  `path` is compared as it came, not decoded: there is
 * no file system behind it. */
const struct static_file *static_file_find(const char *path);
