#include "storage/dedup_table.h"

#include "base/check.h"

#include <emmintrin.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
	PLACES = 16, /* of a group: a vector's bytes */
	TAG_EMPTY = 0x80,
	TAG_DROPPED = 0xfe,     /* was used, and probes go on behind it */
	SWEEP_SHARE = 64,       /* of the groups are swept with every new bucket: one in so many */
	SHRINK_GROUPS = 8192,   /* moved at once: a millisecond or so */
	SHRINK_GROUPS_MIN = 64, /* smaller tables stay */
};

struct dedup_group {
	uint8_t tags[PLACES]; /* below 0x80: used */
	uint8_t buckets[PLACES];
	uint16_t offset_high[PLACES];
	uint32_t offset_low[PLACES];
	struct dedup_id ids[PLACES];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct dedup_group) == 384, "24 bytes a place, whole cache lines");

/* One bit a place. */
typedef unsigned mask;

/* ---- one group ---- */

static mask tags_equal(const struct dedup_group *group, uint8_t tag)
{
	__m128i tags = _mm_load_si128((const __m128i *)(const void *)group->tags);

	return (mask)_mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8((char)tag)));
}

static mask used_places(const struct dedup_group *group)
{
	__m128i tags = _mm_load_si128((const __m128i *)(const void *)group->tags);

	return ~(mask)_mm_movemask_epi8(tags) & 0xffff;
}

/* Places whose bucket has not been dropped, were they used. */
static mask live_buckets(const struct dedup_table *table, const struct dedup_group *group)
{
	__m128i buckets = _mm_load_si128((const __m128i *)(const void *)group->buckets);
	__m128i age = _mm_sub_epi8(_mm_set1_epi8((char)table->newest), buckets);
	__m128i most = _mm_set1_epi8((char)(uint8_t)(table->newest - table->oldest));

	return (mask)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(age, most), age));
}

static int64_t offset_at(const struct dedup_group *group, unsigned place)
{
	return (int64_t)group->offset_high[place] << 32 | group->offset_low[place];
}

static uint8_t tag_of(const struct dedup_id *id)
{
	return (uint8_t)(id->high & 0x7f);
}

static void put(struct dedup_group *group, unsigned place, const struct dedup_id *id,
		int64_t offset, uint8_t bucket)
{
	group->tags[place] = tag_of(id);
	group->buckets[place] = bucket;
	group->offset_high[place] = (uint16_t)(offset >> 32);
	group->offset_low[place] = (uint32_t)offset;
	group->ids[place] = *id;
}

/* ---- all groups of a table ---- */

static int groups_new(struct dedup_groups *groups, size_t count)
{
	struct dedup_group *at = aligned_alloc(sizeof(struct dedup_group) / 6,
					       count * sizeof(struct dedup_group));

	if (!at)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		memset(at[i].tags, TAG_EMPTY, PLACES);
	*groups = (struct dedup_groups){.at = at, .count = count};
	return 0;
}

/* Of both halves with the secret: a client that knows the hash can make ids that share either. */
static size_t home(const struct dedup_table *table, const struct dedup_groups *groups,
		   const struct dedup_id *id)
{
	unsigned __int128 product = (unsigned __int128)(id->low ^ table->secret.low) *
				    (id->high ^ table->secret.high);
	uint64_t mixed = (uint64_t)product ^ (uint64_t)(product >> 64);

	return (size_t)((unsigned __int128)mixed * groups->count >> 64);
}

static size_t next_group(const struct dedup_groups *groups, size_t index)
{
	return index + 1 == groups->count ? 0 : index + 1;
}

struct place {
	struct dedup_group *group; /* null: none */
	unsigned index;
};

static struct place find_in(const struct dedup_table *table, const struct dedup_groups *groups,
			    const struct dedup_id *id)
{
	size_t index = groups->count ? home(table, groups, id) : 0;

	for (size_t i = 0; i < groups->count; i++, index = next_group(groups, index)) {
		struct dedup_group *group = &groups->at[index];
		mask same = tags_equal(group, tag_of(id));
		if (same)
			same &= live_buckets(table, group);
		for (; same; same &= same - 1) {
			unsigned place = (unsigned)__builtin_ctz(same);
			if (group->ids[place].low == id->low && group->ids[place].high == id->high)
				return (struct place){group, place};
		}
		if (tags_equal(group, TAG_EMPTY))
			break;
	}
	return (struct place){0};
}

/* There is a place. */
static void insert_into(const struct dedup_table *table, struct dedup_groups *groups,
			const struct dedup_id *id, int64_t offset, uint8_t bucket)
{
	size_t index = home(table, groups, id);

	for (size_t i = 0; i < groups->count; i++, index = next_group(groups, index)) {
		struct dedup_group *group = &groups->at[index];
		mask free_places = ~(used_places(group) & live_buckets(table, group)) & 0xffff;
		if (!free_places)
			continue;
		unsigned place = (unsigned)__builtin_ctz(free_places);
		groups->used += group->tags[place] == TAG_EMPTY;
		put(group, place, id, offset, bucket);
		return;
	}
	check(!"a reserved place was not there");
}

/* ---- moving to another size ---- */

static void free_old(struct dedup_table *table)
{
	free(table->old.at);
	table->old = (struct dedup_groups){0};
	table->moved = 0;
}

static void move_group(struct dedup_table *table)
{
	struct dedup_group *from = &table->old.at[table->moved++];
	mask used = used_places(from);
	mask empty = tags_equal(from, TAG_EMPTY);

	for (mask live = used & live_buckets(table, from); live; live &= live - 1) {
		unsigned place = (unsigned)__builtin_ctz(live);
		insert_into(table, &table->groups, &from->ids[place], offset_at(from, place),
			    from->buckets[place]);
	}
	table->old.used -= PLACES - (size_t)__builtin_popcount(empty);
	/* Probes for what has not been moved go on behind it, where they did before. */
	for (; used; used &= used - 1)
		from->tags[__builtin_ctz(used)] = TAG_DROPPED;
}

static void move_groups(struct dedup_table *table, size_t count)
{
	while (table->old.at && count--) {
		if (table->moved == table->old.count)
			free_old(table);
		else
			move_group(table);
	}
}

/* Places that may be used: probes get long beyond. */
static size_t usable(const struct dedup_groups *groups)
{
	return groups->count * PLACES / 8 * 7;
}

/* Room for `ids` at 5 of 8. */
static int resize(struct dedup_table *table, size_t ids)
{
	struct dedup_groups groups;
	int rc = groups_new(&groups, ids / (PLACES * 5 / 8) + 2);

	if (rc < 0)
		return rc;
	table->old = table->groups;
	table->moved = 0;
	table->groups = groups;
	table->swept = 0;
	return 0;
}

int dedup_table_reserve(struct dedup_table *table, size_t count)
{
	if (table->groups.used + table->old.used + count <= usable(&table->groups))
		return 0;
	move_groups(table, SIZE_MAX);
	if (table->groups.used + count <= usable(&table->groups))
		return 0;
	return resize(table, table->count + count);
}

bool dedup_table_shrink(struct dedup_table *table)
{
	if (!table->old.at && table->groups.count > SHRINK_GROUPS_MIN &&
	    table->count < table->groups.count * PLACES / 4)
		resize(table, table->count);
	move_groups(table, SHRINK_GROUPS);
	return table->old.at;
}

/* ---- dropped ids ---- */

/* A place may be empty again where another is: no probe has gone on behind this group. */
static void sweep_group(struct dedup_table *table, struct dedup_group *group)
{
	mask empty = tags_equal(group, TAG_EMPTY);
	mask gone = ~(used_places(group) & live_buckets(table, group)) & ~empty & 0xffff;

	if (empty)
		table->groups.used -= (size_t)__builtin_popcount(gone);
	for (; gone; gone &= gone - 1)
		group->tags[__builtin_ctz(gone)] = empty ? TAG_EMPTY : TAG_DROPPED;
}

/* A bucket's number comes again after 256; by then all groups have been swept three times. */
static void sweep(struct dedup_table *table)
{
	for (size_t i = 0; i < table->groups.count / SWEEP_SHARE + 1 && table->groups.count; i++) {
		if (table->swept >= table->groups.count)
			table->swept = 0;
		sweep_group(table, &table->groups.at[table->swept++]);
	}
}

/* ---- the table ---- */

void dedup_table_init(struct dedup_table *table)
{
	*table = (struct dedup_table){0};
	check(getrandom(&table->secret, sizeof(table->secret), 0) == sizeof(table->secret));
}

void dedup_table_fini(struct dedup_table *table)
{
	free(table->groups.at);
	free(table->old.at);
	dedup_table_init(table);
}

int64_t dedup_table_find(const struct dedup_table *table, const struct dedup_id *id)
{
	struct place place = find_in(table, &table->groups, id);

	if (!place.group && table->old.at)
		place = find_in(table, &table->old, id);
	return place.group ? offset_at(place.group, place.index) : -1;
}

void dedup_table_prefetch(const struct dedup_table *table, const struct dedup_id *id)
{
	if (table->groups.count)
		__builtin_prefetch(&table->groups.at[home(table, &table->groups, id)]);
}

void dedup_table_insert(struct dedup_table *table, const struct dedup_id *id, int64_t offset)
{
	check(offset >= 0 && offset >> DEDUP_OFFSET_BITS == 0);
	insert_into(table, &table->groups, id, offset, table->newest);
	table->counts[table->newest]++;
	table->count++;
	move_groups(table, 1);
}

void dedup_table_remove(struct dedup_table *table, const struct dedup_id *id)
{
	struct dedup_groups *groups = &table->groups;
	struct place place = find_in(table, groups, id);

	if (!place.group) {
		groups = &table->old;
		place = find_in(table, groups, id);
	}
	check(place.group);
	bool empty = tags_equal(place.group, TAG_EMPTY);
	groups->used -= empty;
	place.group->tags[place.index] = empty ? TAG_EMPTY : TAG_DROPPED;
	table->counts[place.group->buckets[place.index]]--;
	table->count--;
}

unsigned dedup_table_buckets(const struct dedup_table *table)
{
	return (uint8_t)(table->newest - table->oldest) + 1u;
}

void dedup_table_begin_bucket(struct dedup_table *table)
{
	check(dedup_table_buckets(table) < DEDUP_BUCKETS_MAX);
	table->newest++;
	move_groups(table, table->old.count / SWEEP_SHARE + 1);
	sweep(table);
}

size_t dedup_table_drop_bucket(struct dedup_table *table)
{
	size_t dropped = table->counts[table->oldest];

	if (table->oldest == table->newest)
		dedup_table_begin_bucket(table);
	table->counts[table->oldest] = 0;
	table->oldest++;
	table->count -= dropped;
	return dropped;
}

static void each_in(const struct dedup_groups *groups, uint8_t bucket,
		    void (*each)(void *context, const struct dedup_id *id, int64_t offset),
		    void *context)
{
	for (size_t i = 0; i < groups->count; i++) {
		const struct dedup_group *group = &groups->at[i];
		for (mask used = used_places(group); used; used &= used - 1) {
			unsigned place = (unsigned)__builtin_ctz(used);
			if (group->buckets[place] == bucket)
				each(context, &group->ids[place], offset_at(group, place));
		}
	}
}

void dedup_table_each_oldest(const struct dedup_table *table,
			     void (*each)(void *context, const struct dedup_id *id, int64_t offset),
			     void *context)
{
	each_in(&table->groups, table->oldest, each, context);
	each_in(&table->old, table->oldest, each, context);
}

size_t dedup_table_bytes(const struct dedup_table *table)
{
	return sizeof(*table) +
	       (table->groups.count + table->old.count) * sizeof(struct dedup_group);
}
