/* Writes, flushes and allocations that fail or come late, on the simulated disk: acks=all waiters
 * are told, nothing unflushed is shown, what was durable stays readable, the log turns writable
 * again, other logs go on. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "storage/store_internal.h"
#include "tests/storage/sim.h"
#include "tests/storage/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

struct disk {
	struct rig rig;
	/* The operation of this kind fails with `rc`, after `let_pass` of its kind. */
	enum io_op op;
	int rc;
	unsigned let_pass;
	bool armed;
	bool for_good; /* also all later ones of its kind */
};

static int fault(void *context, enum io_op op, uint64_t offset, size_t length)
{
	struct disk *disk = context;

	(void)offset;
	(void)length;
	if (!disk->armed || op != disk->op)
		return 0;
	if (disk->let_pass) {
		disk->let_pass--;
		return 0;
	}
	disk->armed = disk->for_good;
	return disk->rc;
}

static void fail_next(struct disk *disk, enum io_op op, int rc)
{
	disk->op = op;
	disk->rc = rc;
	disk->let_pass = 0;
	disk->armed = true;
	disk->for_good = false;
}

static int setup(void **state)
{
	struct disk *disk = calloc(1, sizeof(*disk));

	check(disk);
	rig_init(&disk->rig, NULL, sim_new(1), 16 << 20);
	sim_options(disk->rig.io)->fault = fault;
	sim_options(disk->rig.io)->context = disk;
	disk->rig.config.segment_bytes = 8 << 20;
	*state = disk;
	return 0;
}

static int teardown(void **state)
{
	struct disk *disk = *state;
	struct io_backend *io = disk->rig.io;

	disk->armed = false;
	rig_fini(&disk->rig);
	io_free(io);
	free(disk);
	return 0;
}

static void turns(struct rig *rig, unsigned count)
{
	while (count--)
		rig_turn(rig);
}

/* Three durable batches, then one that fails by `op`, and the way back. */
static void fails_and_recovers(struct disk *disk, enum io_op op, int rc)
{
	struct rig *rig = &disk->rig;
	struct made_batch made = make_batch(1, 5000, 1000, 1);
	struct rig_append durable;
	struct rig_append submitted;
	struct rig_append refused;

	rig_open(rig);
	rig_fill(rig, 3, 100, 1000);
	fail_next(disk, op, rc);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &durable), 0);
	assert_int_equal(rig_start_append(rig, &made, ACK_SUBMITTED, &submitted), 0);
	turns(rig, 5);
	assert_false(disk->armed);
	assert_true(durable.done);
	assert_int_equal(durable.rc, -ERR_STORAGE);
	assert_true(submitted.done); /* maybe before it failed */
	assert_int_equal(log_high_watermark(rig->log), 3);
	assert_int_equal(log_end_offset(rig->log), 3);
	assert_int_equal(rig_check_all(rig), 3);
	assert_int_equal(store_stats(rig->store)->failures, 1);
	/* Read-only for a while. */
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &refused), -ERR_STORAGE);
	rig->now_ns += 2 * NS_PER_SECOND;
	int64_t offset;
	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, &offset), 0);
	assert_true(offset >= 3 && offset <= 5);
	assert_int_equal(rig_check_all(rig), (unsigned)offset + 1);
	rig_reopen(rig);
	assert_int_equal(rig_check_all(rig), (unsigned)offset + 1);
	free(made.data);
}

static void a_write_that_fails_is_told(void **state)
{
	fails_and_recovers(*state, IO_WRITE, -EIO);
}

static void a_short_write_is_a_failed_one(void **state)
{
	fails_and_recovers(*state, IO_WRITE, 512);
}

static void a_flush_that_fails_is_told(void **state)
{
	fails_and_recovers(*state, IO_FLUSH, -EIO);
}

static void a_failed_log_is_repaired_to_delete_records(void **state)
{
	struct disk *disk = *state;
	struct rig *rig = &disk->rig;
	struct made_batch made = make_batch(1, 5000, 1000, 1);
	struct rig_append append;
	int64_t start;

	rig_open(rig);
	rig_fill(rig, 3, 100, 1000);
	fail_next(disk, IO_WRITE, -ENOSPC);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &append), 0);
	turns(rig, 5);
	assert_int_equal(append.rc, -ERR_STORAGE);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &append), -ERR_STORAGE);
	assert_int_equal(rig_trim(rig, 2, &start), 0);
	assert_int_equal(start, 2);
	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
	assert_int_equal(log_end_offset(rig->log), 4);
	free(made.data);
}

static void a_full_file_system_is_told(void **state)
{
	struct disk *disk = *state;
	struct rig *rig = &disk->rig;
	struct made_batch made = make_batch(1, 900000, 1000, 1);
	struct rig_append appends[4];
	int64_t offset;

	rig_open(rig);
	rig_fill(rig, 3, 100, 1000);
	fail_next(disk, IO_ALLOCATE, -ENOSPC);
	disk->for_good = true;
	for (int i = 0; i < 4; i++)
		assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &appends[i]), 0);
	turns(rig, 5);
	for (int i = 0; i < 4; i++)
		assert_true(appends[i].done && appends[i].rc == -ERR_STORAGE);
	assert_int_equal(rig_check_all(rig), 3);
	/* Still full after the pause; then there is room. */
	rig->now_ns += 2 * NS_PER_SECOND;
	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), -ERR_STORAGE);
	disk->armed = false;
	rig->now_ns += 3 * NS_PER_SECOND;
	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, &offset), 0);
	assert_int_equal(rig_check_all(rig), (unsigned)offset + 1);
	free(made.data);
}

/* Nobody appends, but somebody would like to. */
static void housekeeping_repairs(void **state)
{
	struct disk *disk = *state;
	struct rig *rig = &disk->rig;
	struct made_batch made = make_batch(1, 5000, 1000, 1);
	struct rig_append append;

	rig_open(rig);
	fail_next(disk, IO_WRITE, -EIO);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &append), 0);
	turns(rig, 5);
	store_housekeep(rig->store);
	assert_int_equal(rig->log->state, LOG_FAILED);
	rig->now_ns += 2 * NS_PER_SECOND;
	store_housekeep(rig->store);
	assert_int_equal(rig->log->state, LOG_WRITABLE);
	free(made.data);
}

/* Several buffers are in flight, one in the middle fails, those behind it arrive. */
static void a_hole_is_not_passed(void **state)
{
	struct disk *disk = *state;
	struct rig *rig = &disk->rig;
	struct made_batch made = make_batch(1, 200000, 1000, 1);
	struct rig_append appends[8];
	unsigned told = 0;

	rig_open(rig);
	rig_fill(rig, 3, 100, 1000);
	sim_options(rig->io)->slowness = 3;
	for (int i = 0; i < 8; i++)
		assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &appends[i]), 0);
	fail_next(disk, IO_WRITE, -EIO);
	disk->let_pass = 2;
	turns(rig, 60);
	for (int i = 0; i < 8; i++) {
		assert_true(appends[i].done);
		told += appends[i].rc == -ERR_STORAGE;
	}
	assert_true(told > 0);
	assert_int_equal(log_high_watermark(rig->log), 3 + 8 - told);
	assert_int_equal(rig_check_all(rig), 3 + 8 - told);
	rig->now_ns += 2 * NS_PER_SECOND;
	int64_t offset;
	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, &offset), 0);
	assert_int_equal(rig_check_all(rig), (unsigned)offset + 1);
	free(made.data);
}

static void nothing_is_told_before_the_flush(void **state)
{
	struct disk *disk = *state;
	struct rig *rig = &disk->rig;
	struct made_batch made = make_batch(1, 5000, 1000, 1);
	struct rig_append durable;
	struct rig_append submitted;

	rig_open(rig);
	rig_fill(rig, 1, 100, 1000);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &durable), 0);
	assert_int_equal(rig_start_append(rig, &made, ACK_SUBMITTED, &submitted), 0);
	assert_false(submitted.done);
	store_submit(rig->store);
	assert_true(submitted.done);
	assert_int_equal(sim_queued(rig->io, IO_WRITE), 1);
	assert_int_equal(sim_queued(rig->io, IO_FLUSH), 0);
	io_turn(rig->io, 0);
	assert_false(durable.done);
	assert_int_equal(log_high_watermark(rig->log), 1);
	store_submit(rig->store);
	assert_int_equal(sim_queued(rig->io, IO_FLUSH), 1);
	assert_false(durable.done);
	io_turn(rig->io, 0);
	assert_true(durable.done);
	assert_int_equal(log_high_watermark(rig->log), 3);
	free(made.data);
}

static void other_logs_go_on(void **state)
{
	struct disk *disk = *state;
	struct rig *rig = &disk->rig;
	struct made_batch made = make_batch(1, 5000, 1000, 1);
	struct rig_append bad;
	struct rig_append good;

	rig_open(rig);
	struct log *failing = rig->log;
	rig->identity.partition++;
	rig_open(rig);
	struct log *sound = rig->log;
	rig->log = failing;
	fail_next(disk, IO_WRITE, -EIO);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &bad), 0);
	rig->log = sound;
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &good), 0);
	turns(rig, 5);
	assert_true(bad.done && bad.rc == -ERR_STORAGE);
	assert_true(good.done && good.rc == 0);
	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
	rig_close(rig);
	rig->log = failing;
	free(made.data);
}

/* One flush for all of them, so it fails for all of them. */
static void a_flush_of_the_device_that_fails_is_told_to_every_log(void **state)
{
	struct disk *disk = *state;
	struct rig *rig = &disk->rig;
	struct made_batch made = make_batch(1, 5000, 1000, 1);
	struct rig_append appends[3];
	struct log *logs[3];

	rig->flush_shared = true;
	rig_restart(rig);
	sim_options(rig->io)->device_fd = rig->store->flush_fd;
	for (int i = 0; i < 3; i++) {
		rig->identity.partition = i;
		rig_open(rig);
		logs[i] = rig->log;
		rig_fill(rig, 2, 100, 1000);
	}
	uint64_t flushes = store_stats(rig->store)->flushes;
	fail_next(disk, IO_FLUSH, -EIO);
	for (int i = 0; i < 3; i++) {
		rig->log = logs[i];
		assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &appends[i]), 0);
	}
	turns(rig, 5);
	assert_int_equal(store_stats(rig->store)->flushes, flushes + 1);
	rig->now_ns += 2 * NS_PER_SECOND;
	for (int i = 0; i < 3; i++) {
		assert_true(appends[i].done && appends[i].rc == -ERR_STORAGE);
		rig->log = logs[i];
		assert_int_equal(log_high_watermark(rig->log), 2);
		assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
		rig_check_all(rig);
		if (i < 2)
			rig_close(rig);
	}
	free(made.data);
}

static void what_was_written_when_the_device_failed_a_flush_is_not_believed_elsewhere(void **state)
{
	struct disk *disk = *state;
	struct rig *rig = &disk->rig;
	struct rig other;
	struct made_batch made = make_batch(1, 5000, 1000, 1);
	struct rig_append appends[2];

	rig->flush_shared = true;
	rig_restart(rig);
	sim_options(rig->io)->device_fd = rig->store->flush_fd;
	rig_open(rig);
	rig_fill(rig, 2, 100, 1000);
	rig_init(&other, NULL, sim_new(2), 16 << 20);
	rig_open(&other);
	assert_int_equal(rig_start_append(&other, &made, ACK_DURABLE, &appends[1]), 0);
	/* It is written, and its flush is under way. */
	store_submit(other.store);
	while (!sim_queued(other.io, IO_FLUSH)) {
		assert_true(io_turn(other.io, 0) >= 0);
		store_submit(other.store);
	}
	fail_next(disk, IO_FLUSH, -EIO);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &appends[0]), 0);
	turns(rig, 5);
	turns(&other, 5);
	for (int i = 0; i < 2; i++) {
		assert_true(appends[i].done);
		assert_int_equal(appends[i].rc, -ERR_STORAGE);
	}
	other.now_ns += 2 * NS_PER_SECOND;
	assert_int_equal(rig_append(&other, &made, ACK_DURABLE, NULL), 0);
	rig_check_all(&other);
	rig_close(&other);
	struct io_backend *io = other.io;
	rig_fini(&other);
	io_free(io);
	free(made.data);
}

/* ---- closing ---- */

static void note_closed(void *context)
{
	*(bool *)context = true;
}

static void closing_with_writes_in_flight_waits_for_them(void **state)
{
	struct disk *disk = *state;
	struct rig *rig = &disk->rig;
	struct made_batch made = make_batch(1, 100000, 1000, 1);
	struct rig_append appends[8];
	bool closed = false;

	sim_options(rig->io)->slowness = 4;
	rig_open(rig);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &appends[i]), 0);
		rig_turn(rig);
	}
	log_close(rig->log, false, note_closed, &closed);
	for (unsigned i = 0; !closed; i++) {
		assert_true(i < 1000);
		rig_turn(rig);
	}
	for (int i = 0; i < 8; i++)
		assert_true(appends[i].done && appends[i].rc == 0);
	rig->log = NULL;
	rig_open(rig);
	assert_int_equal(rig_check_all(rig), 8);
	free(made.data);
}

static void closing_that_fails_tells_and_ends(void **state)
{
	static const enum io_op ops[] = {IO_WRITE, IO_FLUSH, IO_ALLOCATE};
	struct disk *disk = *state;
	struct rig *rig = &disk->rig;
	struct made_batch made = make_batch(1, 800000, 1000, 1);

	for (size_t i = 0; i < 3; i++) {
		struct rig_append appends[3];
		bool closed = false;
		rig->identity.partition++;
		rig_open(rig);
		rig_fill(rig, 2, 100, 1000);
		for (int j = 0; j < 3; j++)
			assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &appends[j]), 0);
		fail_next(disk, ops[i], -EIO);
		disk->for_good = true;
		log_close(rig->log, false, note_closed, &closed);
		for (unsigned turn = 0; !closed; turn++) {
			assert_true(turn < 1000);
			rig_turn(rig);
		}
		for (int j = 0; j < 3; j++)
			assert_true(appends[j].done && appends[j].rc == -ERR_STORAGE);
		disk->armed = false;
		rig_open(rig);
		assert_true(log_end_offset(rig->log) >= 2);
		assert_int_equal(rig_check_all(rig), (unsigned)log_end_offset(rig->log));
		rig_close(rig);
	}
	free(made.data);
}

static void a_failed_log_can_be_closed_and_removed(void **state)
{
	struct disk *disk = *state;
	struct rig *rig = &disk->rig;
	struct made_batch made = make_batch(1, 5000, 1000, 1);

	for (int removed = 0; removed < 2; removed++) {
		bool closed = false;
		rig_open(rig);
		fail_next(disk, IO_FLUSH, -EIO);
		assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), -ERR_STORAGE);
		log_close(rig->log, removed, note_closed, &closed);
		turns(rig, 3);
		assert_true(closed);
		rig->log = NULL;
	}
	free(made.data);
}

/* The answer to an append closes the log: nothing may touch it afterwards. */
struct closing_append {
	struct log_append append;
	struct log *log;
	bool closed;
	bool remove;
};

static void close_from_inside(struct log_append *append, int rc)
{
	struct closing_append *mine = container_of(append, struct closing_append, append);

	assert_int_equal(rc, 0);
	log_close(mine->log, mine->remove, note_closed, &mine->closed);
}

static void an_answer_may_close_the_log(void **state)
{
	struct disk *disk = *state;
	struct rig *rig = &disk->rig;
	struct made_batch made = make_batch(1, 5000, 1000, 1);

	for (int i = 0; i < 4; i++) {
		struct closing_append append = {.append.done = close_from_inside, .remove = i / 2};
		rig_open(rig);
		append.log = rig->log;
		assert_int_equal(log_append(rig->log, made.data, &made.batch, -1,
					    i % 2 ? ACK_DURABLE : ACK_SUBMITTED, &append.append),
				 0);
		rig->log = NULL;
		turns(rig, 5);
		assert_true(append.closed);
	}
	free(made.data);
}

/* ---- readers ---- */

struct held_read {
	struct log_read read;
	int done;
	int rc;
};

static void held_done(struct log_read *read, int rc)
{
	struct held_read *held = container_of(read, struct held_read, read);

	held->done++;
	held->rc = rc;
}

static void a_repair_does_not_wait_for_readers(void **state)
{
	struct disk *disk = *state;
	struct rig *rig = &disk->rig;
	struct made_batch made = make_batch(1, 5000, 1000, 1);
	struct held_read held = {.read = {.bytes_max = 1000, .done = held_done}};
	struct held_read late = {.read = {.bytes_max = 1000, .done = held_done}};

	held.read.oversize_first = late.read.oversize_first = true;
	rig_open(rig);
	rig_fill(rig, 10, 5000, 1000);
	rig_reopen(rig);
	log_read(rig->log, &held.read);
	turns(rig, 3);
	assert_int_equal(held.done, 1);
	fail_next(disk, IO_FLUSH, -EIO);
	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), -ERR_STORAGE);
	late.read.offset = 7;
	log_drop_ahead(rig->log);
	log_read(rig->log, &late.read);
	assert_int_equal(sim_queued(rig->io, IO_READ), 1);
	rig->now_ns += 2 * NS_PER_SECOND;
	store_housekeep(rig->store);
	assert_int_equal(rig->log->state, LOG_WRITABLE);
	turns(rig, 3);
	assert_int_equal(late.done, 1);
	assert_int_equal(late.rc, -ERR_STORAGE); /* to be asked again */
	assert_int_equal(held.rc, 0);
	assert_int_equal(load_be64(held.read.vectors[0].iov_base), 0);
	log_read_release(rig->store, &held.read);
	log_read_release(rig->store, &late.read);
	rig_check_all(rig);
	free(made.data);
}

static void closing_waits_for_readers(void **state)
{
	struct disk *disk = *state;
	struct rig *rig = &disk->rig;
	struct held_read held = {.read = {.bytes_max = 1000, .done = held_done}};
	bool closed = false;

	rig_open(rig);
	rig_fill(rig, 10, 5000, 1000);
	rig_reopen(rig);
	log_read(rig->log, &held.read);
	log_close(rig->log, false, note_closed, &closed);
	assert_false(closed);
	assert_false(held.done);
	turns(rig, 2);
	assert_true(closed);
	assert_int_equal(held.done, 1);
	assert_int_equal(held.rc, -ERR_CLOSING);
	rig->log = NULL;
	log_read_release(rig->store, &held.read);
}

/* Durable records that are no longer there must not be cut away by a repair. */
static void a_repair_that_finds_less_than_was_durable_changes_nothing(void **state)
{
	struct disk *disk = *state;
	struct rig *rig = &disk->rig;
	struct made_batch made = make_batch(1, 5000, 1000, 1);
	char path[256];
	size_t size;

	rig_open(rig);
	rig_fill(rig, 10, 5000, 1000);
	fail_next(disk, IO_FLUSH, -EIO);
	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), -ERR_STORAGE);
	rig_path(rig, "00000000000000000000.log", path);
	uint8_t *whole = load_file(path, &size);
	whole[SEGMENT_HEADER_BYTES + 30000] ^= 1;
	save_file(path, whole, size);
	rig->now_ns += 2 * NS_PER_SECOND;
	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), -ERR_STORAGE);
	assert_int_equal(log_high_watermark(rig->log), 10);
	/* What is sound can still be read. */
	struct rig_read read = rig_read(rig, 1, 1, true);
	assert_int_equal(read.rc, 0);
	assert_int_equal(load_be64(read.data), 1);
	free(read.data);
	size_t after;
	uint8_t *again = load_file(path, &after);
	assert_int_equal(after, size);
	assert_memory_equal(again, whole, size);
	free(again);
	/* Once the disk gives the right bytes again, all is well. */
	whole[SEGMENT_HEADER_BYTES + 30000] ^= 1;
	save_file(path, whole, size);
	rig->now_ns += 60 * NS_PER_SECOND;
	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
	rig_check_all(rig);
	free(whole);
	free(made.data);
}

static void the_pause_grows_while_it_goes_on_failing(void **state)
{
	struct disk *disk = *state;
	struct rig *rig = &disk->rig;
	struct made_batch made = make_batch(1, 5000, 1000, 1);
	uint64_t pause_ns = 0;

	rig_open(rig);
	fail_next(disk, IO_FLUSH, -EIO);
	disk->for_good = true;
	for (int i = 0; i < 10; i++) {
		uint64_t waited_ns = 0;
		while (rig_append(rig, &made, ACK_DURABLE, NULL) == -ERR_STORAGE &&
		       store_stats(rig->store)->failures == (uint64_t)i) {
			rig->now_ns += NS_PER_SECOND;
			waited_ns += NS_PER_SECOND;
			assert_true(waited_ns <= 31 * NS_PER_SECOND);
		}
		assert_true(waited_ns >= pause_ns / 2);
		pause_ns = waited_ns;
	}
	assert_true(pause_ns >= 20 * NS_PER_SECOND);
	free(made.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(a_write_that_fails_is_told),
		T(a_short_write_is_a_failed_one),
		T(a_flush_that_fails_is_told),
		T(a_failed_log_is_repaired_to_delete_records),
		T(a_full_file_system_is_told),
		T(housekeeping_repairs),
		T(a_hole_is_not_passed),
		T(nothing_is_told_before_the_flush),
		T(other_logs_go_on),
		T(a_flush_of_the_device_that_fails_is_told_to_every_log),
		T(what_was_written_when_the_device_failed_a_flush_is_not_believed_elsewhere),
		T(closing_with_writes_in_flight_waits_for_them),
		T(closing_that_fails_tells_and_ends),
		T(a_failed_log_can_be_closed_and_removed),
		T(an_answer_may_close_the_log),
		T(a_repair_does_not_wait_for_readers),
		T(closing_waits_for_readers),
		T(a_repair_that_finds_less_than_was_durable_changes_nothing),
		T(the_pause_grows_while_it_goes_on_failing),
#undef T
	};

	log_set_level(LOG_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
