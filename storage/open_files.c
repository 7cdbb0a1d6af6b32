#include "storage/open_files.h"

#include "base/bytes.h"
#include "base/check.h"

#include <unistd.h>

/* Of those unused for longest: when they are all busy, so is most of what follows. */
enum { LOOKED_AT_MAX = 64 };

void open_files_init(struct open_files *files, unsigned count_max, size_t bytes_max)
{
	check(count_max >= OPEN_FILES_KEPT);
	*files = (struct open_files){.count_max = count_max, .bytes_max = bytes_max};
	list_init(&files->open);
}

void open_file_init(struct open_file *file, const struct open_file_kind *kind)
{
	*file = (struct open_file){.kind = kind, .fd = -1};
	list_init(&file->link);
}

void open_file_close(struct open_files *files, struct open_file *file)
{
	if (file->fd < 0)
		return;
	list_remove(&file->link);
	files->count--;
	files->bytes -= file->bytes;
	close(file->fd);
	file->bytes = 0;
	file->fd = -1;
}

bool open_files_spare(struct open_files *files)
{
	unsigned most = files->count > OPEN_FILES_KEPT ? files->count - OPEN_FILES_KEPT : 0;

	if (most > LOOKED_AT_MAX)
		most = LOOKED_AT_MAX;
	for (struct list *node = files->open.next; most--; node = node->next) {
		struct open_file *file = container_of(node, struct open_file, link);
		const struct open_file_kind *kind = file->kind;
		if (kind->busy && kind->busy(file))
			continue;
		if (kind->closing)
			kind->closing(file);
		open_file_close(files, file);
		return true;
	}
	return false;
}

void open_files_make_room(struct open_files *files)
{
	while (files->count >= files->count_max && open_files_spare(files))
		;
}

void open_file_keep(struct open_files *files, struct open_file *file, int fd)
{
	check(file->fd < 0 && fd >= 0);
	file->fd = fd;
	files->count++;
	list_push_back(&files->open, &file->link);
}

int open_file_use(struct open_files *files, struct open_file *file)
{
	if (file->fd >= 0 && files->open.prev != &file->link) {
		list_remove(&file->link);
		list_push_back(&files->open, &file->link);
	}
	return file->fd;
}

void open_file_charge(struct open_files *files, struct open_file *file, size_t bytes)
{
	check(file->fd >= 0);
	files->bytes += bytes - file->bytes;
	file->bytes = bytes;
	while (files->bytes > files->bytes_max && open_files_spare(files))
		;
}
