/* The files of a partition's folder, as a disk may give them back: { u8 choice, u16 base offset,
 * u16 length, bytes } and so on.  The choice says which file it is and what is put right in it,
 * because no fuzzer finds a checksum:
 *
 *     segment     its header, and with it a place in the log; offsets, magic and CRC of its
 * batches; of a compacted one, whose offsets have gaps, also where it ends index       magic,
 * version, the segment's id, counts that fit the size, checksum meta        the bytes are the
 * number; the rest is made around it quarantine  likewise; the bytes are its lines
 *
 * A log is opened over them, or refused and left as it is.  What has opened is read from end to
 * end, is found again the same by the next opening, and takes a batch. */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/errors.h"
#include "base/log.h"
#include "storage/store_internal.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input.h"
#include "tests/storage/support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum {
	FILES_MAX = 8,
	BATCHES_MAX = 1000, /* of a segment, put right */
	KIND_MASK = 0x03,
	KIND_INDEX = 1,
	KIND_META = 2,
	KIND_QUARANTINE = 3,
	REPAIR = 0x04,
	REPAIR_BATCHES = 0x08,
	DAMAGE = 0x20,     /* then a byte rots: u16 place behind the header, u8 bits */
	COMPACTED = 0x40,  /* of a segment; then u8: how many offsets it has behind its last */
	GAP_MASK = 0x03,   /* before a batch: of the last byte of the offset that it came with */
	READ_SMALL = 0x10, /* of the first file's choice: reads of a batch or two */
	LEADER_EPOCH = 3,
	BUFFER_BYTES = 8 << 20,
	SEGMENT_BYTES = 64 << 10, /* of new ones: less to make room for */
	HEADER_SUMMED = 56, /* of the segment's and the index's header, which are of 64 bytes */
	HEADER_BYTES = 64,
	EXTENT_SUMMED = 80, /* of a compacted segment's header */
	INDEX_ENTRY_BYTES = 24,
	INDEX_EPOCH_BYTES = 16,
};

struct file {
	char name[32];
	uint8_t *bytes;
	size_t size;
};

struct folder {
	struct file files[FILES_MAX];
	unsigned count;
	unsigned indexes;
	unsigned metas;
	unsigned quarantines;
	unsigned segments;
	unsigned compacted;
	bool small_reads;
};

/* ---- the files ---- */

static const uint64_t id_base = UINT64_C(0x5eed000000000000);

/* Written where the format says; the rest of the block stays zero. */
static void make_segment_header(const struct rig *rig, uint8_t *to, int64_t base_offset,
				uint32_t version)
{
	const uint64_t id = id_base + (uint64_t)base_offset;

	memcpy(to, "SLUICEsg", 8);
	memcpy(to + 8, &version, sizeof(version));
	memcpy(to + 12, &rig->identity.partition, sizeof(rig->identity.partition));
	memcpy(to + 16, &rig->identity.topic_id, sizeof(rig->identity.topic_id));
	memcpy(to + 32, &base_offset, sizeof(base_offset));
	memcpy(to + 48, &id, sizeof(id));
	uint64_t sum = XXH3_64bits(to, HEADER_SUMMED);
	memcpy(to + HEADER_SUMMED, &sum, sizeof(sum));
}

/* Where it ends: a byte and an offset. */
static void make_segment_extent(uint8_t *to, uint64_t end, int64_t next_offset)
{
	memcpy(to + HEADER_BYTES, &next_offset, sizeof(next_offset));
	memcpy(to + HEADER_BYTES + 8, &end, sizeof(end));
	uint64_t sum = XXH3_64bits(to, EXTENT_SUMMED);
	memcpy(to + EXTENT_SUMMED, &sum, sizeof(sum));
}

/* Each batch follows the one before it; one that claims to be longer than what is left ends it.
 * Returns the offset behind the last. */
static int64_t repair_batches(uint8_t *at, size_t left, int64_t offset, bool gaps)
{
	struct batch batch;

	for (unsigned i = 0; i < BATCHES_MAX && left >= BATCH_HEADER_BYTES; i++) {
		offset += gaps ? at[7] & GAP_MASK : 0;
		store_be64(at, (uint64_t)offset);
		at[16] = 2;
		if (batch_parse(&batch, at, left) < 0 || batch.last_offset_delta < 0)
			return offset;
		store_be32(at + 17, crc32c(0, at + BATCH_CRC_START, batch.size - BATCH_CRC_START));
		at += batch.size;
		left -= batch.size;
		offset += batch.last_offset_delta + 1;
	}
	return offset;
}

static void make_segment(const struct rig *rig, struct file *file, uint8_t choice, int64_t base,
			 const uint8_t *bytes, size_t length, unsigned last_gap)
{
	size_t before = choice & REPAIR ? SEGMENT_HEADER_BYTES : 0;
	bool compacted = choice & COMPACTED;
	int64_t next = base + (int64_t)length;

	snprintf(file->name, sizeof(file->name), "%020lld.log", (long long)base);
	file->size = before + length;
	file->bytes = calloc(1, file->size + 1);
	check(file->bytes != NULL);
	memcpy(file->bytes + before, bytes, length);
	if (choice & REPAIR)
		make_segment_header(rig, file->bytes, base, compacted ? 2 : 1);
	if (choice & REPAIR_BATCHES)
		next = repair_batches(file->bytes + before, length, base, compacted);
	if (choice & REPAIR && compacted)
		make_segment_extent(file->bytes, file->size, next + last_gap);
}

static void repair_index(struct file *file, int64_t base)
{
	const uint64_t id = id_base + (uint64_t)base;
	uint32_t version = 1, entries, epochs;
	size_t left = file->size - HEADER_BYTES;

	memcpy(&entries, file->bytes + 12, sizeof(entries));
	if (entries > left / INDEX_ENTRY_BYTES)
		entries = (uint32_t)(left / INDEX_ENTRY_BYTES);
	left -= entries * INDEX_ENTRY_BYTES;
	epochs = (uint32_t)(left / INDEX_EPOCH_BYTES);
	file->size -= left % INDEX_EPOCH_BYTES;
	memcpy(file->bytes, "SLUICEix", 8);
	memcpy(file->bytes + 8, &version, sizeof(version));
	memcpy(file->bytes + 12, &entries, sizeof(entries));
	memcpy(file->bytes + 16, &id, sizeof(id));
	memcpy(file->bytes + 48, &epochs, sizeof(epochs));
	uint64_t sum = XXH3_64bits_withSeed(file->bytes + HEADER_BYTES, file->size - HEADER_BYTES,
					    XXH3_64bits(file->bytes, HEADER_SUMMED));
	memcpy(file->bytes + HEADER_SUMMED, &sum, sizeof(sum));
}

static void make_index(struct file *file, uint8_t choice, int64_t base, const uint8_t *bytes,
		       size_t length)
{
	snprintf(file->name, sizeof(file->name), "%020lld.idx", (long long)base);
	file->size = length;
	file->bytes = malloc(length + 1);
	check(file->bytes != NULL);
	memcpy(file->bytes, bytes, length);
	if (choice & REPAIR && length >= HEADER_BYTES)
		repair_index(file, base);
}

/* What comes before the bytes, where it is to be right. */
static void make_text(struct file *file, const char *name, const char *before, uint8_t choice,
		      const uint8_t *bytes, size_t length)
{
	const size_t room = length + 128;
	char *text = calloc(1, room);

	check(text != NULL);
	snprintf(file->name, sizeof(file->name), "%s", name);
	file->bytes = (uint8_t *)text;
	file->size = length;
	memcpy(text, bytes, length);
	if (!(choice & REPAIR))
		return;
	int head = snprintf(text, room, "%s%.*s\n", before, (int)length, (const char *)bytes);
	uint64_t sum = XXH3_64bits(text, (size_t)head);
	head += snprintf(text + head, room - (size_t)head, "sum %016llx\n",
			 (unsigned long long)sum);
	file->size = (size_t)head;
}

static void damage(struct file *file, size_t behind, struct input *input)
{
	size_t at = behind + input_u16(input);
	uint8_t bits = input_u8(input);

	if (at < file->size)
		file->bytes[at] ^= bits;
}

static void make_file(const struct rig *rig, struct folder *folder, struct input *input)
{
	struct file *file = &folder->files[folder->count];
	uint8_t choice = input_u8(input);
	int64_t base = input_u16(input);
	size_t length = input_u16(input);
	const uint8_t *bytes = input_take(input, &length);
	bool compacted = (choice & COMPACTED) && !(choice & KIND_MASK);
	unsigned last_gap = compacted ? input_u8(input) : 0;

	if (!folder->count)
		folder->small_reads = choice & READ_SMALL;
	if ((choice & KIND_MASK) == KIND_INDEX)
		make_index(file, choice, base, bytes, length);
	else if ((choice & KIND_MASK) == KIND_META)
		make_text(file, "partition.meta", "sluice-partition 1\nstart ", choice, bytes,
			  length);
	else if ((choice & KIND_MASK) == KIND_QUARANTINE)
		make_text(file, "quarantine", "sluice-quarantine 1\n", choice, bytes, length);
	else
		make_segment(rig, file, choice, base, bytes, length, last_gap);
	if (choice & DAMAGE)
		damage(file, file->size > SEGMENT_HEADER_BYTES ? SEGMENT_HEADER_BYTES : 0, input);
	folder->indexes += (choice & KIND_MASK) == KIND_INDEX;
	folder->metas += (choice & KIND_MASK) == KIND_META;
	folder->quarantines += (choice & KIND_MASK) == KIND_QUARANTINE;
	folder->segments += !(choice & KIND_MASK);
	folder->compacted += compacted;
	for (unsigned i = 0; i < folder->count; i++) {
		if (strcmp(folder->files[i].name, file->name) == 0) {
			free(file->bytes); /* the first of a name counts */
			return;
		}
	}
	folder->count++;
}

static void save_files(const struct rig *rig, const struct folder *folder)
{
	char path[256];

	for (unsigned i = 0; i < folder->count; i++) {
		rig_path(rig, folder->files[i].name, path);
		save_file(path, folder->files[i].bytes, folder->files[i].size);
	}
}

static void check_untouched(const struct rig *rig, const struct folder *folder)
{
	char path[256];
	size_t size;

	for (unsigned i = 0; i < folder->count; i++) {
		rig_path(rig, folder->files[i].name, path);
		uint8_t *found = load_file(path, &size);
		check(size == folder->files[i].size);
		check(memcmp(found, folder->files[i].bytes, size) == 0);
		free(found);
	}
}

static void empty_folder(const struct rig *rig)
{
	const struct dirent *entry;
	char path[256];

	rig_path(rig, "", path);
	DIR *dir = opendir(path);
	check(dir != NULL);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			check(unlinkat(dirfd(dir), entry->d_name, 0) == 0);
	}
	closedir(dir);
}

static void folder_fini(struct folder *folder)
{
	for (unsigned i = 0; i < folder->count; i++)
		free(folder->files[i].bytes);
}

/* ---- what has to come of them ---- */

/* Where the sound batches of a lone segment end, told without the code that is tested. */
static int64_t sound_end(const struct file *file, int64_t base_offset)
{
	size_t at = SEGMENT_HEADER_BYTES;
	int64_t offset = base_offset;
	int32_t epoch = INT32_MIN;
	struct batch batch;

	while (at + BATCH_HEADER_BYTES <= file->size) {
		const uint8_t *bytes = file->bytes + at;
		if (batch_parse(&batch, bytes, file->size - at) < 0 ||
		    batch.base_offset != offset || batch.last_offset_delta < 0 ||
		    batch.leader_epoch < epoch || !batch_crc_valid(&batch, bytes))
			break;
		epoch = batch.leader_epoch;
		offset += batch.last_offset_delta + 1;
		at += batch.size;
	}
	return offset;
}

/* Where the range ends that a reader at `offset` was told of.  With gaps it may begin later. */
static int64_t lost_until(const struct rig *rig, int64_t offset, bool gaps)
{
	struct damage ranges[FILES_MAX * BATCHES_MAX];
	size_t count = log_quarantined(rig->log, ranges, array_count(ranges));

	for (size_t i = 0; i < count && i < array_count(ranges); i++) {
		if ((gaps || ranges[i].from <= offset) && ranges[i].to > offset)
			return ranges[i].to;
	}
	return -1;
}

/* Without an index nothing is taken on trust, so that every byte can be read. */
static void read_all(struct rig *rig, const struct folder *folder)
{
	const bool trusting = folder->indexes || folder->quarantines, small = folder->small_reads;
	const bool gaps = folder->compacted;
	int64_t offset = log_start_offset(rig->log);

	while (offset < log_high_watermark(rig->log)) {
		struct rig_read got = rig_read(rig, offset, small ? 100 : 1 << 20, true);
		struct batch batch = {.last_offset_delta = -1};
		int64_t after = got.rc == -ERR_CORRUPT ? lost_until(rig, offset, gaps) : -1;
		check(got.rc == 0 || (got.rc == -ERR_CORRUPT && (trusting || after > offset)));
		check(got.rc < 0 || got.size > 0 || gaps);
		if (got.rc == 0 && !got.size)
			offset = log_high_watermark(rig->log); /* nothing is left of the last */
		for (size_t at = 0; at < got.size; at += batch.size) {
			check(batch_parse(&batch, got.data + at, got.size - at) == 0);
			check(batch_crc_valid(&batch, got.data + at));
			check(trusting || gaps || batch.base_offset <= offset);
			check(batch.base_offset + batch.last_offset_delta >= offset);
			offset = batch.base_offset + batch.last_offset_delta + 1;
		}
		free(got.data);
		if (got.rc < 0 && after < 0)
			return;
		if (got.rc < 0)
			offset = after;
	}
	check(trusting || offset == log_high_watermark(rig->log) ||
	      offset == log_start_offset(rig->log));
}

static void find_times(struct rig *rig)
{
	static const int64_t times[] = {-3, 0, 1000, INT64_C(1800000000000), INT64_MAX};
	int64_t offset, ms;

	for (size_t i = 0; i < array_count(times); i++) {
		int rc = rig_find(rig, times[i], &offset, &ms);
		check(rc <= 0);
		check(rc < 0 || offset < 0 || offset < log_high_watermark(rig->log));
	}
}

static void append_one(struct rig *rig)
{
	static struct made_batch made;
	int64_t expected = log_end_offset(rig->log);
	int64_t offset = -1;

	if (!made.data)
		made = make_batch(2, 10, 1000, 1);
	check(rig_append(rig, &made, ACK_DURABLE, &offset) == 0);
	check(offset == expected);
	struct rig_read got = rig_read(rig, offset, 1 << 20, true);
	check(got.rc == 0 && got.size == made.size);
	free(got.data);
}

static void use(struct rig *rig, const struct folder *folder)
{
	int64_t start = log_start_offset(rig->log), end = log_end_offset(rig->log);
	char why[256];

	check(start <= end);
	/* Of one whose header is lost the end is found, and one offset at least is lost. */
	if (folder->segments == 1 && folder->count == 1 && !folder->compacted &&
	    !log_quarantined(rig->log, NULL, 0))
		check(end ==
		      sound_end(&folder->files[0], strtoll(folder->files[0].name, NULL, 10)));
	read_all(rig, folder);
	find_times(rig);
	rig_close(rig);
	check(rig_try_open(rig, why, sizeof(why)) == 0);
	check(log_start_offset(rig->log) == start);
	check(log_end_offset(rig->log) == end);
	append_one(rig);
	rig_close(rig);
	check(rig_try_open(rig, why, sizeof(why)) == 0);
	check(log_end_offset(rig->log) == end + 2);
	rig_close(rig);
}

/* ---- the rig, one for all inputs ---- */

static struct rig rig;

static void remove_rig(void)
{
	remove_folder(rig.folder);
}

static void start_rig(void)
{
	const struct io_options options = {.depth = 16};
	struct io_backend *io;

	log_set_level(LOG_ERROR);
	check(io_sync_new(&io, &options) == 0);
	rig_init(&rig, NULL, io, BUFFER_BYTES);
	rig.identity.leader_epoch = LEADER_EPOCH;
	rig.config.segment_bytes = SEGMENT_BYTES;
	rig_open(&rig); /* makes the folder */
	rig_close(&rig);
	atexit(remove_rig);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	struct folder folder = {0};
	char why[256] = "";

	if (!rig.store)
		start_rig();
	while (input.left > 0 && folder.count < FILES_MAX)
		make_file(&rig, &folder, &input);
	empty_folder(&rig);
	save_files(&rig, &folder);
	int rc = rig_try_open(&rig, why, sizeof(why));
	if (rc == 0) {
		use(&rig, &folder);
	} else {
		check(rc == -ERR_CORRUPT || rc == -ERR_FORMAT);
		check(why[0]);
		check_untouched(&rig, &folder);
	}
	folder_fini(&folder);
	return 0;
}
