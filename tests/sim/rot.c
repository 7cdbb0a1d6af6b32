/* Bits turn where a segment has one behind it that has been written to: there damage is never taken
 * for a torn tail.  Which records a bit belongs to is found from the file, so a batch behind one
 * that can no longer be followed is left alone. */
#include "tests/sim/rot.h"

#include "base/check.h"
#include "base/uuid.h"
#include "storage/batch.h"
#include "tests/sim/harness.h"
#include "tests/sim/log_lines.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BITS_MAX = 3,
	PATH_BYTES = 96,
	SEGMENTS_MAX = 512,
	HEADER_PERCENT = 10, /* of what is hit are headers of segments */
	/* storage/README.md, "Segment". */
	SEGMENT_HEADER_BYTES = 4096,
	HEADER_USED_BYTES = 64,
};

/* Where a bit may turn, and whose records would be hit. */
struct target {
	uint64_t start, end; /* bytes */
	int64_t from, to;    /* offsets */
	bool sound;          /* so far */
};

static uint64_t below(uint64_t bound)
{
	return random_below(&harness.random, bound);
}

static void tell(const char *event, const struct topic *topic, unsigned partition, int64_t from,
		 int64_t to)
{
	history_event(harness.log, event,
		      "\"topic\":\"%s\",\"partition\":%u,\"from\":%" PRId64 ",\"to\":%" PRId64,
		      topic->name, partition, from, to);
}

/* ---- what the broker says ---- */

static struct topic *topic_with_folder(const char *name)
{
	for (unsigned i = 0; i < harness.world.topic_count; i++) {
		char hex[UUID_HEX_BYTES];
		uuid_hex(&harness.world.topics[i].id, hex);
		if (strcmp(hex, name) == 0)
			return &harness.world.topics[i];
	}
	return NULL;
}

static void note_lost(const struct topic *topic, unsigned partition, int64_t from, int64_t to)
{
	struct world *world = &harness.world;

	tell("quarantined", topic, partition, from, to);
	check(world->lost_count < LOST_MAX);
	world->lost[world->lost_count++] = (struct lost){topic, partition, from, to};
}

static void said(const char *line)
{
	static const char quarantined[] = "error storage: quarantined ";
	char folder[UUID_HEX_BYTES];
	unsigned partition;
	int64_t from, to;

	if (strncmp(line, quarantined, sizeof(quarantined) - 1) != 0)
		return;
	const char *offsets = strstr(line, " offsets=");
	const struct topic *topic = NULL;
	if (offsets &&
	    sscanf(line + sizeof(quarantined) - 1, "log=%32[^/]/%u", folder, &partition) == 2)
		topic = topic_with_folder(folder);
	if (topic && sscanf(offsets, " offsets=%" SCNd64 "-%" SCNd64, &from, &to) == 2)
		note_lost(topic, partition, from, to);
	else
		broken("the broker says: %s", line);
}

void rot_watch(void)
{
	log_lines_watch(said);
}

/* ---- closed segments ---- */

static int64_t base_of(const char *name)
{
	return strlen(name) == 24 && strcmp(name + 20, ".log") == 0 ? strtoll(name, NULL, 10) : -1;
}

static int by_offset(const void *a, const void *b)
{
	const int64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static unsigned list_segments(const struct inode *folder, int64_t bases[static SEGMENTS_MAX])
{
	const char *name;
	unsigned count = 0;

	for (unsigned i = 0; (name = inode_name_at(folder, i)); i++) {
		if (base_of(name) >= 0 && count < SEGMENTS_MAX)
			bases[count++] = base_of(name);
	}
	qsort(bases, count, sizeof(*bases), by_offset);
	return count;
}

static struct inode *open_segment(struct inode *folder, int64_t base)
{
	char name[32];
	struct inode *inode;

	snprintf(name, sizeof(name), "%020" PRId64 ".log", base);
	int rc = disk_open(harness.disk, folder, name, O_RDONLY, &inode);
	check(rc == 0);
	return inode;
}

/* The caller's to free. */
static uint8_t *read_whole(struct inode *inode, size_t *ret_size)
{
	size_t size = inode_size(inode);
	uint8_t *data = malloc(size + 1);

	check(data);
	int64_t got = inode_read(harness.disk, inode, data, size, 0);
	check(got == (int64_t)size);
	*ret_size = size;
	return data;
}

/* The batch at *position, which goes on behind it.  `next`: where the segment behind begins. */
static bool next_target(const uint8_t *data, size_t size, uint64_t *position, int64_t *offset,
			int64_t next, struct target *ret)
{
	struct batch batch;

	if (*position + BATCH_HEADER_BYTES > size ||
	    batch_parse(&batch, data + *position, size - *position) < 0 ||
	    batch.base_offset != *offset)
		return false;
	int64_t to = *offset + batch.last_offset_delta + 1;
	if (batch.last_offset_delta < 0 || to > next)
		return false;
	*ret = (struct target){.start = *position,
			       .end = *position + batch.size,
			       .from = *offset,
			       .to = to,
			       .sound = batch_crc_valid(&batch, data + *position)};
	*position = ret->end;
	*offset = to;
	return true;
}

/* Where the segment ends: one that compaction has just made of several stands for those behind it
 * too, whose files may still be there. */
static int64_t next_base(struct inode *inode, const int64_t *bases, unsigned chosen, unsigned count)
{
	size_t size;
	uint8_t *data = read_whole(inode, &size);
	unsigned next = chosen + 1;
	int64_t extent = 0; /* behind the header that all have */

	if (size >= HEADER_USED_BYTES + sizeof(extent))
		memcpy(&extent, data + HEADER_USED_BYTES, sizeof(extent));
	free(data);
	for (unsigned i = next + 1; i < count; i++) {
		if (bases[i] == extent)
			next = i;
	}
	return bases[next];
}

static bool has_batch(struct inode *inode, int64_t base)
{
	size_t size;
	uint8_t *data = read_whole(inode, &size);
	uint64_t position = SEGMENT_HEADER_BYTES;
	struct target target;
	bool has = next_target(data, size, &position, &base, INT64_MAX, &target);

	free(data);
	return has;
}

/* The caller's to free.  *ret_whole: there is nothing behind them that cannot be followed. */
static struct target *list_targets(struct inode *inode, int64_t base, int64_t next,
				   unsigned *ret_count, bool *ret_whole)
{
	size_t size;
	uint8_t *data = read_whole(inode, &size);
	struct target *targets = calloc(size / BATCH_HEADER_BYTES + 1, sizeof(*targets));
	uint64_t position = SEGMENT_HEADER_BYTES;
	int64_t offset = base;

	check(targets);
	*ret_count = 0;
	while (next_target(data, size, &position, &offset, next, &targets[*ret_count]))
		++*ret_count;
	*ret_whole = offset == next;
	free(data);
	return targets;
}

static bool is_damaged(const struct target *targets, unsigned count, bool whole, unsigned at)
{
	return at < count ? !targets[at].sound : at == count && !whole;
}

static bool choose_target(struct inode *inode, int64_t base, int64_t next, struct target *ret)
{
	unsigned count;
	bool whole;
	struct target *targets = list_targets(inode, base, next, &count, &whole);
	unsigned at = count ? (unsigned)below(count) : 0;

	if (count)
		*ret = targets[at];
	/* Where one that is damaged ends is not known. */
	if (count && !ret->sound)
		ret->end = ret->start + BATCH_HEADER_BYTES;
	/* Where its length does not say any more where it ends, one alone behind it would be lost
	 * too. */
	if (is_damaged(targets, count, whole, at + 2) && at + 1 < count && targets[at + 1].sound)
		ret->start += BATCH_LENGTH_PREFIX;
	if (count && below(100) < HEADER_PERCENT)
		*ret = (struct target){.end = HEADER_USED_BYTES, .from = base, .to = next};
	free(targets);
	return count > 0;
}

static void rot_folder(struct inode *folder, const struct topic *topic, unsigned partition)
{
	int64_t bases[SEGMENTS_MAX];
	unsigned count = list_segments(folder, bases);
	struct target target;

	if (count < 2)
		return;
	unsigned chosen = (unsigned)below(count - 1);
	struct inode *inode = open_segment(folder, bases[chosen]);
	int64_t next = next_base(inode, bases, chosen, count);
	struct inode *behind = open_segment(folder, next);
	bool closed = has_batch(behind, next);
	inode_put(harness.disk, behind);
	if (closed && choose_target(inode, bases[chosen], next, &target)) {
		uint64_t at = target.start + below(target.end - target.start);
		tell("damaged", topic, partition, target.from, target.to);
		inode_turn_bit(inode, at, (uint8_t)(1 << below(8)));
		log_lines_add("a bit turned %s/%u offset %" PRId64 " byte %" PRIu64 " of the batch",
			      topic->name, partition, target.from, at - target.start);
	}
	inode_put(harness.disk, inode);
}

static void rot_derived(const char *path)
{
	static const char *const names[] = {"idx", "producers"};
	char pattern[PATH_BYTES + 16];

	snprintf(pattern, sizeof(pattern), "%s/*.%s", path, names[below(2)]);
	if (disk_rot(harness.disk, pattern))
		log_lines_add("a bit turned %s", pattern);
}

void rot_some(void)
{
	const struct topic *topic = harness.workload.rotting;

	for (uint64_t left = 1 + below(BITS_MAX); left; left--) {
		unsigned partition = (unsigned)below(topic->partitions);
		char hex[UUID_HEX_BYTES], path[PATH_BYTES];
		struct inode *folder;
		uuid_hex(&topic->id, hex);
		snprintf(path, sizeof(path), "data/topics/%s/%u", hex, partition);
		if (below(4) == 0)
			rot_derived(path);
		else if (disk_open(harness.disk, disk_root(harness.disk), path,
				   O_RDONLY | O_DIRECTORY, &folder) == 0) {
			rot_folder(folder, topic, partition);
			inode_put(harness.disk, folder);
		}
	}
}
