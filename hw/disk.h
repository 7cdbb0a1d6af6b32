/* hw/disk.h: the file system and the device below a folder, and how long a durable write takes
 * there. */
#pragma once
#include "hw/root.h"

struct disk {
	char folder[HOST_PATH_BYTES]; /* the nearest that exists, from the root, without '/' before
					 it */
	char mount[HOST_PATH_BYTES];  /* where the file system is mounted, with '/' */
	char type[64];                /* "ext4" */
	char options[1024];           /* of mount and of super block, comma-separated */
	char source[256];             /* "/dev/nvme0n1p2" */
	char device[32];              /* "259:3" */
	char queue[64];               /* sysfs folder of the whole device's queue; "" where it has
						      none */
	char whole[64];               /* ... of the whole device */
	bool partition;
};

struct flush_times {
	unsigned count;
	uint64_t median_ns;
	uint64_t p99_ns;
	uint64_t worst_ns;
	bool direct; /* O_DIRECT is taken */
};

/* `folder` need not exist yet.  -ENOENT: no mount covers it, as in a tree without a mountinfo;
 * -errno. */
int disk_find(struct disk *ret, const struct host_root *root, const char *folder);
/* Is `option` ("nobarrier", "barrier=0") among the mount's? */
bool disk_option(const struct disk *disk, const char *option);
/* Writes 4 KiB into blocks written before and flushes, for half a second or 200 times, in a file of
 * its own without a name in disk->folder.  The median and 99 % in calls/flush ("MEDIAN P99" in us)
 * of a tree that is not /, -ENOENT without it.  -errno: the folder takes no files. */
int disk_flush(const struct disk *disk, const struct host_root *root, struct flush_times *ret);
/* Bytes; calls/space ("TOTAL FREE") of a tree.  -ENOENT, -errno. */
int disk_space(const struct disk *disk, const struct host_root *root, uint64_t *ret_total,
	       uint64_t *ret_free);
