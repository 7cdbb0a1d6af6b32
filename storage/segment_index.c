/* The index of a segment as a file.
 *
 * An index speaks of whole batches that were durable when it was written: of all of them when the
 * segment was sealed or the broker stopped cleanly, of a first part when it is a checkpoint of the
 * segment that is being appended to. */
#include "storage/segment_internal.h"

#include "base/check.h"
#include "base/whole.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

static const char index_magic[8] = "SLUICEix";

/* An index file in memory: the header, then the entries, then the epochs. */
static size_t index_file_bytes(const struct index_header *header)
{
	return sizeof(*header) + header->entry_count * sizeof(struct index_entry) +
	       header->epoch_count * sizeof(struct epoch_start);
}

static uint64_t index_checksum(const void *file, size_t bytes)
{
	const struct index_header *header = file;
	XXH64_hash_t seed = XXH3_64bits(header, offsetof(struct index_header, checksum));
	return XXH3_64bits_withSeed(header + 1, bytes - sizeof(*header), seed);
}

struct index_header *segment_build_index(const struct segment *segment)
{
	struct index_header header = {
		.version = SEGMENT_FORMAT_VERSION,
		.segment_id = segment->id,
		.next_offset = segment->durable_next_offset,
		.end = segment->durable_end,
		.max_ms = segment->durable_max_ms,
		.content = segment->idempotent ? CONTENT_ANY : CONTENT_NO_PRODUCERS,
	};

	memcpy(header.magic, index_magic, sizeof(header.magic));
	while (header.entry_count < segment->index_count &&
	       segment->index[header.entry_count].position < segment->durable_end)
		header.entry_count++;
	while (header.epoch_count < segment->epoch_count &&
	       segment->epochs[header.epoch_count].offset < segment->durable_next_offset)
		header.epoch_count++;
	struct index_header *file = malloc(index_file_bytes(&header));
	if (!file)
		return NULL;
	*file = header;
	struct index_entry *entries = (struct index_entry *)(file + 1);
	if (header.entry_count)
		memcpy(entries, segment->index, header.entry_count * sizeof(*entries));
	if (header.epoch_count)
		memcpy(entries + header.entry_count, segment->epochs,
		       header.epoch_count * sizeof(*segment->epochs));
	file->checksum = index_checksum(file, index_file_bytes(file));
	return file;
}

/* Written beside and renamed, so that there is always one that is whole.  Not flushed: what is not
 * there after a power cut is made anew. */
int segment_write_index(const struct log *log, int64_t base_offset, const struct index_header *file,
			const char *new_name)
{
	size_t bytes = index_file_bytes(file);
	char name[SEGMENT_NAME_BYTES];

	segment_name(name, base_offset, "idx");
	int fd = folder_open_file(log, new_name, O_WRONLY | O_CREAT | O_TRUNC);
	if (fd < 0)
		return fd;
	int rc = whole_pwrite(fd, file, bytes, 0);
	close(fd);
	if (rc == 0)
		rc = folder_rename(log, new_name, name);
	if (rc < 0)
		folder_unlink(log, new_name);
	return rc;
}

int segment_checkpoint(struct segment *segment)
{
	check(!segment->index_on_disk);
	struct index_header *file = segment_build_index(segment);

	if (!file)
		return -ENOMEM;
	int rc = segment_write_index(segment->log, segment->base_offset, file, "index.new");
	if (rc == 0)
		segment->checkpoint_end = segment->durable_end;
	free(file);
	return rc;
}

/* Entries rise and lie within what the index speaks of: searches and reads rely on it. */
static bool index_sane(const struct index_header *file, int64_t base_offset)
{
	const struct index_entry *entries = (const struct index_entry *)(file + 1);
	uint64_t least = SEGMENT_HEADER_BYTES;
	int64_t least_offset = base_offset;

	for (size_t i = 0; i < file->entry_count; i++) {
		if (entries[i].position < least || entries[i].position >= file->end ||
		    entries[i].offset < least_offset || entries[i].offset >= file->next_offset)
			return false;
		least = entries[i].position + 1;
		least_offset = entries[i].offset + 1;
	}
	return file->end >= SEGMENT_HEADER_BYTES && file->next_offset >= base_offset &&
	       file->next_offset <= QUARANTINE_OFFSET_MAX;
}

struct index_header *segment_read_index(const struct segment *segment, bool of_any_id)
{
	struct index_header *file = NULL;
	struct index_header header;
	struct stat info;
	char name[SEGMENT_NAME_BYTES];

	segment_name(name, segment->base_offset, "idx");
	int fd = folder_open_file(segment->log, name, O_RDONLY);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &info) < 0 || whole_pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
	    memcmp(header.magic, index_magic, sizeof(header.magic)) != 0 ||
	    header.version != SEGMENT_FORMAT_VERSION ||
	    (!of_any_id && header.segment_id != segment->id) ||
	    (uint64_t)info.st_size != index_file_bytes(&header))
		goto out;
	size_t bytes = index_file_bytes(&header);
	file = malloc(bytes);
	if (file && (whole_pread(fd, file, bytes, 0) != (ssize_t)bytes ||
		     index_checksum(file, bytes) != file->checksum ||
		     !index_sane(file, segment->base_offset))) {
		free(file);
		file = NULL;
	}
out:
	close(fd);
	return file;
}

int64_t segment_index_end(struct log *log, int64_t base_offset)
{
	struct segment segment = {
		.log = log,
		.base_offset = base_offset,
	};
	struct index_header *file = segment_read_index(&segment, true);
	int64_t end = file ? file->next_offset : -1;

	free(file);
	return end;
}
