#include "storage/dedup_window.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	CHUNK_ENTRIES = 682, /* 16 KiB */
	HELD_MAX = DEDUP_BUCKETS_MAX - 1,
};

/* Ids of a bucket in the order in which they came: what a file is made of, and what undoing and
 * counting go by. */
struct dedup_chunk {
	struct dedup_chunk *next; /* older */
	uint32_t count;
	struct dedup_entry entries[CHUNK_ENTRIES];
};

/* ---- making and ending ---- */

static const struct open_file_kind window_file; /* to be opened again at any time */

static void clear(struct dedup_window *window)
{
	*window = (struct dedup_window){.largest_ms = -1, .place = window->place};
	open_file_init(&window->file, &window_file);
	list_init(&window->buckets);
	dedup_table_init(&window->table);
}

void dedup_window_init(struct dedup_window *window, const struct dedup_place *place)
{
	static const struct dedup_place nowhere = {.dir_fd = -1};

	window->place = place ? *place : nowhere;
	clear(window);
}

size_t dedup_chunks_free(struct dedup_chunk *chunk)
{
	size_t bytes = 0;

	while (chunk) {
		struct dedup_chunk *next = chunk->next;
		free(chunk);
		bytes += sizeof(*chunk);
		chunk = next;
	}
	return bytes;
}

void dedup_window_free_chunks(struct dedup_window *window, struct dedup_chunk *chunks)
{
	window->chunk_bytes -= dedup_chunks_free(chunks);
}

static void close_file(struct dedup_window *window)
{
	if (window->file.fd >= 0)
		open_file_close(window->place.open_files, &window->file);
}

static void free_bucket(struct dedup_window *window, struct dedup_bucket *bucket)
{
	list_remove(&bucket->link);
	dedup_window_free_chunks(window, bucket->chunks);
	free(bucket);
}

void dedup_window_end(struct dedup_window *window)
{
	struct list *node;

	if (!window->buckets.next)
		return;
	while ((node = list_pop_front(&window->buckets)))
		free_bucket(window, container_of(node, struct dedup_bucket, link));
	dedup_window_free_chunks(window, window->spare);
	for (size_t i = 0; i < window->spill_count; i++)
		dedup_filter_free(&window->spills[i].filter);
	free(window->spills);
	close_file(window);
	dedup_table_fini(&window->table);
	clear(window);
}

static bool add_bucket(struct dedup_window *window, int64_t from)
{
	struct dedup_bucket *bucket = calloc(1, sizeof(*bucket));

	if (!bucket)
		return false;
	bucket->from = from;
	bucket->to = -1;
	list_push_back(&window->buckets, &bucket->link);
	return true;
}

int dedup_window_begin(struct dedup_window *window, const struct dedup_config *config,
		       int64_t offset, uint64_t now_ns)
{
	dedup_window_end(window);
	clear(window);
	if (!add_bucket(window, offset))
		return -ENOMEM;
	window->config = *config;
	window->complete_ns = now_ns;
	window->on = true;
	return 0;
}

int64_t dedup_window_largest(const struct dedup_window *window, int64_t max_ms, int64_t wall_ms)
{
	int64_t ms = max_ms < wall_ms ? max_ms : wall_ms;

	return ms > window->largest_ms ? ms : window->largest_ms;
}

/* ---- ids ---- */

struct dedup_bucket *dedup_window_open_bucket(const struct dedup_window *window)
{
	return container_of(window->buckets.prev, struct dedup_bucket, link);
}

struct dedup_bucket *dedup_window_oldest(const struct dedup_window *window)
{
	return container_of(window->buckets.next, struct dedup_bucket, link);
}

static size_t room_of(const struct dedup_chunk *chunk)
{
	return chunk ? CHUNK_ENTRIES - chunk->count : 0;
}

/* Chunks that the next entries go to, after the newest one. */
static int reserve_chunks(struct dedup_window *window, size_t count)
{
	size_t room = room_of(dedup_window_open_bucket(window)->chunks);

	for (const struct dedup_chunk *chunk = window->spare; chunk && room < count;
	     chunk = chunk->next)
		room += CHUNK_ENTRIES;
	while (room < count) {
		struct dedup_chunk *chunk = malloc(sizeof(*chunk));
		if (!chunk)
			return -ENOMEM;
		chunk->count = 0;
		chunk->next = window->spare;
		window->spare = chunk;
		window->chunk_bytes += sizeof(*chunk);
		room += CHUNK_ENTRIES;
	}
	return 0;
}

int dedup_window_reserve(struct dedup_window *window, size_t count)
{
	int rc = dedup_table_reserve(&window->table, count);

	return rc == 0 ? reserve_chunks(window, count) : rc;
}

void dedup_window_prefetch(const struct dedup_window *window, const struct dedup_id *id)
{
	dedup_table_prefetch(&window->table, id);
	for (size_t i = 0; i < window->spill_count; i++)
		dedup_filter_prefetch(&window->spills[i].filter, id);
}

/* What is sent again comes in the order in which it came first: nearly always it is open. */
static int open_file(struct dedup_window *window, const struct dedup_spill *spill)
{
	char name[DEDUP_FILE_NAME_BYTES];
	char path[sizeof(name) + 64];

	if (window->file.fd >= 0 && window->file_from == spill->from)
		return open_file_use(window->place.open_files, &window->file);
	close_file(window);
	dedup_file_name(name, spill->from, spill->to);
	snprintf(path, sizeof(path), "%s/%s", window->place.path, name);
	open_files_make_room(window->place.open_files);
	int fd = openat(window->place.dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	open_file_keep(window->place.open_files, &window->file, fd);
	window->file_from = spill->from;
	return fd;
}

static int64_t find_in_file(struct dedup_window *window, const struct dedup_spill *spill,
			    const struct dedup_id *id)
{
	int fd = open_file(window, spill);
	int64_t offset = fd < 0 ? fd : dedup_file_find(fd, spill->count, id);

	if (offset < -1)
		window->read_errors++;
	return offset;
}

int64_t dedup_window_find(struct dedup_window *window, const struct dedup_id *id)
{
	int64_t offset = dedup_table_find(&window->table, id);

	/* The newest first: a file may have an id that has come again since. */
	for (size_t i = window->spill_count; i-- > 0 && offset < 0;) {
		if (dedup_filter_may_have(&window->spills[i].filter, id))
			offset = find_in_file(window, &window->spills[i], id);
	}
	return offset < 0 ? -1 : offset;
}

static void note_entry(struct dedup_window *window, struct dedup_bucket *bucket,
		       const struct dedup_id *id, int64_t offset)
{
	struct dedup_chunk *chunk = bucket->chunks;

	if (!room_of(chunk)) {
		chunk = window->spare;
		check(chunk);
		window->spare = chunk->next;
		chunk->next = bucket->chunks;
		bucket->chunks = chunk;
	}
	chunk->entries[chunk->count++] = (struct dedup_entry){*id, offset};
}

void dedup_window_insert(struct dedup_window *window, const struct dedup_id *id, int64_t offset,
			 const struct dedup_now *now)
{
	struct dedup_bucket *bucket = dedup_window_open_bucket(window);

	dedup_table_insert(&window->table, id, offset);
	note_entry(window, bucket, id, offset);
	if (!bucket->count) {
		bucket->first_ns = now->ns;
		bucket->first_ms = now->largest_ms;
	}
	bucket->last_ns = now->ns;
	bucket->last_ms = now->largest_ms;
	bucket->count++;
	window->entries++;
}

void dedup_window_undo(struct dedup_window *window, size_t count)
{
	struct dedup_bucket *bucket = dedup_window_open_bucket(window);

	check(count <= bucket->count);
	bucket->count -= count;
	window->entries -= count;
	while (count--) {
		struct dedup_chunk *chunk = bucket->chunks;
		dedup_table_remove(&window->table, &chunk->entries[--chunk->count].id);
		if (chunk->count)
			continue;
		bucket->chunks = chunk->next;
		chunk->next = window->spare;
		window->spare = chunk;
	}
}

/* The bucket that holds the id, if one does, has it no more. */
static void remove_held(struct dedup_window *window, const struct dedup_id *id)
{
	int64_t known = dedup_table_find(&window->table, id);
	struct list *node = window->buckets.prev;

	if (known < 0)
		return;
	while (container_of(node, struct dedup_bucket, link)->from > known)
		node = node->prev;
	container_of(node, struct dedup_bucket, link)->count--;
	window->entries--;
	dedup_table_remove(&window->table, id);
}

void dedup_window_replay(struct dedup_window *window, const struct dedup_id *id, int64_t offset,
			 const struct dedup_now *now)
{
	remove_held(window, id);
	dedup_window_insert(window, id, offset, now);
}

/* ---- buckets ---- */

static uint64_t entries_max(const struct dedup_window *window)
{
	return window->config.entries_max ? window->config.entries_max : 1;
}

bool dedup_window_due(const struct dedup_window *window, const struct dedup_now *now,
		      bool by_stamps)
{
	const struct dedup_bucket *open = dedup_window_open_bucket(window);
	uint64_t share_ms = (uint64_t)window->config.window_ms / DEDUP_SHARES;

	if (!open->count)
		return false;
	if (open->count >= entries_max(window) / DEDUP_SHARES + 1)
		return true;
	if (by_stamps)
		return now->largest_ms >= open->first_ms + (int64_t)share_ms;
	return now->ns >= open->first_ns + share_ms * NS_PER_MS;
}

bool dedup_window_full(const struct dedup_window *window)
{
	return dedup_table_buckets(&window->table) >= HELD_MAX;
}

bool dedup_window_close_bucket(struct dedup_window *window, int64_t offset)
{
	struct dedup_bucket *open = dedup_window_open_bucket(window);

	if (dedup_window_full(window) || !add_bucket(window, offset))
		return false;
	open->to = offset;
	dedup_table_begin_bucket(&window->table);
	return true;
}

struct dedup_bucket *dedup_window_outlived(const struct dedup_window *window,
					   const struct dedup_now *now)
{
	struct dedup_bucket *bucket = dedup_window_oldest(window);
	int64_t window_ms = window->config.window_ms;

	if (bucket->to < 0)
		return NULL;
	if (now->ns <= bucket->last_ns + (uint64_t)window_ms * NS_PER_MS)
		return NULL;
	/* A timestamp that is missing, or was taken from a clock that has been set back since, says
	 * nothing. */
	if (bucket->last_ms < 0 || bucket->last_ms > now->wall_ms)
		return bucket;
	return now->largest_ms - bucket->last_ms > window_ms ? bucket : NULL;
}

struct dedup_bucket *dedup_window_excess(const struct dedup_window *window)
{
	struct dedup_bucket *bucket = dedup_window_oldest(window);

	return bucket->to >= 0 && window->entries > entries_max(window) ? bucket : NULL;
}

void dedup_window_drop_oldest(struct dedup_window *window)
{
	struct dedup_bucket *bucket = dedup_window_oldest(window);

	check(bucket->to >= 0);
	if (bucket->spilled) {
		dedup_filter_free(&window->spills[0].filter);
		close_file(window);
		window->spill_count--;
		memmove(&window->spills[0], &window->spills[1],
			window->spill_count * sizeof(*window->spills));
	} else {
		dedup_table_drop_bucket(&window->table);
	}
	window->entries -= bucket->count;
	if (bucket->last_ns > window->complete_ns)
		window->complete_ns = bucket->last_ns;
	free_bucket(window, bucket);
}

/* ---- spilling ---- */

struct dedup_bucket *dedup_window_oldest_held(const struct dedup_window *window)
{
	struct list *node = window->buckets.next;

	while (container_of(node, struct dedup_bucket, link)->spilled)
		node = node->next;
	return container_of(node, struct dedup_bucket, link);
}

static int add_spill(struct dedup_window *window, const struct dedup_spill *spill)
{
	struct dedup_spill *spills = realloc(window->spills,
					     (window->spill_count + 1) * sizeof(*spills));

	if (!spills)
		return -ENOMEM;
	window->spills = spills;
	spills[window->spill_count++] = *spill;
	return 0;
}

int dedup_window_spill(struct dedup_window *window, const struct dedup_spill *spill)
{
	struct dedup_bucket *bucket = dedup_window_oldest_held(window);
	int rc = add_spill(window, spill);

	if (rc < 0)
		return rc;
	check(bucket->to >= 0);
	check(bucket->filed);
	bucket->spilled = true;
	dedup_table_drop_bucket(&window->table);
	dedup_window_shrink(window);
	return 0;
}

bool dedup_window_shrink(struct dedup_window *window)
{
	dedup_window_free_chunks(window, window->spare);
	window->spare = NULL;
	return dedup_table_shrink(&window->table);
}

/* ---- from files ---- */

/* The open bucket, which is empty, becomes that of the file, and ends. */
static void become(struct dedup_bucket *bucket, const struct dedup_file_head *head,
		   uint64_t last_ns)
{
	check(bucket->count == 0);
	bucket->from = head->from;
	bucket->to = head->to;
	bucket->filed = true;
	bucket->first_ns = bucket->last_ns = last_ns;
	bucket->first_ms = bucket->last_ms = head->last_ms;
}

static void note_head(struct dedup_window *window, const struct dedup_file_head *head)
{
	if (head->last_ms > window->largest_ms)
		window->largest_ms = head->last_ms;
}

int dedup_window_load(struct dedup_window *window, const struct dedup_file_head *head,
		      uint64_t last_ns, const struct dedup_entry *entries)
{
	struct dedup_bucket *bucket = dedup_window_open_bucket(window);
	int rc = dedup_table_reserve(&window->table, head->count);

	if (rc < 0 || !add_bucket(window, head->to))
		return -ENOMEM;
	become(bucket, head, last_ns);
	for (uint64_t i = 0; i < head->count; i++) {
		remove_held(window, &entries[i].id);
		dedup_table_insert(&window->table, &entries[i].id, entries[i].offset);
	}
	bucket->count = head->count;
	window->entries += head->count;
	dedup_table_begin_bucket(&window->table);
	note_head(window, head);
	return 0;
}

int dedup_window_load_spilled(struct dedup_window *window, const struct dedup_file_head *head,
			      uint64_t last_ns, const struct dedup_spill *spill)
{
	struct dedup_bucket *bucket = dedup_window_open_bucket(window);

	check(dedup_window_oldest_held(window) == bucket);
	if (add_spill(window, spill) < 0)
		return -ENOMEM;
	if (!add_bucket(window, head->to)) {
		window->spill_count--;
		return -ENOMEM;
	}
	become(bucket, head, last_ns);
	bucket->spilled = true;
	bucket->count = head->count;
	window->entries += head->count;
	note_head(window, head);
	return 0;
}

/* ---- for files ---- */

size_t dedup_chunks_count(const struct dedup_chunk *chunks)
{
	size_t count = 0;

	for (; chunks; chunks = chunks->next)
		count += chunks->count;
	return count;
}

void dedup_chunks_copy(const struct dedup_chunk *chunks, struct dedup_entry *out)
{
	for (; chunks; chunks = chunks->next) {
		memcpy(out, chunks->entries, chunks->count * sizeof(*out));
		out += chunks->count;
	}
}

/* ---- figures ---- */

size_t dedup_window_bytes(const struct dedup_window *window)
{
	size_t bytes = dedup_table_bytes(&window->table) + window->chunk_bytes;

	for (size_t i = 0; i < window->spill_count; i++)
		bytes += sizeof(window->spills[i]) + dedup_filter_bytes(&window->spills[i].filter);
	return bytes;
}

int64_t dedup_window_covered_ms(const struct dedup_window *window, uint64_t now_ns)
{
	int64_t complete_ms = (int64_t)((now_ns - window->complete_ns) / NS_PER_MS);

	return complete_ms < window->config.window_ms ? complete_ms : window->config.window_ms;
}
