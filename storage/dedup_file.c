#include "storage/dedup_file.h"

#include "base/errors.h"
#include "base/whole.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

struct file_header {
	char magic[8];
	uint32_t version;
	uint32_t reserved;
	struct dedup_file_head head;
	uint64_t checksum; /* XXH3 of the entries, seeded with that of the bytes before */
};
_Static_assert(sizeof(struct file_header) == 88, "header of a file of ids");
_Static_assert(sizeof(struct dedup_entry) == 24, "entry of a file of ids");

enum {
	FORMAT_VERSION = 1,
	LOOK_ENTRIES = 512, /* read at once: where an id is expected is seldom farther off */
	SORT_FEW = 32,      /* by insertion */
	SORT_MANY = 4096,   /* by their first bits */
	SORT_BITS = 16,
};
static const char file_magic[8] = "SLUICEdw";
static const char new_name[] = "dedup.new";
static const char ending[] = ".dedup";

uint64_t dedup_file_bytes(uint64_t count)
{
	return sizeof(struct file_header) + count * sizeof(struct dedup_entry);
}

void dedup_file_name(char name[static DEDUP_FILE_NAME_BYTES], int64_t from, int64_t to)
{
	snprintf(name, DEDUP_FILE_NAME_BYTES, "%020" PRId64 "-%020" PRId64 "%s", from, to, ending);
}

bool dedup_file_is_name(const char *name, int64_t *ret_from, int64_t *ret_to)
{
	if (strspn(name, "0123456789") != 20 || name[20] != '-' ||
	    strspn(name + 21, "0123456789") != 20 || strcmp(name + 41, ending) != 0)
		return false;
	errno = 0;
	*ret_from = strtoll(name, NULL, 10);
	*ret_to = strtoll(name + 21, NULL, 10);
	return errno == 0 && *ret_from <= *ret_to;
}

/* ---- sorting ---- */

static int compare_ids(const struct dedup_id *a, const struct dedup_id *b)
{
	if (a->low != b->low)
		return a->low < b->low ? -1 : 1;
	return (a->high > b->high) - (a->high < b->high);
}

static int compare_entries(const void *left, const void *right)
{
	const struct dedup_entry *a = left;
	const struct dedup_entry *b = right;
	int order = compare_ids(&a->id, &b->id);

	return order ? order : (a->offset < b->offset) - (a->offset > b->offset);
}

static void sort_few(struct dedup_entry *entries, size_t count)
{
	if (count > SORT_FEW) {
		qsort(entries, count, sizeof(*entries), compare_entries);
		return;
	}
	for (size_t i = 1; i < count; i++) {
		struct dedup_entry entry = entries[i];
		size_t to = i;
		for (; to && compare_entries(&entry, &entries[to - 1]) < 0; to--)
			entries[to] = entries[to - 1];
		entries[to] = entry;
	}
}

/* Ids are spread evenly but where somebody chooses them, so by their first bits each is nearly in
 * its place.  False: no memory. */
static bool sort_by_first_bits(struct dedup_entry *entries, size_t count)
{
	struct dedup_entry *copy = malloc(count * sizeof(*copy));
	uint32_t *ends = calloc((size_t)1 << SORT_BITS, sizeof(*ends));
	bool there = copy && ends;

	if (there) {
		memcpy(copy, entries, count * sizeof(*copy));
		for (size_t i = 0; i < count; i++)
			ends[copy[i].id.low >> (64 - SORT_BITS)]++;
		for (size_t i = 1; i < (size_t)1 << SORT_BITS; i++)
			ends[i] += ends[i - 1];
		for (size_t i = count; i-- > 0;)
			entries[--ends[copy[i].id.low >> (64 - SORT_BITS)]] = copy[i];
		/* What ended a part is where it begins now. */
		for (size_t i = 0; i < (size_t)1 << SORT_BITS; i++) {
			size_t end = i + 1 < (size_t)1 << SORT_BITS ? ends[i + 1] : count;
			sort_few(entries + ends[i], end - ends[i]);
		}
	}
	free(copy);
	free(ends);
	return there;
}

size_t dedup_entries_sort(struct dedup_entry *entries, size_t count)
{
	size_t kept = 0;

	if (count < SORT_MANY || count > UINT32_MAX || !sort_by_first_bits(entries, count))
		sort_few(entries, count);
	for (size_t i = 0; i < count; i++) {
		if (!kept || compare_ids(&entries[kept - 1].id, &entries[i].id) != 0)
			entries[kept++] = entries[i];
	}
	return kept;
}

/* ---- writing ---- */

static uint64_t checksum_of(const struct file_header *header, const struct dedup_entry *entries)
{
	XXH64_hash_t seed = XXH3_64bits(header, offsetof(struct file_header, checksum));

	return XXH3_64bits_withSeed(entries, header->head.count * sizeof(*entries), seed);
}

int dedup_file_write(int dir_fd, const struct dedup_file_head *head,
		     const struct dedup_entry *entries)
{
	struct file_header header = {.version = FORMAT_VERSION, .head = *head};
	char name[DEDUP_FILE_NAME_BYTES];

	memcpy(header.magic, file_magic, sizeof(header.magic));
	header.checksum = checksum_of(&header, entries);
	dedup_file_name(name, head->from, head->to);
	int fd = openat(dir_fd, new_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	int rc = whole_pwrite(fd, &header, sizeof(header), 0);
	if (rc == 0)
		rc = whole_pwrite(fd, entries, head->count * sizeof(*entries), sizeof(header));
	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	close(fd);
	if (rc == 0 && (renameat(dir_fd, new_name, dir_fd, name) < 0 || fsync(dir_fd) < 0))
		rc = -errno;
	if (rc < 0)
		unlinkat(dir_fd, new_name, 0);
	return rc;
}

/* ---- reading ---- */

/* Searches rely on the order. */
static bool rising(const struct dedup_entry *entries, uint64_t count)
{
	for (uint64_t i = 1; i < count; i++) {
		if (compare_ids(&entries[i - 1].id, &entries[i].id) >= 0)
			return false;
	}
	return true;
}

static bool within(const struct dedup_file_head *head, const struct dedup_entry *entries)
{
	for (uint64_t i = 0; i < head->count; i++) {
		if (entries[i].offset < head->from || entries[i].offset >= head->to)
			return false;
	}
	return true;
}

int dedup_file_parse(const void *data, size_t size, struct dedup_file_head *ret_head,
		     const struct dedup_entry **ret_entries)
{
	struct file_header header;

	if (size < sizeof(header))
		return -ERR_CORRUPT;
	memcpy(&header, data, sizeof(header));
	if (memcmp(header.magic, file_magic, sizeof(header.magic)) != 0)
		return -ERR_CORRUPT;
	/* Before the checksum, which another version may have elsewhere. */
	if (header.version != FORMAT_VERSION)
		return -ERR_FORMAT;
	const struct dedup_file_head *head = &header.head;
	const struct dedup_entry *entries = (const void *)((const uint8_t *)data + sizeof(header));
	if (head->count != (size - sizeof(header)) / sizeof(*entries) ||
	    size != dedup_file_bytes(head->count) ||
	    header.checksum != checksum_of(&header, entries) || head->from < 0 ||
	    head->to < head->from || head->to >> DEDUP_OFFSET_BITS || head->last_ms < -1 ||
	    !rising(entries, head->count) || !within(head, entries))
		return -ERR_CORRUPT;
	*ret_head = *head;
	*ret_entries = entries;
	return 0;
}

int dedup_file_open(int dir_fd, int64_t from, int64_t to)
{
	char name[DEDUP_FILE_NAME_BYTES];

	dedup_file_name(name, from, to);
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

static int read_whole(int fd, uint8_t **ret, size_t *ret_size)
{
	struct stat info;

	if (fstat(fd, &info) < 0)
		return -errno;
	size_t size = (size_t)info.st_size;
	uint8_t *data = malloc(size + 1);
	if (!data)
		return -ENOMEM;
	ssize_t got = whole_pread(fd, data, size, 0);
	if (got != (ssize_t)size) {
		free(data);
		return got < 0 ? (int)got : -EIO;
	}
	*ret = data;
	*ret_size = size;
	return 0;
}

int dedup_file_read(int dir_fd, int64_t from, int64_t to, struct dedup_file_head *ret_head,
		    struct dedup_entry **ret_entries)
{
	const struct dedup_entry *entries;
	uint8_t *data = NULL;
	size_t size = 0;
	int fd = dedup_file_open(dir_fd, from, to);

	if (fd < 0)
		return fd;
	int rc = read_whole(fd, &data, &size);
	close(fd);
	if (rc < 0)
		return rc;
	rc = dedup_file_parse(data, size, ret_head, &entries);
	if (rc == 0 && (ret_head->from != from || ret_head->to != to))
		rc = -ERR_CORRUPT;
	if (rc < 0) {
		free(data);
		return rc;
	}
	/* Only the entries are kept, where an allocation begins. */
	memmove(data, entries, ret_head->count * sizeof(*entries));
	*ret_entries = (struct dedup_entry *)(void *)data;
	return 0;
}

/* ---- looking for an id ---- */

/* Where an id would lie among `count` if they were spread evenly, as hashes are. */
static uint64_t spread(uint64_t low, uint64_t count)
{
	return (uint64_t)((unsigned __int128)low * count >> 64);
}

static const struct dedup_entry *look(const struct dedup_entry *entries, size_t count,
				      const struct dedup_id *id)
{
	size_t from = 0;
	size_t to = count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		int order = compare_ids(&entries[middle].id, id);
		if (order == 0)
			return &entries[middle];
		if (order < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

/* Between `from` and `to`, around where it is expected; after a few looks in the middle, so that
 * ids that are not spread evenly cost no more than a binary search. */
static uint64_t next_look(uint64_t guess, uint64_t from, uint64_t to, unsigned looks)
{
	uint64_t at = looks < 4 ? guess : from + (to - from) / 2;

	at = at < from + LOOK_ENTRIES / 2 ? from : at - LOOK_ENTRIES / 2;
	if (at + LOOK_ENTRIES > to)
		at = to - from > LOOK_ENTRIES ? to - LOOK_ENTRIES : from;
	return at;
}

int64_t dedup_file_find(int fd, uint64_t count, const struct dedup_id *id)
{
	struct dedup_entry entries[LOOK_ENTRIES];
	uint64_t guess = spread(id->low, count);
	uint64_t from = 0;
	uint64_t to = count;

	for (unsigned looks = 0; from < to; looks++) {
		uint64_t at = next_look(guess, from, to, looks);
		size_t n = to - at < LOOK_ENTRIES ? (size_t)(to - at) : LOOK_ENTRIES;
		ssize_t got = whole_pread(fd, entries, n * sizeof(*entries), dedup_file_bytes(at));
		if (got != (ssize_t)(n * sizeof(*entries)))
			return got < 0 ? (int)got : -EIO;
		if (compare_ids(id, &entries[0].id) < 0) {
			to = at;
			uint64_t back = spread(entries[0].id.low - id->low, count);
			guess = back < at ? at - back : 0;
		} else if (compare_ids(id, &entries[n - 1].id) > 0) {
			from = at + n;
			guess = from + spread(id->low - entries[n - 1].id.low, count);
		} else {
			const struct dedup_entry *entry = look(entries, n, id);
			return entry ? entry->offset : -1;
		}
	}
	return -1;
}
