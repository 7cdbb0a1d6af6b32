/* Folders: names as seen and as durable, and the paths through them.
 *
 * A change of names is seen at once and goes into its folder's list of changes.  A flush of the
 * folder takes those from the front that had been made when it began; a power cut takes some from
 * the front, as a journal would. */
#include "tests/sim/disk_internal.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- a set of names ---- */

static struct entry *find_name(const struct names *names, const char *name)
{
	for (unsigned i = 0; i < names->count; i++) {
		if (strcmp(names->entries[i].name, name) == 0)
			return &names->entries[i];
	}
	return NULL;
}

static void remove_name(struct disk *disk, struct names *names, const char *name)
{
	struct entry *entry = find_name(names, name);

	if (!entry)
		return;
	struct entry gone = *entry;
	*entry = names->entries[--names->count];
	free(gone.name);
	inode_put(disk, gone.inode);
}

/* At a place that is drawn: nothing may rest on the order of a folder. */
static void add_name(struct disk *disk, struct names *names, const char *name, struct inode *inode)
{
	inode_hold(inode);
	remove_name(disk, names, name);
	if (names->count == names->capacity) {
		names->capacity = names->capacity ? names->capacity * 2 : 4;
		names->entries = realloc(names->entries, names->capacity * sizeof(struct entry));
		check(names->entries);
	}
	unsigned at = (unsigned)random_below(&disk->random, names->count + 1);
	names->entries[names->count] = names->entries[at];
	names->entries[at] = (struct entry){.name = strdup(name), .inode = inode};
	names->count++;
}

static void clear_names(struct disk *disk, struct names *names)
{
	while (names->count)
		remove_name(disk, names, names->entries[names->count - 1].name);
}

/* ---- changes ---- */

static void free_change(struct disk *disk, struct name_change *change)
{
	free(change->removed);
	free(change->added);
	if (change->inode)
		inode_put(disk, change->inode);
}

static void apply(struct disk *disk, struct names *names, const struct name_change *change)
{
	if (change->removed)
		remove_name(disk, names, change->removed);
	if (change->added)
		add_name(disk, names, change->added, change->inode);
}

static void set_place(struct inode *inode, struct inode *folder, const char *name)
{
	free(inode->name);
	inode->name = name ? strdup(name) : NULL;
	inode->parent = name ? folder : NULL;
}

/* `inode`: what `added` is to name. */
static void change_names(struct disk *disk, struct inode *folder, const char *removed,
			 const char *added, struct inode *inode)
{
	if (folder->change_count == folder->change_capacity) {
		folder->change_capacity = folder->change_capacity ? folder->change_capacity * 2 : 4;
		folder->changes = realloc(folder->changes,
					  folder->change_capacity * sizeof(struct name_change));
		check(folder->changes);
	}
	struct name_change *change = &folder->changes[folder->change_count++];
	*change = (struct name_change){
		.removed = removed ? strdup(removed) : NULL,
		.added = added ? strdup(added) : NULL,
		.inode = inode,
	};
	if (inode)
		inode_hold(inode);
	inode_unsure(disk, folder);
	const struct entry *replaced = find_name(&folder->seen, added ? added : removed);
	if (replaced && replaced->inode != inode)
		set_place(replaced->inode, NULL, NULL);
	apply(disk, &folder->seen, change);
	if (inode)
		set_place(inode, folder, added);
}

void names_commit(struct disk *disk, struct inode *folder, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		apply(disk, &folder->durable, &folder->changes[i]);
		free_change(disk, &folder->changes[i]);
	}
	folder->change_count -= count;
	folder->changes_before += count;
	memmove(folder->changes, folder->changes + count,
		folder->change_count * sizeof(struct name_change));
}

void names_power_cut(struct disk *disk, struct inode *folder)
{
	unsigned kept = (unsigned)random_below(&disk->random, folder->change_count + 1);

	/* All, or nothing, more often than their share. */
	if (random_below(&disk->random, 2))
		kept = random_below(&disk->random, 2) ? folder->change_count : 0;
	names_commit(disk, folder, kept);
	for (unsigned i = 0; i < folder->change_count; i++)
		free_change(disk, &folder->changes[i]);
	folder->changes_before += folder->change_count;
	folder->change_count = 0;
	/* What comes back may still be on its way out below: names first, then places. */
	struct names seen = folder->seen;
	folder->seen = (struct names){0};
	for (unsigned i = 0; i < folder->durable.count; i++) {
		const struct entry *entry = &folder->durable.entries[i];
		add_name(disk, &folder->seen, entry->name, entry->inode);
	}
	for (unsigned i = 0; i < seen.count; i++)
		set_place(seen.entries[i].inode, NULL, NULL);
	clear_names(disk, &seen);
	free(seen.entries);
	for (unsigned i = 0; i < folder->seen.count; i++)
		set_place(folder->seen.entries[i].inode, folder, folder->seen.entries[i].name);
}

void names_fini(struct disk *disk, struct inode *folder)
{
	for (unsigned i = 0; i < folder->change_count; i++)
		free_change(disk, &folder->changes[i]);
	free(folder->changes);
	for (unsigned i = 0; i < folder->seen.count; i++)
		set_place(folder->seen.entries[i].inode, NULL, NULL);
	clear_names(disk, &folder->seen);
	clear_names(disk, &folder->durable);
	free(folder->seen.entries);
	free(folder->durable.entries);
}

const char *inode_name_at(const struct inode *folder, unsigned index)
{
	return index < folder->seen.count ? folder->seen.entries[index].name : NULL;
}

/* ---- paths ---- */

/* The folder of the last name of a path, and that name; "." is the folder itself. */
static int walk(struct inode *folder, const char *path, struct inode **ret_folder,
		char ret_name[NAME_MAX + 1])
{
	memcpy(ret_name, ".", 2);
	for (;;) {
		path += strspn(path, "/");
		size_t length = strcspn(path, "/");
		if (!length)
			break;
		if (length > NAME_MAX)
			return -ENAMETOOLONG;
		if (strcmp(ret_name, ".") != 0) {
			const struct entry *entry = find_name(&folder->seen, ret_name);
			if (!entry)
				return -ENOENT;
			folder = entry->inode;
		}
		if (!folder->is_folder)
			return -ENOTDIR;
		memcpy(ret_name, path, length);
		ret_name[length] = '\0';
		path += length;
	}
	*ret_folder = folder;
	return strcmp(ret_name, "..") == 0 ? -EINVAL : 0;
}

static int open_found(struct disk *disk, struct inode *inode, int flags)
{
	if ((flags & O_DIRECTORY) && !inode->is_folder)
		return -ENOTDIR;
	if ((flags & O_ACCMODE) != O_RDONLY && inode->is_folder)
		return -EISDIR;
	if ((flags & O_TRUNC) && !inode->is_folder)
		return inode_truncate(disk, inode, 0);
	return 0;
}

int disk_open(struct disk *disk, struct inode *folder, const char *path, int flags,
	      struct inode **ret)
{
	char name[NAME_MAX + 1];
	int rc = walk(folder, path, &folder, name);

	if (rc < 0)
		return rc;
	struct inode *inode = folder;
	if (strcmp(name, ".") != 0) {
		const struct entry *entry = find_name(&folder->seen, name);
		inode = entry ? entry->inode : NULL;
	}
	if (inode && (flags & O_CREAT) && (flags & O_EXCL))
		return -EEXIST;
	if (inode) {
		rc = open_found(disk, inode, flags);
		if (rc == 0)
			inode_hold(inode);
	} else if (!(flags & O_CREAT)) {
		return -ENOENT;
	} else if (random_chance(&disk->random, disk->faults.no_space)) {
		return -ENOSPC;
	} else {
		inode = inode_new(disk, false);
		change_names(disk, folder, NULL, name, inode);
	}
	if (rc == 0)
		*ret = inode;
	return rc;
}

int disk_make_folder(struct disk *disk, struct inode *folder, const char *path)
{
	char name[NAME_MAX + 1];
	int rc = walk(folder, path, &folder, name);

	if (rc < 0)
		return rc;
	if (strcmp(name, ".") == 0 || find_name(&folder->seen, name))
		return -EEXIST;
	if (random_chance(&disk->random, disk->faults.no_space))
		return -ENOSPC;
	struct inode *inode = inode_new(disk, true);
	change_names(disk, folder, NULL, name, inode);
	inode_put(disk, inode);
	return 0;
}

/* Within one folder: nobody moves files between folders, so what a power cut makes of that is not
 * modelled (-EXDEV). */
int disk_rename(struct disk *disk, struct inode *from_folder, const char *from,
		struct inode *to_folder, const char *to)
{
	char from_name[NAME_MAX + 1];
	char to_name[NAME_MAX + 1];
	int rc = walk(from_folder, from, &from_folder, from_name);

	if (rc == 0)
		rc = walk(to_folder, to, &to_folder, to_name);
	if (rc < 0)
		return rc;
	const struct entry *entry = find_name(&from_folder->seen, from_name);
	if (!entry)
		return -ENOENT;
	const struct entry *replaced = find_name(&to_folder->seen, to_name);
	if (replaced && replaced->inode->is_folder)
		return replaced->inode->seen.count ? -ENOTEMPTY : -EEXIST;
	if (from_folder != to_folder)
		return -EXDEV;
	if (replaced != entry)
		change_names(disk, from_folder, from_name, to_name, entry->inode);
	return 0;
}

int disk_unlink(struct disk *disk, struct inode *folder, const char *path, bool is_folder)
{
	char name[NAME_MAX + 1];
	int rc = walk(folder, path, &folder, name);

	if (rc < 0)
		return rc;
	const struct entry *entry = find_name(&folder->seen, name);
	if (!entry)
		return -ENOENT;
	if (entry->inode->is_folder != is_folder)
		return is_folder ? -ENOTDIR : -EISDIR;
	if (is_folder && entry->inode->seen.count)
		return -ENOTEMPTY;
	change_names(disk, folder, name, NULL, NULL);
	return 0;
}

static size_t path_of(const struct inode *inode, char *ret, size_t size)
{
	size_t at = 0;

	if (!inode->parent)
		return 0;
	if (inode->parent->parent)
		at = path_of(inode->parent, ret, size);
	size_t length = strlen(inode->name);
	if (at + length + 2 > size)
		return at;
	if (at)
		ret[at++] = '/';
	memcpy(ret + at, inode->name, length);
	ret[at + length] = '\0';
	return at + length;
}

void inode_path(const struct inode *inode, char *ret, size_t size)
{
	static const char unnamed[] = "#unnamed";

	if (inode->number == 1)
		memcpy(ret, ".", 2);
	else if (!path_of(inode, ret, size))
		memcpy(ret, unnamed, sizeof(unnamed));
}
