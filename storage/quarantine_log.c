/* The quarantine of a log: its file, what the operator is told, and what is counted. */
#include "storage/segment_internal.h"

#include "base/errors.h"
#include "base/log.h"
#include "base/whole.h"
#include "storage/file_window.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char name[] = "quarantine";

int log_read_quarantine(struct log *log)
{
	char *text = malloc(QUARANTINE_FILE_BYTES + 1);
	int rc = 0;

	quarantine_fini(&log->quarantine);
	if (!text)
		return -ENOMEM;
	int fd = folder_open_file(log, name, O_RDONLY);
	ssize_t got = fd < 0 ? fd : whole_pread(fd, text, QUARANTINE_FILE_BYTES + 1, 0);
	if (got < 0)
		rc = (int)got;
	if (fd >= 0)
		close(fd);
	if (rc == 0)
		rc = quarantine_parse(&log->quarantine, text, (size_t)got);
	free(text);
	return rc == -ENOENT ? 0 : rc == -EIO ? -ERR_CORRUPT : rc;
}

int log_write_quarantine(struct log *log)
{
	struct quarantine *quarantine = &log->quarantine;
	int rc = 0;

	if (!quarantine->changed)
		return 0;
	if (!quarantine->count) {
		rc = folder_unlink(log, name);
		if (rc < 0 && rc != -ENOENT)
			return rc;
		rc = 0;
	} else {
		char *text = malloc(QUARANTINE_FILE_BYTES);
		if (!text)
			return -ENOMEM;
		rc = log_write_file(log, name, text, quarantine_format(quarantine, text));
		free(text);
	}
	if (rc == 0)
		quarantine->changed = false;
	return rc;
}

void log_count_quarantine(struct log *log)
{
	struct store_stats *stats = &log->store->stats;
	const uint64_t ranges = log->quarantine.count;
	const uint64_t offsets = (uint64_t)quarantine_offsets(&log->quarantine);

	stats->quarantined_ranges += ranges - log->counted_ranges;
	stats->quarantined_offsets += offsets - log->counted_offsets;
	log->counted_ranges = ranges;
	log->counted_offsets = offsets;
}

int log_quarantine(struct log *log, const struct damage *damage)
{
	struct damage found = *damage;

	/* Nobody misses it, and there are no bytes that a replay would have to pass over. */
	if (damage->kind == DAMAGE_MISSING && damage->to <= log->start_offset)
		return 0;
	found.found_ms = clock_wall_ms(log->store->clock);
	int rc = quarantine_add(&log->quarantine, &found);
	if (rc <= 0)
		return rc;
	log_error("storage",
		  "quarantined log=%s file=%020" PRId64 ".log bytes=%" PRIu64 "-%" PRIu64
		  " offsets=%" PRId64 "-%" PRId64 " damage=%s",
		  log->name, found.segment, found.start, found.end, found.from, found.to,
		  damage_text(found.kind));
	return 0;
}

void log_lift_quarantine(struct log *log)
{
	quarantine_trim(&log->quarantine, log->start_offset);
	log_count_quarantine(log);
	int rc = log_write_quarantine(log);
	/* What it says too much lies before the log's start, and is dropped when it is read. */
	if (rc < 0)
		log_warn("storage", "quarantine not written log=%s error=\"%s\"", log->name,
			 error_text(rc));
}

/* By blocks, each with patience.  The whole file where nothing else is known. */
static bool is_readable(const struct log *log, const struct damage *range)
{
	char file_name[SEGMENT_NAME_BYTES];
	struct stat info;

	segment_name(file_name, range->segment, "log");
	int fd = folder_open_file(log, file_name, O_RDONLY);
	if (fd < 0)
		return false;
	struct file_window w = {.fd = fd};
	if (fstat(fd, &info) < 0)
		w.error = -errno;
	else
		w.file_bytes = (uint64_t)info.st_size;
	/* It is the device that is asked. */
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	uint64_t end = range->end && range->end < w.file_bytes ? range->end : w.file_bytes;
	for (uint64_t at = range->start; at < end && w.error == 0 && !w.unreadable_end;) {
		uint64_t piece = end - at < BLOCK_BYTES ? end - at : BLOCK_BYTES;
		file_window_at(&w, at, (size_t)piece);
		at += piece;
	}
	file_window_fini(&w);
	close(fd);
	return w.error == 0 && !w.unreadable_end;
}

bool log_reread_quarantine(struct log *log)
{
	struct quarantine *quarantine = &log->quarantine;
	bool any = false;

	/* A device that fails may take seconds for each piece: once is enough. */
	for (size_t i = 0; i < quarantine->count;) {
		const struct damage *range = &quarantine->ranges[i];
		if (range->kind != DAMAGE_UNREADABLE) {
			i++;
			continue;
		}
		if (!is_readable(log, range))
			break;
		log_warn("storage",
			 "readable again, verified log=%s file=%020" PRId64 ".log offsets=%" PRId64
			 "-%" PRId64,
			 log->name, range->segment, range->from, range->to);
		quarantine_remove(quarantine, i);
		any = true;
	}
	return any;
}

size_t log_quarantined(const struct log *log, struct damage *out, size_t max)
{
	const struct quarantine *quarantine = &log->quarantine;

	if (quarantine->count && max)
		memcpy(out, quarantine->ranges,
		       (quarantine->count < max ? quarantine->count : max) * sizeof(*out));
	return quarantine->count;
}
