/* A process with one store and one log: it recovers, appends, reads, trims and closes, and looks at
 * each of its answers. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/errors.h"
#include "tests/sim/backend.h"
#include "tests/sim/storage_world.h"
#include "tests/storage/support.h"

#include <errno.h>
#include <string.h>

/* ---- steps of a life ---- */

static void collect(void)
{
	for (unsigned i = 0; i < PENDING_MAX; i++) {
		struct pending *pending = &world.pending[i];
		if (!pending->used || !pending->done)
			continue;
		pending->used = false;
		if (pending->rc < 0) {
			require(pending->rc == -ERR_STORAGE || pending->rc == -ERR_CLOSING);
			continue;
		}
		if (pending->append.ack != ACK_DURABLE)
			continue;
		struct entry *entry = model_entry_at(pending->append.base_offset);
		require(entry->offset == pending->append.base_offset);
		require(entry->crc == pending->crc);
		entry->durable = true;
	}
	if (!world.closed)
		model_note_durable_below(log_high_watermark(world.log));
}

static void turn(uint64_t wait_ns)
{
	store_submit(world.store);
	require(io_turn(world.io, wait_ns) >= 0);
	collect();
}

static void append_done(struct log_append *append, int rc)
{
	struct pending *pending = container_of(append, struct pending, append);

	pending->done = true;
	pending->rc = rc;
}

static struct pending *free_pending(void)
{
	for (unsigned i = 0; i < PENDING_MAX; i++) {
		if (!world.pending[i].used)
			return &world.pending[i];
	}
	return NULL;
}

/* What its entry says, so that a batch can be sent again. */
static struct made_batch make(const struct entry *entry)
{
	if (!entry->producer)
		return make_batch(entry->records, entry->value_bytes, 1000,
				  world_seed << 20 | world.batches++);
	return make_producer_batch(entry->records, entry->value_bytes, entry->producer, 0,
				   entry->sequence, 0);
}

static void note_appended(struct pending *pending, struct entry entry,
			  const struct made_batch *made)
{
	model_forget_from(pending->append.base_offset);
	entry.offset = pending->append.base_offset;
	entry.end = entry.offset + made->batch.last_offset_delta + 1;
	entry.crc = made->batch.crc;
	entry.durable = false;
	world.entries[world.count++] = entry;
}

/* `again`: the entry of the same batch, that was appended before. */
static void append_batch(struct entry entry, const struct entry *again)
{
	struct pending *pending = free_pending();
	bool damaged = world.unreadable || world.rotten_count;
	bool failed = log_failed(world.log);

	if (!pending || world.count == ENTRIES_MAX)
		return;
	struct made_batch made = make(&entry);
	*pending = (struct pending){.append.done = append_done, .crc = made.batch.crc};
	int rc = log_append(world.log, made.data, &made.batch, -1,
			    world_one_in(3) ? ACK_SUBMITTED : ACK_DURABLE, &pending->append);
	/* A repair may have found less than there was, or more. */
	bool repaired = failed && !log_failed(world.log);
	world.repairs += repaired;
	pending->used = rc >= 0;
	if (rc == 1)
		require(repaired || damaged ||
			(again && pending->append.base_offset == again->offset));
	else if (rc == 0)
		note_appended(pending, entry, &made);
	else
		require(rc == -ENOBUFS || rc == -ERR_STORAGE ||
			(rc == -ERR_SEQUENCE && (repaired || damaged)));
	if (rc == 0 && again)
		require(repaired || damaged);
	free(made.data);
}

static void append(void)
{
	struct entry entry = {
		.producer = world_one_in(2) ? (int64_t)world_below(PRODUCERS + 1) : 0,
		.records = 1 + (unsigned)world_below(3),
		.value_bytes = world_one_in(3) ? world_below(12000) : 400,
	};

	/* A repair at the last housekeeping may have found less than there was. */
	if (!log_failed(world.log))
		model_forget_from(log_end_offset(world.log));
	const struct entry *last = entry.producer ? model_last_of(entry.producer) : NULL;
	if (last && world_one_in(5) && last->offset >= log_start_offset(world.log)) {
		append_batch(*last, last);
		return;
	}
	if (last)
		entry.sequence = last->sequence + (int32_t)last->records;
	append_batch(entry, NULL);
}

static void check_batches(const struct log_read *read, int64_t high_watermark)
{
	uint8_t *data = malloc(read->bytes);
	size_t filled = 0;
	struct batch batch;

	require(data);
	for (unsigned i = 0; i < read->vector_count; i++) {
		memcpy(data + filled, read->vectors[i].iov_base, read->vectors[i].iov_len);
		filled += read->vectors[i].iov_len;
	}
	require(filled == read->bytes);
	for (size_t at = 0; at < filled; at += batch.size) {
		require(batch_parse(&batch, data + at, filled - at) == 0);
		require(batch_crc_valid(&batch, data + at));
		const struct entry *entry = model_entry_at(batch.base_offset);
		require(entry->offset == batch.base_offset);
		require(entry->crc == batch.crc);
		require(entry->end <= high_watermark);
	}
	free(data);
}

/* Whole batches from there on, or why not. */
static int read_at(int64_t offset, size_t bytes_max)
{
	struct waited_read reading = {
		.read = {.offset = offset,
			 .bytes_max = bytes_max,
			 .oversize_first = true,
			 .done = waited_read_done},
	};
	int64_t high_watermark = log_high_watermark(world.log);

	log_read(world.log, &reading.read);
	while (!reading.done)
		turn(NS_PER_MS);
	if (reading.rc == 0) {
		require(reading.read.bytes > 0);
		if (log_high_watermark(world.log) > high_watermark)
			high_watermark = log_high_watermark(world.log);
		check_batches(&reading.read, high_watermark);
	}
	log_read_release(world.store, &reading.read);
	return reading.rc;
}

static void read_somewhere(void)
{
	int64_t start = log_start_offset(world.log);
	int64_t high_watermark = log_high_watermark(world.log);

	if (start >= high_watermark)
		return;
	int64_t offset = start + (int64_t)world_below((uint64_t)(high_watermark - start));
	int rc = read_at(offset, 1 + world_below(40000));
	if (rc == -ERR_CORRUPT)
		require(world.unreadable || model_rotten_at(offset));
	else /* a log may fail, and be verified, meanwhile */
		require(rc == 0 || world.faults.read_error || world.faults.flush_error);
}

static bool trim_ended;

static void trim_done(struct log_trim *trim, int rc)
{
	require(rc == 0 || rc == -ERR_STORAGE || rc == -ERR_OFFSET_RANGE || rc == -EIO ||
		rc == -ENOSPC);
	if (rc == 0 && trim->start_offset > world.start)
		world.start = trim->start_offset;
	trim_ended = true;
}

static void trim(void)
{
	static struct log_trim asked;

	asked = (struct log_trim){
		.offset = log_start_offset(world.log) + (int64_t)world_below(6),
		.done = trim_done,
	};
	if (asked.offset > log_high_watermark(world.log))
		return;
	trim_ended = false;
	log_trim(world.log, &asked);
	while (!trim_ended)
		turn(NS_PER_MS);
}

static void step(void)
{
	switch (world_below(12)) {
	case 0:
		read_somewhere();
		break;
	case 1:
		if (world_one_in(4))
			trim();
		break;
	case 2:
		store_housekeep(world.store);
		break;
	case 3:
		turn(world_below(3 * NS_PER_SECOND));
		break;
	case 4:
	case 5:
	case 6:
		turn(world_below(50000));
		break;
	default:
		append();
	}
}

/* ---- a life ---- */

static void make_store(void)
{
	const struct store_options options = {
		.directory = "topics",
		.buffer_bytes_max = BUFFER_BYTES,
		.direct_io = world.direct_io,
		.producers_max = 100,
		.producer_expiration_ms = INT64_MAX / NS_PER_SECOND,
	};
	struct io_options io_options = {.depth = 256};

	require(store_region_new(&world.region, BUFFER_BYTES) == 0);
	store_region_options(world.region, &io_options);
	require((world.plain_io ? io_sync_new : sim_backend_new)(&world.io, &io_options) == 0);
	require(store_new(&world.store, &options, world.region, world.io, sim_clock()) == 0);
	/* Commit rounds beside one another, from any size on. */
	if (world_one_in(2))
		world.store->second_round_bytes = 0;
}

static void check_everything(void)
{
	int64_t end = log_high_watermark(world.log);

	for (unsigned i = 0; i < world.rotten_count; i++)
		world.rotten[i].lost = 0;
	for (int64_t offset = log_start_offset(world.log); offset < end;) {
		int rc = read_at(offset, 1);
		struct rotten *rotten = model_rotten_at(offset);
		require(rc == 0 || (rc == -ERR_CORRUPT && (world.unreadable || rotten)));
		if (rotten)
			rotten->lost += rc < 0;
		offset = model_entry_at(offset)->end;
		if (rotten)
			model_check_rotten(rotten, offset);
	}
}

/* False: an error of the disk was in the way. */
static bool recover(void)
{
	const struct log_identity identity = {
		.topic_id = {{7}},
		.leader_epoch = world.leader_epoch,
	};
	char why[WHY_BYTES] = "";

	world.unreadable = world.faulty_recovery && world.faults.read_error;
	if (world.faulty_recovery)
		disk_set_faults(world.disk, &world.faults);
	int rc = log_open(&world.log, world.store, &identity, &world.config, why, sizeof(why));
	if (rc < 0 && (!world.faulty_recovery || (rc != -EIO && rc != -ENOSPC)))
		fprintf(stderr, "not opened: %s: %s\n", error_text(rc), why);
	require(rc == 0 || world.faulty_recovery);
	require(rc == 0 || rc == -EIO || rc == -ENOSPC);
	if (rc < 0)
		return false;
	world.closed = false;
	require(log_start_offset(world.log) >= world.start);
	require(log_end_offset(world.log) == log_high_watermark(world.log));
	model_forget_from(log_end_offset(world.log));
	model_note_durable_below(log_end_offset(world.log));
	return true;
}

static void log_closed(void *context)
{
	world.closed = true;
}

static void close_cleanly(void)
{
	bool failed = log_failed(world.log);
	bool faults = world.faults.write_error || world.faults.flush_error ||
		      world.faults.no_space || world.faults.room_bytes ||
		      world.faults.short_transfer;
	int64_t end = log_end_offset(world.log);

	log_close(world.log, false, log_closed, NULL);
	while (!world.closed)
		turn(NS_PER_MS);
	collect();
	/* What was appended is there, asked for or not. */
	if (!failed && !faults)
		model_note_durable_below(end);
}

void *storage_live(void *context)
{
	make_store();
	if (!recover()) {
		world.refused++;
		process_exit();
	}
	if (!world.faulty_recovery)
		check_everything();
	world.unreadable |= world.faults.read_error != 0;
	disk_set_faults(world.disk, &world.faults);
	for (unsigned steps = (unsigned)world_below(150); steps; steps--)
		step();
	close_cleanly();
	process_exit();
}
