/* The list that a log is compared with. */
#include "tests/sim/storage_world.h"

struct world world;
uint64_t world_seed;

uint64_t world_below(uint64_t bound)
{
	return random_below(&world.random, bound);
}

bool world_one_in(uint64_t n)
{
	return world_below(n) == 0;
}

static int64_t model_end(void)
{
	return world.count ? world.entries[world.count - 1].end : 0;
}

void model_forget_from(int64_t offset)
{
	while (world.count && world.entries[world.count - 1].offset >= offset) {
		require(!world.entries[world.count - 1].durable);
		world.count--;
	}
	require(model_end() == offset);
}

struct entry *model_entry_at(int64_t offset)
{
	size_t low = 0;
	size_t high = world.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (world.entries[middle].end <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	require(low < world.count);
	return &world.entries[low];
}

struct rotten *model_rotten_at(int64_t offset)
{
	for (unsigned i = 0; i < world.rotten_count; i++) {
		if (offset >= world.rotten[i].from && offset < world.rotten[i].to)
			return &world.rotten[i];
	}
	return NULL;
}

void model_note_durable_below(int64_t offset)
{
	for (size_t i = world.count; i-- > 0;) {
		if (world.entries[i].end > offset)
			continue;
		if (world.entries[i].durable)
			return;
		world.entries[i].durable = true;
	}
}

const struct entry *model_last_of(int64_t producer)
{
	for (size_t i = world.count; i-- > 0;) {
		if (world.entries[i].producer == producer)
			return &world.entries[i];
	}
	return NULL;
}

void model_check_rotten(const struct rotten *rotten, int64_t offset)
{
	unsigned batches = 0;

	if (offset < rotten->to && offset < log_high_watermark(world.log))
		return;
	for (size_t i = 0; i < world.count; i++)
		batches += world.entries[i].offset >= rotten->from &&
			   world.entries[i].offset < rotten->to &&
			   world.entries[i].offset >= log_start_offset(world.log);
	require(world.unreadable || rotten->lost <= rotten->bits || rotten->lost == batches);
}
