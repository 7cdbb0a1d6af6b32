/* bench/suite/host_disk.c: the disk under a path: the mount around it, and the device of that.
 *
 *     /proc/self/mountinfo      36 35 259:2 / /data rw,noatime shared:1 - ext4 /dev/nvme0n1p2 rw
 *     /sys/dev/block/259:2      a link to .../nvme0n1/nvme0n1p2; a partition's disk is its parent
 *
 * Whether the device has a volatile cache says what a flush costs. */
#include "bench/suite/host_internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct mount {
	unsigned major, minor;
	char point[PATH_MAX];
	char type[32];
};

/* From the field with that number on; where the text ends when it has fewer. */
static const char *field_at(const char *text, unsigned index)
{
	while (index-- > 0) {
		text += strcspn(text, " ");
		text += strspn(text, " ");
	}
	return text;
}

static void field_copy(const char *from, char *to, size_t bytes)
{
	snprintf(to, bytes, "%.*s", (int)strcspn(from, " \n"), from);
}

/* proc_pid_mountinfo(5): optional fields end with " - ". */
static bool mount_parse(const char *line, struct mount *ret)
{
	const char *after = strstr(line, " - ");
	struct mount mount;
	char *colon;

	mount.major = (unsigned)strtoul(field_at(line, 2), &colon, 10);
	if (!after || *colon != ':')
		return false;
	mount.minor = (unsigned)strtoul(colon + 1, NULL, 10);
	field_copy(field_at(line, 4), mount.point, sizeof(mount.point));
	field_copy(after + 3, mount.type, sizeof(mount.type));
	*ret = mount;
	return mount.point[0] == '/';
}

static bool is_below(const char *path, const char *point)
{
	size_t length = strlen(point);

	if (length == 1) /* "/" */
		return true;
	return strncmp(path, point, length) == 0 && (path[length] == '/' || !path[length]);
}

/* The innermost; of several on the same place the last one covers the others. */
static bool mount_around(const char *root, const char *path, struct mount *ret)
{
	char file[PATH_MAX], line[8192];
	struct mount mount;
	size_t longest = 0;

	snprintf(file, sizeof(file), "%s/proc/self/mountinfo", root);
	FILE *in = fopen(file, "re");
	while (in && fgets(line, sizeof(line), in)) {
		if (mount_parse(line, &mount) && is_below(path, mount.point) &&
		    strlen(mount.point) >= longest) {
			longest = strlen(mount.point);
			*ret = mount;
		}
	}
	if (in)
		fclose(in);
	return longest > 0;
}

/* The folder of the whole disk in /sys; false: it is no block device. */
static bool disk_folder(const char *root, const struct mount *mount, char folder[PATH_MAX])
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/sys/dev/block/%u:%u", root, mount->major, mount->minor);
	if (!realpath(path, folder))
		return false;
	snprintf(path, sizeof(path), "%.4000s/partition", folder);
	char *last = strrchr(folder, '/');
	if (access(path, F_OK) == 0 && last)
		*last = '\0';
	return true;
}

void host_disk(const char *root, const char *data, char *text, size_t bytes)
{
	char path[PATH_MAX], folder[PATH_MAX], line[64];
	struct mount mount;

	text[0] = '\0';
	if (!realpath(data, path) || !mount_around(root, path, &mount))
		return;
	if (!disk_folder(root, &mount, folder)) {
		host_append(text, bytes, "%s", mount.type);
		return;
	}
	const char *name = strrchr(folder, '/');
	host_append(text, bytes, "%s", name ? name + 1 : folder);
	if (host_line(line, sizeof(line), "%s/device/model", folder) ||
	    host_line(line, sizeof(line), "%s/dm/name", folder))
		host_append(text, bytes, ", %s", line);
	host_append(text, bytes, ", %s", mount.type);
	if (host_line(line, sizeof(line), "%s/queue/write_cache", folder))
		host_append(text, bytes, ", %s", line);
	if (host_line(line, sizeof(line), "%s/queue/rotational", folder) && line[0] == '1')
		host_append(text, bytes, ", rotating");
}
