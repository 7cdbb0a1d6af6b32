/* Starts on a data folder as a broker does, without its threads and sockets, and tells what it
 * finds, so that oracle.py can judge thousands of folders a minute.
 *
 * One path a line on standard input; for each, on standard output:
 *
 *     refused WHY                                 in place of what follows, or
 *     cluster ID RUN PRODUCER-ID                  the id that would be given out next
 *     topic NAME ID PARTITIONS                    ID in hex digits (the cluster's: as text)
 *     log ID PARTITION START END BYTES            then BYTES of struct row, one a batch
 *     records ID PARTITION BYTES                  of offsets, of `compacted`: then their batches
 *     wrong WHAT                                  what it can tell to be wrong by itself
 *     end
 *
 * What it does to the folder is what a start does, then what goes on behind it: each log's newest
 * batches of each producer are sent again, a record is appended to each log, all is closed as a
 * stop does, opened once more and compared. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "control/catalog.h"
#include "control/config.h"
#include "control/data_folder.h"
#include "storage/batch_build.h"
#include "storage/log.h"
#include "storage/producers.h"
#include "storage/records.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BUFFER_BYTES = 32 << 20,
	READ_BYTES = 4 << 20,
	TURNS_MAX = 100000,
	KEPT_MAX = 256, /* batches of producers that are sent again, a log */
};

/* As oracle.py reads it. */
struct row {
	int64_t base_offset;
	int32_t last_delta;
	uint32_t crc; /* verified */
	uint32_t size;
	uint32_t attributes;
};
_Static_assert(sizeof(struct row) == 24, "oracle.py reads it");

/* A batch of a producer, as the log has it. */
struct kept {
	int64_t base_offset;
	struct batch batch;
	uint8_t *data;
};

struct opened {
	struct log *log;
	const struct catalog_topic *topic;
	int32_t partition;
	struct row *rows;
	size_t row_count;
	uint8_t *bytes; /* all batches, back to back */
	size_t byte_count;
	struct dedup_config dedup;
	struct kept kept[KEPT_MAX];
	unsigned kept_count;
	int64_t start;
	int64_t end;
};

struct world {
	struct data_folder folder;
	struct catalog *catalog;
	struct store_region *region;
	struct io_backend *io;
	struct store *store;
	struct opened *logs;
	size_t log_count;
	int32_t run;
	int64_t producer_id;
	char why[300];
};

static struct config settings;

static void wrong(const struct opened *opened, const char *what, int64_t offset)
{
	printf("wrong %s topic=%s partition=%" PRId32 " offset=%" PRId64 "\n", what,
	       opened->topic->name, opened->partition, offset);
}

static void turn(struct world *world)
{
	store_submit(world->store);
	check(io_turn(world->io, 0) >= 0);
}

/* ---- opening ---- */

static int open_catalog(struct world *world, const char *path)
{
	int rc = data_folder_open(&world->folder, path, world->why, sizeof(world->why));

	if (rc == 0)
		rc = catalog_open(&world->catalog, world->folder.fd, world->why,
				  sizeof(world->why));
	if (rc == 0)
		rc = catalog_begin_run(world->catalog, &world->run);
	if (rc == 0)
		rc = catalog_take_producer_ids(world->catalog, 1, &world->producer_id);
	return rc;
}

static int open_store(struct world *world)
{
	struct io_options io = {.depth = 64};
	struct store_options options = {
		.directory = world->folder.topics,
		.buffer_bytes_max = BUFFER_BYTES,
		.direct_io = true,
		.producers_max = (size_t)settings.producer_ids_per_partition_max,
		.producer_expiration_ms = settings.producer_id_expiration_ms,
		.dedup_bytes_max = (size_t)settings.dedup_memory_bytes,
	};
	int rc = store_region_new(&world->region, BUFFER_BYTES);

	if (rc < 0)
		return rc;
	store_region_options(world->region, &io);
	rc = io_sync_new(&world->io, &io);
	if (rc == 0)
		rc = store_new(&world->store, &options, world->region, world->io, clock_system());
	return rc;
}

static int open_log(struct world *world, const struct catalog_topic *topic, int32_t partition)
{
	struct topic_config config = topic_config_resolve(&settings, &topic->overrides);
	struct log_identity identity = {topic->id, partition, world->run};
	struct opened *opened = &world->logs[world->log_count];
	char why[200] = "";
	int rc = log_open(&opened->log, world->store, &identity, &config.log, why, sizeof(why));

	if (rc < 0) {
		snprintf(world->why, sizeof(world->why), "topic %.64s partition %d: %.200s",
			 topic->name, partition, why[0] ? why : error_text(rc));
		return rc;
	}
	opened->topic = topic;
	opened->partition = partition;
	opened->dedup = config.log.dedup;
	world->log_count++;
	return 0;
}

static int open_logs(struct world *world)
{
	size_t count = catalog_topic_count(world->catalog);
	int rc = 0;

	world->logs = calloc((size_t)catalog_partition_count(world->catalog) + 1,
			     sizeof(*world->logs));
	check(world->logs);
	for (size_t i = 0; i < count && rc == 0; i++) {
		const struct catalog_topic *topic = catalog_topic_at(world->catalog, i);
		for (int32_t p = 0; p < topic->partition_count && rc == 0; p++)
			rc = open_log(world, topic, p);
	}
	return rc;
}

/* ---- closing ---- */

static void log_closed(void *context)
{
	((struct opened *)context)->log = NULL;
}

static void close_world(struct world *world)
{
	for (size_t i = 0; i < world->log_count; i++) {
		struct opened *opened = &world->logs[i];
		log_close(opened->log, false, log_closed, opened);
		for (int turns = 0; opened->log; turns++) {
			check(turns < TURNS_MAX);
			turn(world);
		}
		for (unsigned n = 0; n < opened->kept_count; n++)
			free(opened->kept[n].data);
		free(opened->rows);
		free(opened->bytes);
	}
	free(world->logs);
	store_free(world->store);
	io_free(world->io);
	store_region_free(world->region);
	catalog_close(world->catalog);
	data_folder_close(&world->folder);
}

static int open_world(struct world *world, const char *path)
{
	*world = (struct world){.folder = {.fd = -1, .lock_fd = -1}};
	int rc = open_catalog(world, path);

	if (rc == 0)
		rc = open_store(world);
	if (rc == 0)
		rc = open_logs(world);
	if (rc < 0 && !world->why[0])
		snprintf(world->why, sizeof(world->why), "%s", error_text(rc));
	return rc;
}

/* ---- reading ---- */

struct waited {
	struct log_read read;
	bool done;
	int rc;
};

static void read_done(struct log_read *read, int rc)
{
	struct waited *waited = container_of(read, struct waited, read);

	waited->done = true;
	waited->rc = rc;
}

/* Whole batches from `offset` on, joined behind those that are there; how many bytes, or -errno. */
static ssize_t read_some(struct world *world, struct opened *opened, int64_t offset)
{
	struct waited waited = {.read = {.offset = offset,
					 .bytes_max = READ_BYTES,
					 .oversize_first = true,
					 .done = read_done}};
	ssize_t rc;

	log_read(opened->log, &waited.read);
	for (int turns = 0; !waited.done; turns++) {
		check(turns < TURNS_MAX);
		turn(world);
	}
	if (waited.rc < 0)
		return waited.rc;
	rc = (ssize_t)waited.read.bytes;
	opened->bytes = realloc(opened->bytes, opened->byte_count + waited.read.bytes + 1);
	check(opened->bytes);
	for (unsigned i = 0; i < waited.read.vector_count; i++) {
		const struct iovec *vector = &waited.read.vectors[i];
		memcpy(opened->bytes + opened->byte_count, vector->iov_base, vector->iov_len);
		opened->byte_count += vector->iov_len;
	}
	log_read_release(world->store, &waited.read);
	return rc;
}

/* Numbered, or with ids in a topic with a window.  Not of transactions, which have ended. */
static bool may_be_sent_again(const struct opened *opened, const struct batch *batch)
{
	return !(batch->attributes & (BATCH_CONTROL | BATCH_TRANSACTIONAL)) &&
	       (batch->producer_id >= 0 || opened->dedup.enabled);
}

/* Keeps the newest batches of each producer, and of those without, as they may be sent again. */
static void keep(struct opened *opened, const struct batch *batch, const uint8_t *data)
{
	unsigned same = 0;
	unsigned oldest = 0;

	for (unsigned i = opened->kept_count; i-- > 0;) {
		if (opened->kept[i].batch.producer_id == batch->producer_id) {
			same++;
			oldest = i;
		}
	}
	if (same == PRODUCER_BATCHES) {
		free(opened->kept[oldest].data);
		memmove(&opened->kept[oldest], &opened->kept[oldest + 1],
			(--opened->kept_count - oldest) * sizeof(opened->kept[0]));
	}
	check(opened->kept_count < KEPT_MAX);
	struct kept *kept = &opened->kept[opened->kept_count++];
	*kept = (struct kept){batch->base_offset, *batch, malloc(batch->size)};
	check(kept->data);
	memcpy(kept->data, data, batch->size);
}

static void add_row(struct opened *opened, const struct batch *batch)
{
	struct row *rows = realloc(opened->rows, (opened->row_count + 1) * sizeof(*rows));

	check(rows);
	opened->rows = rows;
	rows[opened->row_count++] = (struct row){
		.base_offset = batch->base_offset,
		.last_delta = batch->last_offset_delta,
		.crc = batch->crc,
		.size = (uint32_t)batch->size,
		.attributes = batch->attributes,
	};
}

static void read_log(struct world *world, struct opened *opened)
{
	size_t at = 0;
	int64_t next;

	opened->start = next = log_start_offset(opened->log);
	opened->end = log_high_watermark(opened->log);
	if (opened->end != log_end_offset(opened->log))
		wrong(opened, "not all that was found is durable", opened->end);
	while (next < opened->end) {
		ssize_t got = read_some(world, opened, next);
		if (got <= 0) {
			wrong(opened, got ? error_text((int)got) : "nothing where records are",
			      next);
			return;
		}
		while (at < opened->byte_count) {
			struct batch batch;
			const uint8_t *data = opened->bytes + at;
			if (batch_parse(&batch, data, opened->byte_count - at) < 0 ||
			    !batch_crc_valid(&batch, data)) {
				wrong(opened, "a bad batch is served", next);
				return;
			}
			add_row(opened, &batch);
			if (may_be_sent_again(opened, &batch))
				keep(opened, &batch, data);
			next = batch.base_offset + batch.last_offset_delta + 1;
			at += batch.size;
		}
	}
}

static void tell(const struct opened *opened)
{
	char id[UUID_HEX_BYTES];

	uuid_hex(&opened->topic->id, id);
	printf("log %s %" PRId32 " %" PRId64 " %" PRId64 " %zu\n", id, opened->partition,
	       opened->start, opened->end, opened->row_count * sizeof(struct row));
	fwrite(opened->rows, sizeof(struct row), opened->row_count, stdout);
	if (strcmp(opened->topic->name, OFFSETS_TOPIC) != 0 &&
	    strcmp(opened->topic->name, "compacted") != 0)
		return;
	printf("records %s %" PRId32 " %zu\n", id, opened->partition, opened->byte_count);
	fwrite(opened->bytes, 1, opened->byte_count, stdout);
}

static void tell_catalog(const struct world *world)
{
	char id[UUID_HEX_BYTES];

	uuid_text(catalog_cluster_id(world->catalog), id);
	printf("cluster %s %" PRId32 " %" PRId64 "\n", id, world->run, world->producer_id);
	for (size_t i = 0; i < catalog_topic_count(world->catalog); i++) {
		const struct catalog_topic *topic = catalog_topic_at(world->catalog, i);
		uuid_hex(&topic->id, id);
		printf("topic %s %s %" PRId32 "\n", topic->name, id, topic->partition_count);
	}
}

/* ---- going on ---- */

struct sent {
	struct log_append append;
	bool done;
	int rc;
};

static void append_done(struct log_append *append, int rc)
{
	struct sent *sent = container_of(append, struct sent, append);

	sent->done = true;
	sent->rc = rc;
}

/* The ids of its records, or null; to free. */
static struct dedup_id *ids_of(const struct dedup_config *dedup, const uint8_t *data,
			       const struct batch *batch)
{
	struct record_cursor cursor = record_cursor_over(data + BATCH_HEADER_BYTES,
							 batch->size - BATCH_HEADER_BYTES);
	struct dedup_id *ids = calloc((size_t)batch->record_count + 1, sizeof(*ids));
	struct record record;

	check(ids);
	for (int32_t i = 0; i < batch->record_count; i++) {
		check(record_next(&cursor, &record) == 1);
		dedup_id_of(dedup, &record, &ids[i]);
	}
	return ids;
}

/* What log_append says, after its `done` if it is to run. */
static int send_batch(struct world *world, struct log *log, const uint8_t *data,
		      const struct batch *batch, const struct dedup_id *ids, int64_t *ret_base)
{
	struct sent sent = {.append.done = append_done, .append.ids = ids};
	int rc = log_append(log, data, batch, -1, ACK_DURABLE, &sent.append);

	for (int turns = 0; rc >= 0 && !sent.done; turns++) {
		check(turns < TURNS_MAX);
		turn(world);
	}
	*ret_base = sent.append.base_offset;
	return rc < 0 ? rc : sent.rc < 0 ? sent.rc : rc;
}

static void send_again(struct world *world, const struct opened *opened)
{
	for (unsigned i = 0; i < opened->kept_count; i++) {
		const struct kept *kept = &opened->kept[i];
		int64_t base = -1;
		struct dedup_id *ids = opened->dedup.enabled
					       ? ids_of(&opened->dedup, kept->data, &kept->batch)
					       : NULL;
		int rc = send_batch(world, opened->log, kept->data, &kept->batch, ids, &base);
		free(ids);
		if (rc != 1)
			wrong(opened, rc < 0 ? error_text(rc) : "a batch sent again is stored",
			      kept->base_offset);
		else if (base != kept->base_offset)
			wrong(opened, "a batch sent again is answered with another offset", base);
	}
}

static void append_record(struct world *world, const struct opened *opened)
{
	static const struct record record = {.value = (const uint8_t *)"after", .value_length = 5};
	struct batch_build build = {0};
	struct batch batch;
	uint8_t *headers;
	int64_t base = -1;

	check(batch_build_add(&build, &record, clock_wall_ms(clock_system()), &headers) == 0);
	batch_build_seal(&build, -1, -1, -1);
	check(batch_parse(&batch, build.data, build.size) == 0);
	int rc = send_batch(world, opened->log, build.data, &batch, NULL, &base);
	if (rc < 0)
		wrong(opened, error_text(rc), opened->end);
	else if (base != opened->end)
		wrong(opened, "a record is appended elsewhere than at the end", base);
	batch_build_fini(&build);
}

/* A second start finds what the first has found, and the record behind it. */
static void compare(const struct opened *first, const struct opened *second)
{
	if (second->start != first->start || second->end != first->end + 1 ||
	    second->row_count != first->row_count + 1)
		wrong(first, "a second start finds another log", second->end);
	else if (first->row_count &&
		 memcmp(first->rows, second->rows, first->row_count * sizeof(struct row)) != 0)
		wrong(first, "a second start finds other batches", first->start);
}

static void read_all(struct world *world)
{
	for (size_t i = 0; i < world->log_count; i++)
		read_log(world, &world->logs[i]);
}

/* Rows of the first start outlive it. */
static struct opened *take_logs(struct world *world)
{
	struct opened *logs = calloc(world->log_count + 1, sizeof(*logs));

	check(logs);
	for (size_t i = 0; i < world->log_count; i++) {
		logs[i] = world->logs[i];
		world->logs[i].rows = NULL;
	}
	return logs;
}

static void second_start(const char *path, struct world *world)
{
	size_t count = world->log_count;
	struct opened *first = take_logs(world);
	struct world again;

	close_world(world);
	if (open_world(&again, path) < 0) {
		printf("wrong a second start is refused: %s\n", again.why);
	} else if (again.log_count != count) {
		printf("wrong a second start finds %zu logs, not %zu\n", again.log_count, count);
	} else {
		read_all(&again);
		for (size_t i = 0; i < count; i++) {
			first[i].topic = again.logs[i].topic;
			compare(&first[i], &again.logs[i]);
		}
	}
	close_world(&again);
	for (size_t i = 0; i < count; i++)
		free(first[i].rows);
	free(first);
}

static void recover(const char *path)
{
	struct world world;

	if (open_world(&world, path) < 0) {
		printf("refused %s\n", world.why);
		close_world(&world);
		return;
	}
	tell_catalog(&world);
	read_all(&world);
	for (size_t i = 0; i < world.log_count; i++) {
		tell(&world.logs[i]);
		send_again(&world, &world.logs[i]);
		append_record(&world, &world.logs[i]);
	}
	second_start(path, &world);
}

int main(int argc, char **argv)
{
	char *no_environment[] = {NULL};
	enum config_action action;
	char why[300];
	char path[4096];

	(void)argc;
	check(config_load(&settings, 1, argv, no_environment, &action, NULL, why, sizeof(why)) ==
	      0);
	while (fgets(path, sizeof(path), stdin)) {
		path[strcspn(path, "\n")] = '\0';
		recover(path);
		printf("end\n");
		fflush(stdout);
	}
	config_fini(&settings);
	return 0;
}
