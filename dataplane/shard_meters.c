/* What a shard measures, for a picture that another thread draws.
 *
 * A request costs no question for the time: it begins and ends with the turn of the loop in which
 * that happens, and those of one API that began together and are answered in one turn are a run,
 * which is entered as one when the next clock is read:
 *
 *     now_ns ── io_turn: requests come, are answered ── now_ns: they took what lies between
 */
#include "dataplane/shard_meters.h"

#include "dataplane/datagram/server.h"
#include "dataplane/request.h"
#include "dataplane/shard_internal.h"

static void enter_run(struct shard *shard, size_t api, uint64_t now_ns)
{
	struct answer_run *run = &shard->answers.runs[api];

	histogram_observe(&shard->meters.apis[api].answered, now_ns - run->begun_ns, run->count);
	*run = (struct answer_run){0};
}

void shard_meter_begin_run(const struct request *request)
{
	struct shard *shard = request->shard;
	size_t api = request->api->index;

	if (shard->answers.runs[api].count)
		enter_run(shard, api, shard_turn_ns(shard));
	shard->answers.runs[api] = (struct answer_run){request->begun_ns, 1};
	shard->answers.apis |= UINT64_C(1) << api;
}

void shard_meter_errors(const struct request *request, unsigned count)
{
	counter_add(&request->shard->meters.apis[request->api->index].errors, count);
}

void shard_meter_answers(struct shard *shard)
{
	for (uint64_t left = shard->answers.apis; left; left &= left - 1)
		enter_run(shard, (size_t)__builtin_ctzll(left), shard->now_ns);
	shard->answers.apis = 0;
}

void shard_meter_turn(struct shard *shard, bool busy)
{
	uint64_t since_ns = shard->turn_ns ? shard->turn_ns : shard->now_ns;

	shard_meter_answers(shard);
	if (busy)
		shard_count(shard, busy_ns, shard->now_ns - since_ns);
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
