#include "base/folder_reader.h"

#include <errno.h>
#include <unistd.h>

void folder_reader_open(struct folder_reader *reader, int fd)
{
	*reader = (struct folder_reader){.rc = fd < 0 ? fd : 0};
	if (fd < 0)
		return;
	reader->dir = fdopendir(fd);
	if (reader->dir)
		return;
	reader->rc = -errno;
	close(fd);
}

const char *folder_reader_next(struct folder_reader *reader)
{
	if (reader->rc < 0)
		return NULL;
	errno = 0;
	const struct dirent *entry = readdir(reader->dir);
	if (!entry)
		reader->rc = -errno;
	return entry ? entry->d_name : NULL;
}

int folder_reader_close(struct folder_reader *reader)
{
	if (reader->dir)
		closedir(reader->dir);
	reader->dir = NULL;
	return reader->rc;
}
