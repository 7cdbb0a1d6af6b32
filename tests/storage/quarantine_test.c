/* What a log makes of damage of what was durable: exactly what it costs is quarantined, readers of
 * it are told, others and producers go on, nothing of the damaged bytes changes, and the next life
 * knows of it. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "storage/store_internal.h"
#include "tests/storage/id_batch.h"
#include "tests/storage/sim.h"
#include "tests/storage/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum {
	BATCHES = 20,
	VALUE_BYTES = 3000,
	SEGMENT_BYTES = 10000, /* three batches */
};

/* ---- a device that cannot read some blocks ---- */

static struct {
	ino_t inode; /* 0: no file */
	uint64_t start, end;
	unsigned times; /* how often it fails; 0: always */
} unreadable;

ssize_t __real_pread64(int fd, void *data, size_t size, off_t at);
ssize_t __wrap_pread64(int fd, void *data, size_t size, off_t at);

ssize_t __wrap_pread64(int fd, void *data, size_t size, off_t at)
{
	struct stat info;

	if (unreadable.inode && fstat(fd, &info) == 0 && info.st_ino == unreadable.inode &&
	    (uint64_t)at < unreadable.end && (uint64_t)at + size > unreadable.start) {
		if (unreadable.times && --unreadable.times == 0)
			unreadable.inode = 0;
		errno = EIO;
		return -1;
	}
	return __real_pread64(fd, data, size, at);
}

/* ---- a folder, and what is done to it ---- */

struct world {
	struct rig rig;
	char sound[128]; /* the folder before it was damaged */
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	check(world);
	rig_init(&world->rig, NULL, sim_new(1), 16 << 20);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;
	struct io_backend *io = world->rig.io;

	unreadable.inode = 0;
	rig_fini(&world->rig);
	io_free(io);
	if (world->sound[0])
		remove_folder(world->sound);
	free(world);
	return 0;
}

static void keep_sound(struct world *world)
{
	make_folder(world->sound, true);
	copy_folder(world->rig.folder, world->sound);
}

static void make_sound(struct world *world)
{
	char copy[128];

	make_folder(copy, true);
	copy_folder(world->sound, copy);
	rig_move(&world->rig, copy);
}

/* Segments of three batches; the rig's log is closed. */
static void make_log(struct world *world)
{
	world->rig.config.segment_bytes = SEGMENT_BYTES;
	rig_open(&world->rig);
	rig_fill(&world->rig, BATCHES, VALUE_BYTES, 1000);
	rig_close(&world->rig);
	keep_sound(world);
}

static void name_of(char name[static 32], int64_t base_offset, const char *ending)
{
	snprintf(name, 32, "%020" PRId64 ".%s", base_offset, ending);
}

static void path_of(const struct rig *rig, int64_t base_offset, const char *ending,
		    char path[static 256])
{
	char name[32];

	name_of(name, base_offset, ending);
	rig_path(rig, name, path);
}

static void flip(const struct rig *rig, int64_t base_offset, size_t byte)
{
	char path[256];
	size_t size;

	path_of(rig, base_offset, "log", path);
	uint8_t *data = load_file(path, &size);
	assert_true(byte < size);
	data[byte] ^= 0x10;
	save_file(path, data, size);
	free(data);
}

static void remove_file(const struct rig *rig, int64_t base_offset, const char *ending)
{
	char path[256];

	path_of(rig, base_offset, ending, path);
	assert_int_equal(unlink(path), 0);
}

static void cut_to(const struct rig *rig, int64_t base_offset, size_t size)
{
	char path[256];

	path_of(rig, base_offset, "log", path);
	assert_int_equal(truncate(path, (off_t)size), 0);
}

/* Where the batches of a segment begin, and its end. */
static unsigned positions(const struct rig *rig, int64_t base_offset, size_t at[static 64])
{
	char path[256];

	path_of(rig, base_offset, "log", path);
	return segment_positions(path, at);
}

static bool has_quarantine(const struct rig *rig)
{
	char path[256];

	rig_path(rig, "quarantine", path);
	return file_exists(path);
}

/* ---- what is expected ---- */

static int read_rc(struct rig *rig, int64_t offset, int64_t *ret_base)
{
	struct rig_read got = rig_read(rig, offset, 1, true);

	if (got.rc == 0 && got.size) {
		struct batch batch;
		assert_int_equal(batch_parse(&batch, got.data, got.size), 0);
		assert_true(batch_crc_valid(&batch, got.data));
		*ret_base = batch.base_offset;
	}
	free(got.data);
	return got.rc;
}

/* Of a log of batches of one record. */
static void only_these_are_lost(struct rig *rig, int64_t from, int64_t to, int64_t end)
{
	assert_int_equal(log_end_offset(rig->log), end);
	for (int64_t offset = 0; offset < end; offset++) {
		int64_t base = -1;
		int rc = read_rc(rig, offset, &base);
		bool lost = offset >= from && offset < to;
		if (rc != (lost ? -ERR_CORRUPT : 0) || (!lost && base != offset))
			print_error("offset %" PRId64 ": rc %d base %" PRId64 "\n", offset, rc,
				    base);
		assert_int_equal(rc, lost ? -ERR_CORRUPT : 0);
		assert_int_equal(base, lost ? -1 : offset);
	}
	/* A large read from before ends at the range. */
	if (from > 0) {
		struct rig_read got = rig_read(rig, 0, 1 << 20, true);
		assert_int_equal(got.rc, 0);
		struct batch batch;
		int64_t last = -1;
		for (size_t at = 0; at < got.size; at += batch.size) {
			assert_int_equal(batch_parse(&batch, got.data + at, got.size - at), 0);
			last = batch.base_offset;
		}
		assert_true(last < from);
		free(got.data);
	}
}

static void one_range(const struct rig *rig, int64_t from, int64_t to, enum damage_kind kind)
{
	struct damage ranges[4];
	size_t count = log_quarantined(rig->log, ranges, 4);

	assert_int_equal(count, 1);
	if (ranges[0].from != from || ranges[0].to != to || ranges[0].kind != kind)
		print_error("%" PRId64 "-%" PRId64 " %s\n", ranges[0].from, ranges[0].to,
			    damage_text(ranges[0].kind));
	assert_int_equal(ranges[0].from, from);
	assert_int_equal(ranges[0].to, to);
	assert_int_equal(ranges[0].kind, kind);
	assert_int_equal(store_stats(rig->store)->quarantined_ranges, 1);
	assert_int_equal(store_stats(rig->store)->quarantined_offsets, to - from);
}

/* Opens the damaged log, three times, and appends: what is lost is [from, to), and stays so. */
static void costs(struct world *world, int64_t from, int64_t to, enum damage_kind kind)
{
	struct rig *rig = &world->rig;
	int64_t end = BATCHES;

	for (int life = 0; life < 3; life++) {
		rig_open(rig);
		one_range(rig, from, to, kind);
		only_these_are_lost(rig, from, to, end);
		rig_fill(rig, 1, VALUE_BYTES, 9000);
		only_these_are_lost(rig, from, to, ++end);
		assert_true(has_quarantine(rig));
		if (life == 1)
			rig_kill(rig);
		else
			rig_close(rig);
	}
	make_sound(world);
}

/* ---- batches ---- */

static void a_flipped_bit_costs_the_batch_that_it_is_in(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;
	size_t at[64];

	make_log(world);
	/* The header's bytes one by one, then some of the records'. */
	for (size_t byte = 0; byte < 3000; byte += byte < BATCH_HEADER_BYTES ? 1 : 611) {
		/* Nothing covers the leader's epoch, but it may not be of a later run. */
		for (int64_t which = 0; which < 3; which++) {
			positions(rig, 6, at);
			remove_file(rig, 6, "idx");
			flip(rig, 6, at[which] + byte);
			costs(world, 6 + which, 7 + which, DAMAGE_BATCH);
		}
	}
}

static void what_the_last_index_vouches_for_costs_no_more(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;
	size_t at[64];

	rig->config.segment_bytes = 1 << 20;
	rig_open(rig);
	rig_fill(rig, BATCHES, VALUE_BYTES, 1000);
	rig_close(rig);
	keep_sound(world);
	positions(rig, 0, at);
	for (unsigned which = 0; which < BATCHES; which++) {
		flip(rig, 0, at[which] + 70);
		costs(world, which, which + 1, DAMAGE_BATCH);
		flip(rig, 0, at[which] + 5); /* its offset */
		costs(world, which, which + 1, DAMAGE_BATCH);
	}
}

/* Behind a checkpoint damage is a torn tail, before it is not, whatever lies between. */
static void damage_before_a_checkpoint_does_not_cut_the_tail(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;
	size_t at[64];

	rig->config.segment_bytes = 1 << 20;
	rig_open(rig);
	rig_fill(rig, BATCHES / 2, VALUE_BYTES, 1000);
	segment_checkpoint(rig->log->active);
	rig_fill(rig, BATCHES / 2, VALUE_BYTES, 1000);
	rig_kill(rig);
	keep_sound(world);
	positions(rig, 0, at);
	flip(rig, 0, at[3] + 70);
	costs(world, 3, 4, DAMAGE_BATCH);
	flip(rig, 0, at[9] + 3);
	costs(world, 9, 10, DAMAGE_BATCH);
	flip(rig, 0, at[3] + 70);
	flip(rig, 0, at[15] + 70);
	rig_open(rig);
	one_range(rig, 3, 4, DAMAGE_BATCH);
	only_these_are_lost(rig, 3, 4, 15);
}

static void several_are_told_apart(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;
	struct damage ranges[4];
	size_t at[64];

	rig->config.segment_bytes = 1 << 20;
	rig_open(rig);
	rig_fill(rig, BATCHES, VALUE_BYTES, 1000);
	rig_close(rig);
	positions(rig, 0, at);
	flip(rig, 0, at[2] + 70);
	flip(rig, 0, at[3] + 2); /* neighbours are one range */
	flip(rig, 0, at[8] + 9);
	flip(rig, 0, at[19] + 2990);
	for (int life = 0; life < 2; life++) {
		rig_open(rig);
		assert_int_equal(log_quarantined(rig->log, ranges, 4), 3);
		static const int64_t from[] = {2, 8, 19};
		static const int64_t to[] = {4, 9, 20};
		for (int i = 0; i < 3; i++) {
			assert_int_equal(ranges[i].from, from[i]);
			assert_int_equal(ranges[i].to, to[i]);
			assert_int_equal(ranges[i].start, at[from[i]]);
			assert_int_equal(ranges[i].end, at[to[i]]);
		}
		assert_int_equal(log_end_offset(rig->log), BATCHES);
		rig_close(rig);
	}
}

static void a_whole_batch_between_two_damaged_ones_is_kept(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;
	size_t at[64];
	int64_t base = -1;

	make_log(world);
	positions(rig, 0, at);
	flip(rig, 0, at[0] + 70);
	flip(rig, 0, at[2] + 2);
	remove_file(rig, 0, "idx");
	rig_open(rig);
	assert_int_equal(log_quarantined(rig->log, NULL, 0), 2);
	assert_int_equal(read_rc(rig, 0, NULL), -ERR_CORRUPT);
	assert_int_equal(read_rc(rig, 1, &base), 0);
	assert_int_equal(base, 1);
	assert_int_equal(read_rc(rig, 2, NULL), -ERR_CORRUPT);
}

/* Its offset and leader's epoch lie under no checksum, and an index vouches for it. */
static void a_reader_is_not_given_a_batch_at_another_offset(void **state)
{
	static const size_t bytes[] = {0, 3, 7, 12, 15};
	struct world *world = *state;
	struct rig *rig = &world->rig;
	size_t at[64];

	make_log(world);
	positions(rig, 6, at);
	for (int64_t which = 0; which < 3; which++) {
		for (size_t i = 0; i < array_count(bytes); i++) {
			rig_open(rig);
			flip(rig, 6, at[which] + bytes[i]);
			assert_int_equal(read_rc(rig, 6 + which, NULL), -ERR_CORRUPT);
			store_housekeep(rig->store);
			one_range(rig, 6 + which, 7 + which, DAMAGE_BATCH);
			only_these_are_lost(rig, 6 + which, 7 + which, BATCHES);
			rig_close(rig);
			make_sound(world);
		}
	}
}

struct flipped {
	unsigned batch;
	size_t byte;
};

/* Each of `count` batches has a bit turned: those alone are lost, neighbours as one range. */
static void costs_those(struct world *world, const struct flipped *flipped, unsigned count,
			bool indexed)
{
	struct rig *rig = &world->rig;
	bool lost[BATCHES] = {0};
	size_t at[64];

	positions(rig, 0, at);
	for (unsigned i = 0; i < count; i++) {
		flip(rig, 0, at[flipped[i].batch] + flipped[i].byte);
		lost[flipped[i].batch] = true;
	}
	if (!indexed)
		remove_file(rig, 0, "idx");
	rig_open(rig);
	for (int64_t offset = 0; offset < BATCHES; offset++) {
		int64_t base = -1;
		assert_int_equal(read_rc(rig, offset, &base), lost[offset] ? -ERR_CORRUPT : 0);
		assert_int_equal(base, lost[offset] ? -1 : offset);
	}
	rig_close(rig);
	make_sound(world);
}

/* In records, offset, magic, last offset, number of records, and length. */
static void damage_in_several_costs_none_of_those_between(void **state)
{
	static const size_t bytes[] = {70, 5, 16, 25, 59};
	static const unsigned pairs = array_count(bytes) * array_count(bytes);
	struct world *world = *state;
	struct rig *rig = &world->rig;

	rig->config.segment_bytes = 60000; /* nineteen of them, and another segment */
	rig_open(rig);
	rig_fill(rig, BATCHES, VALUE_BYTES, 1000);
	rig_close(rig);
	keep_sound(world);
	for (unsigned i = 0; i < pairs; i++) {
		const size_t one = bytes[i % array_count(bytes)];
		const size_t other = bytes[i / array_count(bytes)];
		const struct flipped alone_between[] = {{2, one}, {3, other}, {5, one}};
		const struct flipped at_the_end[] = {{15, one}, {17, other}, {18, other}};
		const struct flipped every_other[] = {{4, one}, {6, other}, {8, one}, {10, other}};
		const struct flipped behind_length[] = {{2, 9}, {4, one}, {5, other}};
		/* It does not say its last offset, nor by the number of its records. */
		const struct flipped behind_unknown[] = {{2, 25}, {2, 59}, {4, one}, {6, other}};
		for (unsigned indexed = 0; indexed < 2; indexed++) {
			costs_those(world, alone_between, 3, indexed);
			costs_those(world, at_the_end, 3, indexed);
			costs_those(world, every_other, 4, indexed);
			costs_those(world, behind_length, 3, indexed);
			costs_those(world, behind_unknown, 4, indexed);
		}
	}
}

/* A record may hold what looks like a batch, even with the offset that comes next. */
static void what_a_record_holds_is_no_batch(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;
	struct made_batch inner = make_batch(1, 100, 1000, 1);
	struct made_batch outer = make_batch(1, 1000, 1000, 2);
	size_t at[64];

	rig->config.segment_bytes = 1 << 20;
	rig_open(rig);
	rig_fill(rig, 2, VALUE_BYTES, 1000);
	batch_set_base(inner.data, 3, 1);
	memcpy(outer.data + 300, inner.data, inner.size);
	fix_batch(outer.data, outer.size);
	assert_int_equal(rig_append(rig, &outer, ACK_DURABLE, NULL), 0);
	rig_fill(rig, BATCHES - 3, VALUE_BYTES, 1000);
	rig_close(rig);
	keep_sound(world);
	positions(rig, 0, at);
	/* Its frame is sound, and then it is not. */
	flip(rig, 0, at[2] + 200);
	costs(world, 2, 3, DAMAGE_BATCH);
	flip(rig, 0, at[2] + 2);
	costs(world, 2, 3, DAMAGE_BATCH);
	free(inner.data);
	free(outer.data);
}

/* ---- files ---- */

static void a_damaged_header_costs_its_segment(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;

	make_log(world);
	for (size_t byte = 0; byte < 64; byte++) {
		flip(rig, 0, byte);
		costs(world, 0, 3, DAMAGE_HEADER);
		flip(rig, 9, byte);
		costs(world, 9, 12, DAMAGE_HEADER);
		/* The log goes on in a new one. */
		flip(rig, 18, byte);
		costs(world, 18, 20, DAMAGE_HEADER);
	}
}

static void a_last_segment_of_nothing_but_damage_is_not_written_to(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;
	char path[256];
	size_t size;

	make_log(world);
	path_of(rig, 18, "log", path);
	uint8_t *data = load_file(path, &size);
	memset(data, 0x55, size);
	save_file(path, data, size);
	remove_file(rig, 18, "idx");
	rig_open(rig);
	one_range(rig, 18, 19, DAMAGE_HEADER);
	rig_fill(rig, 2, VALUE_BYTES, 1000);
	only_these_are_lost(rig, 18, 19, 21);
	uint8_t *after = load_file(path, &size);
	assert_memory_equal(after, data, size);
	free(after);
	free(data);
}

static void the_segment_of_another_partition_is_not_this_ones(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;
	char from[256];
	char to[256];
	size_t size;

	make_log(world);
	rig->identity.partition++;
	rig_open(rig);
	rig_fill(rig, BATCHES, VALUE_BYTES, 1000);
	rig_close(rig);
	path_of(rig, 6, "log", from);
	uint8_t *data = load_file(from, &size);
	rig->identity.partition--;
	path_of(rig, 6, "log", to);
	save_file(to, data, size);
	free(data);
	costs(world, 6, 9, DAMAGE_HEADER);
}

static void a_missing_segment_is_a_gap(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;

	make_log(world);
	remove_file(rig, 9, "log");
	costs(world, 9, 12, DAMAGE_MISSING);
	remove_file(rig, 9, "log");
	remove_file(rig, 9, "idx");
	remove_file(rig, 12, "log");
	costs(world, 9, 15, DAMAGE_MISSING);
}

/* Nothing is put in the place of what was there. */
static void a_missing_last_segment_is_known_by_its_index(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;

	make_log(world);
	remove_file(rig, 18, "log");
	costs(world, 18, BATCHES, DAMAGE_MISSING);
	/* An index that is of no such segment means nothing. */
	char from[256];
	char to[256];
	size_t size;
	path_of(rig, 18, "idx", from);
	path_of(rig, 19, "idx", to);
	uint8_t *index = load_file(from, &size);
	save_file(to, index, size);
	free(index);
	rig_open(rig);
	assert_int_equal(log_quarantined(rig->log, NULL, 0), 0);
	assert_int_equal(rig_check_all(rig), BATCHES);
}

static void a_link_in_place_of_a_segment_is_not_followed(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;
	char path[256];

	make_log(world);
	path_of(rig, 9, "log", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("00000000000000000006.log", path), 0);
	rig_open(rig);
	one_range(rig, 9, 12, DAMAGE_UNREADABLE);
	only_these_are_lost(rig, 9, 12, BATCHES);
}

static void a_segment_cut_short_costs_what_is_gone(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;
	size_t at[64];

	make_log(world);
	for (int64_t base = 6; base <= 18; base += 12) {
		unsigned count = positions(rig, base, at);
		for (unsigned which = 0; which < count; which++) {
			cut_to(rig, base, at[which]);
			costs(world, base + which, base + count, DAMAGE_MISSING);
			cut_to(rig, base, at[which] + 100);
			costs(world, base + which, base + count, DAMAGE_BATCH);
		}
	}
}

/* ---- what cannot be read ---- */

static void make_unreadable(const struct rig *rig, int64_t base_offset, uint64_t start,
			    uint64_t end)
{
	struct stat info;
	char path[256];

	path_of(rig, base_offset, "log", path);
	assert_int_equal(stat(path, &info), 0);
	unreadable.inode = info.st_ino;
	unreadable.start = start;
	unreadable.end = end;
	unreadable.times = 0;
}

/* Of segment 6, which has batches of 3070 bytes from 4096 on: the second and the third. */
static void open_with_unreadable_blocks(struct world *world)
{
	struct rig *rig = &world->rig;

	make_log(world);
	remove_file(rig, 6, "idx");
	make_unreadable(rig, 6, 8192, 12288);
	rig_open(rig);
	one_range(rig, 7, 9, DAMAGE_UNREADABLE);
}

static void blocks_that_cannot_be_read_cost_the_batches_in_them(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;

	open_with_unreadable_blocks(world);
	only_these_are_lost(rig, 7, 9, BATCHES);
	rig_close(rig);
	make_sound(world);
	make_unreadable(rig, 6, 0, 512);
	rig_open(rig);
	one_range(rig, 6, 9, DAMAGE_UNREADABLE);
	only_these_are_lost(rig, 6, 9, BATCHES);
}

static void what_a_device_can_read_again_is_lost_no_more(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;

	open_with_unreadable_blocks(world);
	rig_close(rig);
	rig_open(rig);
	one_range(rig, 7, 9, DAMAGE_UNREADABLE);
	rig_close(rig);
	unreadable.inode = 0;
	rig_open(rig);
	assert_int_equal(log_quarantined(rig->log, NULL, 0), 0);
	assert_false(has_quarantine(rig));
	assert_int_equal(rig_check_all(rig), BATCHES);
}

static void what_comes_back_is_verified(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;

	open_with_unreadable_blocks(world);
	rig_close(rig);
	unreadable.inode = 0;
	flip(rig, 6, 10300);
	rig_open(rig);
	one_range(rig, 8, 9, DAMAGE_BATCH);
	only_these_are_lost(rig, 8, 9, BATCHES);
}

/* As a power cut leaves one whose size was durable and whose bytes were not. */
static void truncate_segment(const struct rig *rig, int64_t base_offset)
{
	char path[256];

	path_of(rig, base_offset, "log", path);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(truncate(path, 65536), 0);
}

static void a_new_segment_that_cannot_be_read_is_no_damage(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;
	char why[160];

	rig_open(rig);
	rig_fill(rig, 1, VALUE_BYTES, 1000);
	rig_kill(rig);
	truncate_segment(rig, 0);
	make_unreadable(rig, 0, 4096, 8192);
	assert_int_equal(rig_try_open(rig, why, sizeof(why)), -EIO);
	rig->log = NULL;
	unreadable.inode = 0;
	rig_open(rig);
	assert_int_equal(log_quarantined(rig->log, NULL, 0), 0);
}

static void what_can_be_read_when_asked_again_costs_nothing(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;

	make_log(world);
	for (unsigned times = 1; times <= 3; times++) {
		remove_file(rig, 6, "idx");
		make_unreadable(rig, 6, times == 3 ? 0 : 8192, 12288);
		unreadable.times = times;
		rig_open(rig);
		assert_int_equal(rig_check_all(rig), BATCHES);
		rig_close(rig);
	}
}

static void a_tail_that_cannot_be_read_is_not_cut(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;
	char why[160];

	rig->config.segment_bytes = 1 << 20;
	rig_open(rig);
	rig_fill(rig, BATCHES, VALUE_BYTES, 1000);
	rig_kill(rig);
	make_unreadable(rig, 0, 40960, 45056);
	assert_int_equal(rig_try_open(rig, why, sizeof(why)), -EIO);
	rig->log = NULL;
	unreadable.inode = 0;
	rig_open(rig);
	assert_int_equal(rig_check_all(rig), BATCHES);
}

/* ---- who else is concerned ---- */

/* A retry is known where its first was before the damage, and a sequence behind it goes on. */
static void producers_go_on_around_it(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;
	struct made_batch made[5];
	size_t at[64];
	int64_t offset;

	rig->config.segment_bytes = 1 << 20;
	rig_open(rig);
	for (int i = 0; i < 5; i++)
		made[i] = make_producer_batch(1, 500, i < 2 ? 7 : 8, 0, i, 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(rig_append(rig, &made[i], ACK_DURABLE, NULL), 0);
	rig_close(rig);
	positions(rig, 0, at);
	flip(rig, 0, at[1] + 70);
	flip(rig, 0, at[2] + 70);
	char path[256];
	rig_path(rig, "00000000000000000004.producers", path);
	assert_int_equal(unlink(path), 0);
	rig_open(rig);
	one_range(rig, 1, 3, DAMAGE_BATCH);
	assert_int_equal(rig_append(rig, &made[0], ACK_DURABLE, &offset), 0);
	assert_int_equal(offset, 0);
	assert_int_equal(rig_append(rig, &made[3], ACK_DURABLE, &offset), 0);
	assert_int_equal(offset, 3);
	assert_int_equal(rig_append(rig, &made[4], ACK_DURABLE, &offset), 0);
	assert_int_equal(offset, 4);
	/* What was stored in between is not known to have been, nor that more was. */
	assert_int_equal(rig_append(rig, &made[1], ACK_DURABLE, &offset), 0);
	assert_int_equal(offset, 5);
	for (int i = 0; i < 5; i++)
		free(made[i].data);
}

static void a_dedup_window_goes_on_around_it(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;
	size_t at[64];
	int64_t offset;

	rig->config.segment_bytes = 1 << 20;
	rig->config.dedup = id_window(60000, 1000);
	rig_open(rig);
	for (uint64_t id = 1; id <= 5; id++)
		assert_int_equal(rig_keep_id(rig, id), id - 1);
	rig_kill(rig);
	/* So that what the window is read from is what is vouched for. */
	rig->config.dedup.enabled = false;
	rig_open(rig);
	rig_close(rig);
	positions(rig, 0, at);
	flip(rig, 0, at[2] + 70);
	rig->config.dedup.enabled = true;
	rig_open(rig);
	one_range(rig, 2, 3, DAMAGE_BATCH);
	assert_int_equal(rig_append_id(rig, 2, &offset), 0);
	assert_int_equal(offset, 1);
	assert_int_equal(rig_append_id(rig, 5, &offset), 0);
	assert_int_equal(offset, 4);
	assert_int_equal(rig_append_id(rig, 3, &offset), 0);
	assert_int_equal(offset, 5);
}

static void a_search_by_time_that_comes_upon_it_is_told(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;
	int64_t offset;
	int64_t ms;

	make_log(world);
	remove_file(rig, 9, "log");
	rig_open(rig);
	assert_int_equal(rig_find(rig, 1005, &offset, &ms), 0);
	assert_int_equal(offset, 5);
	assert_int_equal(rig_find(rig, 1010, &offset, &ms), -ERR_CORRUPT);
	assert_int_equal(rig_find(rig, 1013, &offset, &ms), 0);
	assert_int_equal(offset, 13);
	assert_int_equal(rig_find(rig, 1015, &offset, &ms), 0);
	assert_int_equal(offset, 15);
	rig_close(rig);
	make_sound(world);
	size_t at[64];
	positions(rig, 9, at);
	remove_file(rig, 9, "idx");
	flip(rig, 9, at[1] + 70);
	rig_open(rig);
	assert_int_equal(rig_find(rig, 1010, &offset, &ms), -ERR_CORRUPT);
	assert_int_equal(rig_find(rig, 1011, &offset, &ms), -ERR_CORRUPT);
	assert_int_equal(rig_find(rig, 1012, &offset, &ms), 0);
	assert_int_equal(offset, 12);
}

/* ---- its end ---- */

static void deleting_records_beyond_it_lifts_it(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;

	make_log(world);
	remove_file(rig, 9, "log");
	rig_open(rig);
	assert_int_equal(rig_trim(rig, 10, NULL), 0);
	one_range(rig, 9, 12, DAMAGE_MISSING);
	assert_int_equal(read_rc(rig, 10, NULL), -ERR_CORRUPT);
	assert_int_equal(rig_trim(rig, 12, NULL), 0);
	assert_int_equal(log_quarantined(rig->log, NULL, 0), 0);
	assert_int_equal(store_stats(rig->store)->quarantined_ranges, 0);
	assert_false(has_quarantine(rig));
	assert_int_equal(rig_check_all(rig), BATCHES - 12);
	rig_reopen(rig);
	assert_int_equal(log_quarantined(rig->log, NULL, 0), 0);
	assert_int_equal(rig_check_all(rig), BATCHES - 12);
}

static void retention_lifts_it_with_the_last_of_its_segments(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;

	make_log(world);
	flip(rig, 3, 20);
	rig_open(rig);
	one_range(rig, 3, 6, DAMAGE_HEADER);
	store_housekeep(rig->store);
	one_range(rig, 3, 6, DAMAGE_HEADER);
	rig->config.retention_bytes = 12 * (VALUE_BYTES + 70);
	log_set_config(rig->log, &rig->config);
	store_housekeep(rig->store);
	assert_int_equal(log_start_offset(rig->log), 6);
	assert_int_equal(log_quarantined(rig->log, NULL, 0), 0);
	assert_false(has_quarantine(rig));
}

static void the_first_segment_is_kept_though_nothing_of_it_is_left(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;
	size_t at[64];

	make_log(world);
	flip(rig, 0, 20);
	rig_open(rig);
	store_housekeep(rig->store);
	one_range(rig, 0, 3, DAMAGE_HEADER);
	only_these_are_lost(rig, 0, 3, BATCHES);
	rig_close(rig);
	make_sound(world);
	positions(rig, 0, at);
	for (int batch = 0; batch < 3; batch++)
		flip(rig, 0, at[batch] + 70);
	remove_file(rig, 0, "idx");
	rig_open(rig);
	store_housekeep(rig->store);
	one_range(rig, 0, 3, DAMAGE_BATCH);
	only_these_are_lost(rig, 0, 3, BATCHES);
}

/* ---- the file ---- */

static void a_file_that_is_not_whole_is_made_again(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;
	char path[256];
	char index[256];
	size_t size;

	make_log(world);
	size_t at[64];
	positions(rig, 6, at);
	remove_file(rig, 6, "idx");
	flip(rig, 6, at[1] + 70);
	rig_open(rig);
	rig_close(rig);
	rig_path(rig, "quarantine", path);
	path_of(rig, 6, "idx", index);
	assert_true(file_exists(index)); /* it does not tell of the damage */
	uint8_t *good = load_file(path, &size);
	for (size_t i = 0; i < 2 * size; i++) {
		uint8_t *bad = malloc(size);
		memcpy(bad, good, size);
		bad[i % size] ^= 1;
		/* Every byte changed, then cut to every length. */
		save_file(path, i < size ? bad : good, i < size ? size : i - size);
		free(bad);
		rig_open(rig);
		one_range(rig, 7, 8, DAMAGE_BATCH);
		rig_close(rig);
	}
	free(good);
}

static void one_that_was_being_written_means_nothing(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;
	char path[256];

	make_log(world);
	rig_path(rig, "quarantine.new", path);
	save_file(path, "sluice-quaran", 13);
	rig_open(rig);
	assert_int_equal(log_quarantined(rig->log, NULL, 0), 0);
	assert_int_equal(rig_check_all(rig), BATCHES);
}

static void a_newer_format_is_refused_as_such(void **state)
{
	struct world *world = *state;
	struct rig *rig = &world->rig;
	char path[256];
	char why[160];

	make_log(world);
	rig_path(rig, "quarantine", path);
	static const char newer[] = "sluice-quarantine 2\nwhatever\nsum 0123456789abcdef\n";
	char text[sizeof(newer)];
	memcpy(text, newer, sizeof(newer));
	snprintf(text + 29, sizeof(text) - 29, "sum %016" PRIx64 "\n", XXH3_64bits(newer, 29));
	save_file(path, text, sizeof(newer) - 1);
	assert_int_equal(rig_try_open(rig, why, sizeof(why)), -ERR_FORMAT);
	assert_non_null(strstr(why, "quarantine"));
	rig->log = NULL;
}

static struct damage range_of(int64_t from, int64_t to, int64_t segment)
{
	return (struct damage){
		.from = from,
		.to = to,
		.committed_from = from,
		.segment = segment,
		.start = (uint64_t)from * 10,
		.end = (uint64_t)to * 10,
		.found_ms = INT64_MAX,
		.kind = DAMAGE_UNREADABLE,
	};
}

static void what_is_written_is_read_again(void **state)
{
	struct quarantine written = {0};
	struct quarantine read = {0};
	char *text = malloc(QUARANTINE_FILE_BYTES);

	(void)state;
	/* The longest there are. */
	int64_t base = INT64_MAX / 10 - 2 * (QUARANTINE_RANGES_MAX + 1);
	for (int64_t i = 0; i < QUARANTINE_RANGES_MAX; i++) {
		struct damage range = range_of(base + 2 * i, base + 2 * i + 1, base);
		assert_int_equal(quarantine_add(&written, &range), 1);
	}
	size_t length = quarantine_format(&written, text);
	assert_true(length < QUARANTINE_FILE_BYTES);
	assert_int_equal(quarantine_parse(&read, text, length), 0);
	assert_int_equal(read.count, QUARANTINE_RANGES_MAX);
	for (size_t i = 0; i < read.count; i++) {
		assert_int_equal(read.ranges[i].from, written.ranges[i].from);
		assert_int_equal(read.ranges[i].to, written.ranges[i].to);
		assert_int_equal(read.ranges[i].end, written.ranges[i].end);
		assert_int_equal(read.ranges[i].kind, DAMAGE_UNREADABLE);
	}
	/* One more: the first two are nearest, and become one. */
	struct damage more = range_of(0, 1, 0);
	assert_int_equal(quarantine_add(&written, &more), 1);
	assert_int_equal(written.count, QUARANTINE_RANGES_MAX);
	assert_int_equal(written.ranges[1].from, base);
	assert_int_equal(written.ranges[1].to, base + 3);
	quarantine_fini(&written);
	quarantine_fini(&read);
	free(text);
}

static void ranges_that_meet_become_one(void **state)
{
	struct quarantine q = {0};
	struct damage first = range_of(10, 20, 0);
	struct damage behind = range_of(20, 30, 0);
	struct damage elsewhere = range_of(30, 40, 30);
	struct damage over_all = range_of(5, 50, 5);
	struct damage inside = range_of(12, 13, 0);

	(void)state;
	behind.kind = DAMAGE_UNREADABLE;
	assert_int_equal(quarantine_add(&q, &first), 1);
	assert_int_equal(quarantine_add(&q, &inside), 0);
	assert_int_equal(quarantine_add(&q, &behind), 1);
	assert_int_equal(q.count, 1);
	assert_int_equal(q.ranges[0].to, 30);
	assert_int_equal(q.ranges[0].end, 300);
	assert_int_equal(q.ranges[0].kind, DAMAGE_UNREADABLE); /* in part: it may come back */
	assert_int_equal(quarantine_add(&q, &elsewhere), 1);
	assert_int_equal(q.count, 2);
	assert_int_equal(quarantine_limit(&q, 0, false), 10);
	assert_int_equal(quarantine_limit(&q, 35, false), 30);
	assert_int_equal(quarantine_limit(&q, 40, false), INT64_MAX);
	quarantine_bar_committed(&q, 1, 7);
	assert_int_equal(quarantine_limit(&q, 0, true), 7);
	assert_int_equal(quarantine_limit(&q, 0, false), 10);
	assert_int_equal(quarantine_offsets(&q), 30);
	assert_int_equal(quarantine_add(&q, &over_all), 1);
	assert_int_equal(q.count, 1);
	assert_int_equal(quarantine_offsets(&q), 45);
	quarantine_trim(&q, 49);
	assert_int_equal(q.count, 1);
	quarantine_trim(&q, 50);
	assert_int_equal(q.count, 0);
	quarantine_fini(&q);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_flipped_bit_costs_the_batch_that_it_is_in),
		TEST(what_the_last_index_vouches_for_costs_no_more),
		TEST(damage_before_a_checkpoint_does_not_cut_the_tail),
		TEST(several_are_told_apart),
		TEST(a_whole_batch_between_two_damaged_ones_is_kept),
		TEST(a_reader_is_not_given_a_batch_at_another_offset),
		TEST(damage_in_several_costs_none_of_those_between),
		TEST(what_a_record_holds_is_no_batch),
		TEST(a_damaged_header_costs_its_segment),
		TEST(a_last_segment_of_nothing_but_damage_is_not_written_to),
		TEST(the_segment_of_another_partition_is_not_this_ones),
		TEST(a_missing_segment_is_a_gap),
		TEST(a_missing_last_segment_is_known_by_its_index),
		TEST(a_link_in_place_of_a_segment_is_not_followed),
		TEST(a_segment_cut_short_costs_what_is_gone),
		TEST(blocks_that_cannot_be_read_cost_the_batches_in_them),
		TEST(a_new_segment_that_cannot_be_read_is_no_damage),
		TEST(what_a_device_can_read_again_is_lost_no_more),
		TEST(what_comes_back_is_verified),
		TEST(what_can_be_read_when_asked_again_costs_nothing),
		TEST(a_tail_that_cannot_be_read_is_not_cut),
		TEST(producers_go_on_around_it),
		TEST(a_dedup_window_goes_on_around_it),
		TEST(a_search_by_time_that_comes_upon_it_is_told),
		TEST(deleting_records_beyond_it_lifts_it),
		TEST(retention_lifts_it_with_the_last_of_its_segments),
		TEST(the_first_segment_is_kept_though_nothing_of_it_is_left),
		TEST(a_file_that_is_not_whole_is_made_again),
		TEST(one_that_was_being_written_means_nothing),
		TEST(a_newer_format_is_refused_as_such),
		cmocka_unit_test(what_is_written_is_read_again),
		cmocka_unit_test(ranges_that_meet_become_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
