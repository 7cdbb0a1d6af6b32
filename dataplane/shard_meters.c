/* What a shard measures, for a picture that another thread draws.
 *
 * A request costs no question for the time.  It begins and ends with the turn in which that
 * happens; those that begin and end in the same are counted, by API, and entered together when the
 * next clock is read, with the length of the turn:
 *
 *     now_ns ── io_turn: request comes, is answered ── now_ns: they took what lies between
 */
#include "dataplane/shard_meters.h"

#include "dataplane/datagram/server.h"
#include "dataplane/request.h"
#include "dataplane/shard_internal.h"

void shard_meter_answer(struct shard *shard, const struct request *request)
{
	size_t index = (size_t)(request->api - kafka_apis);
	struct api_meter *meter = &shard->meters.apis[index];
	uint64_t now_ns = shard_turn_ns(shard);

	if (request->begun_ns == now_ns) {
		shard->fresh.apis |= UINT64_C(1) << index;
		shard->fresh.counts[index]++;
	} else {
		histogram_observe(&meter->answered, now_ns - request->begun_ns, 1);
	}
	if (request->closing || request->writer.error_codes)
		counter_add(&meter->errors,
			    request->closing ? 1 : (uint64_t)request->writer.error_codes);
}

void shard_meter_turn(struct shard *shard, bool busy)
{
	uint64_t since_ns = shard->turn_ns ? shard->turn_ns : shard->now_ns;
	uint64_t took_ns = shard->now_ns - since_ns;

	for (uint64_t left = shard->fresh.apis; left; left &= left - 1) {
		unsigned index = (unsigned)__builtin_ctzll(left);
		histogram_observe(&shard->meters.apis[index].answered, took_ns,
				  shard->fresh.counts[index]);
		shard->fresh.counts[index] = 0;
	}
	shard->fresh.apis = 0;
	if (busy)
		shard_count(shard, busy_ns, took_ns);
	shard->turn_ns = shard->now_ns;
}

static void show_store(struct shard *shard)
{
	const struct store_stats *stats = store_stats(shard->store);

#define SHOW(counter, field) counter_set(&shard->counters.counter, stats->field)
	SHOW(producers, producers);
	SHOW(producers_forgotten, producers_forgotten);
	SHOW(dedup_entries, dedup_entries);
	SHOW(dedup_memory_bytes, dedup_memory_bytes);
	SHOW(dedup_file_bytes, dedup_file_bytes);
	SHOW(dedup_hits, dedup_hits);
	SHOW(dedup_evictions, dedup_evictions);
	SHOW(dedup_rejections, dedup_rejections);
	SHOW(quarantined_ranges, quarantined_ranges);
	SHOW(quarantined_offsets, quarantined_offsets);
	SHOW(scrubbed_bytes, scrubbed_bytes);
	SHOW(compactions, compactions);
	SHOW(compact_read_bytes, compact_read_bytes);
	SHOW(compact_written_bytes, compact_written_bytes);
	SHOW(compact_removed_bytes, compact_removed_bytes);
	SHOW(compact_removed_records, compact_removed_records);
	SHOW(files_open, files_open);
	SHOW(index_bytes, index_bytes);
	SHOW(buffer_bytes, buffer_bytes);
	SHOW(disk_writes, writes);
	SHOW(disk_write_bytes, write_bytes);
	SHOW(disk_reads, reads);
	SHOW(disk_read_bytes, read_bytes);
	SHOW(disk_flushes, flushes);
	SHOW(reads_from_tail, tail_hits);
	SHOW(reads_from_cache, read_cache_hits);
	SHOW(log_failures, failures);
	SHOW(segments_deleted, segments_deleted);
#undef SHOW
	histogram_show(&shard->meters.commits, &stats->rounds);
}

static void show_io(struct shard *shard)
{
	const struct io_stats *stats = &shard->io->stats;

	counter_set(&shard->counters.io_submitted, stats->submitted);
	counter_set(&shard->counters.io_completed, stats->completed);
	counter_set(&shard->counters.io_overflowed, stats->overflowed);
	counter_set(&shard->counters.io_cq_overflowed, stats->cq_overflowed);
}

static void show_datagrams(struct shard *shard)
{
	struct transport_statistics sum = {0};

	for (unsigned i = 0; i < shard->datagrams.count; i++) {
		const struct transport_statistics *one =
			datagram_server_statistics(shard->datagrams.servers[i]);
#define STATISTIC(name, help) sum.name += one->name;
#include "dataplane/transport/statistics.def"
#undef STATISTIC
	}
#define STATISTIC(name, help) counter_set(&shard->meters.datagrams.name, sum.name);
#include "dataplane/transport/statistics.def"
#undef STATISTIC
}

void shard_show_stats(struct shard *shard)
{
	show_store(shard);
	show_io(shard);
	show_datagrams(shard);
	counter_set(&shard->counters.inflight_bytes, shard->inflight_bytes);
}
