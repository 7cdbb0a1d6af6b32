/* Checks of the disk that the data is on: that what is flushed is there, and how fast. */
#include <errno.h>
#include <string.h>

#include "hw/doctor/doctor_internal.h"

#include "base/bytes.h"

static bool skip_without_disk(const struct host *host, struct finding *finding)
{
	if (!host->has_disk)
		finding_skip(finding, "The kernel does not tell of its mounts");
	return !host->has_disk;
}

static bool skip_without_queue(const struct host *host, struct finding *finding)
{
	if (skip_without_disk(host, finding))
		return true;
	if (!host->disk.queue[0])
		finding_skip(finding, "No one device is below %s (%s)", host->disk.mount,
			     host->disk.source);
	return !host->disk.queue[0];
}

static bool is_one_of(const char *text, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(text, names[i]) == 0)
			return true;
	}
	return false;
}

void check_file_system(const struct host *host, struct finding *finding)
{
	static const char *const good[] = {"ext4", "xfs"};
	static const char *const fleeting[] = {"tmpfs", "ramfs", "devtmpfs"};
	static const char *const far[] = {"nfs", "nfs4",       "cifs", "smb3",
					  "9p",  "fuse.sshfs", "ceph"};
	const char *type = host->disk.type;

	if (skip_without_disk(host, finding))
		return;
	if (is_one_of(type, good, array_count(good))) {
		finding_ok(finding, "%s at %s", type, host->disk.mount);
		return;
	}
	if (is_one_of(type, fleeting, array_count(fleeting)))
		finding_fault(finding, "%s at %s: it is gone with the power", type,
			      host->disk.mount);
	else if (is_one_of(type, far, array_count(far)))
		finding_fault(finding, "%s at %s: another machine says what is stored", type,
			      host->disk.mount);
	else
		finding_warn(finding,
			     "%s at %s: blocks move when they are written, so a flush writes more "
			     "than the records",
			     type, host->disk.mount);
	finding_cure(finding, "a file system of its own: mkfs.xfs (or mkfs.ext4), mounted at the "
			      "folder that the setting `data` names");
}

void check_mount_options(const struct host *host, struct finding *finding)
{
	static const char *const unsafe[] = {"nobarrier", "barrier=0"};

	if (skip_without_disk(host, finding))
		return;
	for (size_t i = 0; i < array_count(unsafe); i++) {
		if (!disk_option(&host->disk, unsafe[i]))
			continue;
		finding_fault(finding, "%s is mounted with %s", host->disk.mount, unsafe[i]);
		finding_cure(finding, "mount -o remount,barrier %s, and out of /etc/fstab",
			     host->disk.mount);
		return;
	}
	if (disk_option(&host->disk, "ro")) {
		finding_fault(finding, "%s is mounted read-only", host->disk.mount);
		finding_cure(finding, "mount -o remount,rw %s", host->disk.mount);
		return;
	}
	finding_ok(finding, "Flushes reach the disk from %s", host->disk.mount);
}

/* The drive's own word, of SCSI and SATA: "write back" where it has a volatile cache. */
static bool drive_has_cache(const struct host *host)
{
	struct host_names disks;
	char text[HOST_TEXT_BYTES];
	bool has = false;

	if (host_names(host->root, &disks, "%s/device/scsi_disk", host->disk.whole) < 0)
		return false;
	for (size_t i = 0; i < disks.count; i++) {
		has = has || (host_text(host->root, text, "%s/device/scsi_disk/%s/cache_type",
					host->disk.whole, disks.at[i]) == 0 &&
			      strncmp(text, "write back", 10) == 0);
	}
	host_names_free(&disks);
	return has;
}

void check_write_cache(const struct host *host, struct finding *finding)
{
	char text[HOST_TEXT_BYTES];

	if (skip_without_queue(host, finding))
		return;
	if (host_text(host->root, text, "%s/write_cache", host->disk.queue) < 0) {
		finding_skip(finding, "The kernel does not tell of %s", host->disk.source);
	} else if (strcmp(text, "write back") == 0) {
		finding_ok(finding, "The disk has one, and the kernel flushes it");
	} else if (drive_has_cache(host)) {
		finding_fault(finding, "The disk has one, and the kernel was told not to flush it");
		finding_cure(finding, "echo 'write back' > /%s/write_cache", host->disk.queue);
	} else {
		finding_ok(finding, "None that loses anything with the power");
	}
}

void check_flush_latency(const struct host *host, struct finding *finding)
{
	enum { SLOW_US = 2000, TAIL_US = 20000 };
	struct flush_times times;

	if (skip_without_disk(host, finding))
		return;
	int rc = disk_flush(&host->disk, host->root, &times);
	if (rc < 0) {
		finding_skip(finding, "Not measured: /%.200s: %s", host->disk.folder,
			     strerror(-rc));
		return;
	}
	unsigned long long median = times.median_ns / 1000;
	unsigned long long tail = times.p99_ns / 1000;
	if (!times.direct) {
		finding_fault(finding, "The file system takes no O_DIRECT; %llu us with its cache",
			      median);
		finding_cure(finding, "ext4 or xfs on a block device of the host's own");
	} else if (median > SLOW_US || tail > TAIL_US) {
		finding_fault(finding, "4 KiB take %llu us, one in a hundred %llu us", median,
			      tail);
		finding_cure(finding, "an NVMe drive with power-loss protection; nothing else that "
				      "writes to this one");
	} else {
		finding_ok(finding, "4 KiB take %llu us, one in a hundred %llu us", median, tail);
	}
}

void check_disk_scheduler(const struct host *host, struct finding *finding)
{
	char text[HOST_TEXT_BYTES];
	int64_t rotational = 0;

	if (skip_without_queue(host, finding))
		return;
	if (host_text(host->root, text, "%s/scheduler", host->disk.queue) < 0) {
		finding_skip(finding, "The device has none to choose");
		return;
	}
	host_number(host->root, &rotational, "%s/rotational", host->disk.queue);
	char *chosen = strchr(text, '[');
	char *end = chosen ? strchr(chosen, ']') : NULL;
	if (end)
		*end = 0;
	const char *name = end ? chosen + 1 : text;
	if (strcmp(name, "bfq") != 0 && strcmp(name, "kyber") != 0 && strcmp(name, "cfq") != 0) {
		finding_ok(finding, "%.32s", name);
		return;
	}
	finding_fault(finding, "%.32s", name);
	finding_cure(finding, "echo %s > /%s/scheduler   (sluice tune does it)",
		     rotational ? "mq-deadline" : "none", host->disk.queue);
}

void check_alignment(const struct host *host, struct finding *finding)
{
	enum { SECTOR = 512, BLOCK = 4096 };
	int64_t start = 0;
	int64_t offset = 0;
	int64_t physical = BLOCK;

	if (skip_without_queue(host, finding))
		return;
	host_number(host->root, &physical, "%s/physical_block_size", host->disk.queue);
	host_number(host->root, &offset, "sys/dev/block/%s/alignment_offset", host->disk.device);
	if (host->disk.partition)
		host_number(host->root, &start, "sys/dev/block/%s/start", host->disk.device);
	int64_t block = physical > BLOCK ? physical : BLOCK;
	if (start % (block / SECTOR) == 0 && offset == 0) {
		finding_ok(finding, "Begins at sector %lld, of blocks of %lld bytes",
			   (long long)start, (long long)physical);
		return;
	}
	finding_fault(finding, "Begins at sector %lld, %lld bytes off the disk's blocks of %lld",
		      (long long)start, (long long)(offset ? offset : start * SECTOR % block),
		      (long long)block);
	finding_cure(finding, "make the partition anew with parted -a optimal, beginning at 1MiB");
}

void check_free_space(const struct host *host, struct finding *finding)
{
	enum { GIB_SHIFT = 30, LEAST_GIB = 10 };
	uint64_t total;
	uint64_t left;

	if (skip_without_disk(host, finding))
		return;
	int rc = disk_space(&host->disk, host->root, &total, &left);
	if (rc < 0 || total == 0) {
		finding_skip(finding, "Not known: /%.200s: %s", host->disk.folder, strerror(-rc));
		return;
	}
	double percent = 100.0 * (double)left / (double)total;
	double gib = (double)left / (double)(1 << GIB_SHIFT);
	if (left >> GIB_SHIFT >= LEAST_GIB && percent >= 10) {
		finding_ok(finding, "%.1f GiB, %.0f %%", gib, percent);
		return;
	}
	finding_fault(finding, "%.1f GiB, %.0f %%", gib, percent);
	finding_cure(finding, "a larger disk, or less to keep: log.retention.bytes, "
			      "log.retention.ms");
}
