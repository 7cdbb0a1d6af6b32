#include "tests/storage/sim.h"

#include "base/bytes.h"
#include "base/check.h"
#include "storage/store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	SECTOR_BYTES = 512,
	QUEUE_MAX = 4096,
	BLOCKS_MAX = 32768, /* of a file */
};

/* What a sector held before a write that is not yet flushed. */
struct before {
	ino_t file;
	uint64_t offset;
	uint64_t completed; /* the write's number among the completed; UINT64_MAX: not yet */
	uint8_t content[SECTOR_BYTES];
};

struct sized {
	ino_t file;
	uint64_t flushed_bytes;          /* the size that is certain */
	uint8_t settled[BLOCKS_MAX / 8]; /* a bit a block */
};

struct queued {
	struct io *io;
	uint64_t completed_before; /* what a flush covers */
	uint64_t size_before;      /* likewise */
};

struct sim {
	struct io_backend backend;
	struct chance chance;
	struct sim_options options;
	bool dead;
	struct queued queue[QUEUE_MAX];
	unsigned queue_count;
	uint64_t completed;
	struct before *befores; /* in the order of the writes */
	size_t before_count, before_capacity;
	struct sized *files;
	unsigned file_count, file_capacity;
};

static struct sim *sim_of(const struct io_backend *backend)
{
	return (struct sim *)(uintptr_t)backend;
}

static ino_t file_of(int fd)
{
	struct stat info;

	check(fstat(fd, &info) == 0);
	return info.st_ino;
}

static void settle(struct sized *file, uint64_t offset)
{
	uint64_t block = offset / BLOCK_BYTES;

	check(block < BLOCKS_MAX);
	file->settled[block / 8] |= (uint8_t)(1 << block % 8);
}

static struct sized *size_of(struct sim *sim, int fd)
{
	struct stat info;

	check(fstat(fd, &info) == 0);
	for (unsigned i = 0; i < sim->file_count; i++) {
		if (sim->files[i].file == info.st_ino)
			return &sim->files[i];
	}
	if (sim->file_count == sim->file_capacity) {
		sim->file_capacity = sim->file_capacity ? sim->file_capacity * 2 : 4;
		sim->files = realloc(sim->files, sim->file_capacity * sizeof(*sim->files));
		check(sim->files);
	}
	/* Made, or recovered, and flushed by plain calls. */
	struct sized *file = &sim->files[sim->file_count++];
	memset(file, 0, sizeof(*file));
	file->file = info.st_ino;
	file->flushed_bytes = (uint64_t)info.st_size;
	for (uint64_t at = 0; at < file->flushed_bytes; at += BLOCK_BYTES)
		settle(file, at);
	return file;
}

/* ---- carrying out ---- */

static void remember(struct sim *sim, int fd, uint64_t offset)
{
	if (sim->before_count == sim->before_capacity) {
		sim->before_capacity = sim->before_capacity ? sim->before_capacity * 2 : 256;
		sim->befores = realloc(sim->befores, sim->before_capacity * sizeof(*sim->befores));
		check(sim->befores);
	}
	struct before *before = &sim->befores[sim->before_count++];
	*before = (struct before){.file = file_of(fd), .offset = offset, .completed = UINT64_MAX};
	check(pread(fd, before->content, SECTOR_BYTES, (off_t)offset) >= 0);
}

static int do_write(struct sim *sim, struct io *io, size_t length)
{
	check(io->offset % SECTOR_BYTES == 0 && io->length % SECTOR_BYTES == 0);
	size_of(sim, io->fd);
	size_t first = sim->before_count;
	for (size_t at = 0; at < length; at += SECTOR_BYTES)
		remember(sim, io->fd, io->offset + at);
	ssize_t wrote = pwrite(io->fd, io->data, length, (off_t)io->offset);
	if (wrote < 0)
		return -errno;
	sim->completed++;
	for (size_t i = first; i < sim->before_count; i++)
		sim->befores[i].completed = sim->completed;
	return (int)wrote;
}

static bool is_settled(const struct sim *sim, const struct before *before)
{
	for (unsigned i = 0; i < sim->file_count; i++) {
		if (sim->files[i].file == before->file)
			return sim->files[i].settled[before->offset / BLOCK_BYTES / 8] >>
				       before->offset / BLOCK_BYTES % 8 &
			       1;
	}
	return false;
}

/* What the writes below overwrote is gone for good. */
static void do_flush(struct sim *sim, const struct queued *queued)
{
	int fd = queued->io->fd;
	bool device = sim->options.device_fd && fd == sim->options.device_fd;
	struct sized *file = device ? NULL : size_of(sim, fd);
	size_t kept = 0;

	for (size_t i = 0; i < sim->before_count; i++) {
		const struct before *before = &sim->befores[i];
		bool covered = before->completed <= queued->completed_before &&
			       (device ? is_settled(sim, before) : before->file == file->file);
		if (!covered)
			sim->befores[kept++] = *before;
		else if (file)
			settle(file, before->offset);
	}
	sim->before_count = kept;
	/* Of two flushes under way the earlier may end later. */
	if (file && queued->size_before > file->flushed_bytes)
		file->flushed_bytes = queued->size_before;
}

static int carry_out(struct sim *sim, const struct queued *queued)
{
	struct io *io = queued->io;
	size_t length = io->length;
	bool changes = io->op == IO_WRITE || io->op == IO_FLUSH || io->op == IO_ALLOCATE;

	if (sim->dead)
		return -EIO;
	if (changes && sim->options.fault) {
		int rc = sim->options.fault(sim->options.context, io->op, io->offset, length);
		if (rc < 0)
			return rc;
		if (rc > 0)
			length = round_down((uint64_t)rc, SECTOR_BYTES);
	}
	switch ((enum io_op)io->op) {
	case IO_READ: {
		ssize_t got = pread(io->fd, io->data, length, (off_t)io->offset);
		return got < 0 ? -errno : (int)got;
	}
	case IO_WRITE:
		return do_write(sim, io, length);
	case IO_FLUSH:
		do_flush(sim, queued);
		return 0;
	case IO_ALLOCATE:
		size_of(sim, io->fd);
		return fallocate(io->fd, 0, (off_t)io->offset, (off_t)io->length) < 0 ? -errno : 0;
	case IO_SYNC: /* of a folder, whose names last as soon as they are made */
		return 0;
	case IO_OPEN:
	case IO_CLOSE:
	case IO_RENAME:
	case IO_UNLINK:
	case IO_ACCEPT:
	case IO_READY:
	case IO_RECEIVE:
	case IO_RECEIVE_INTO:
	case IO_SEND:
		break;
	}
	check(!"an operation of the log");
	return -ENOSYS;
}

/* ---- the back end ---- */

static void sim_submit(struct io_backend *backend, struct io *io)
{
	struct sim *sim = sim_of(backend);

	check(sim->queue_count < QUEUE_MAX);
	struct queued *queued = &sim->queue[sim->queue_count++];
	*queued = (struct queued){.io = io, .completed_before = sim->completed};
	if (io->op == IO_FLUSH) {
		struct stat info;
		check(fstat(io->fd, &info) == 0);
		queued->size_before = (uint64_t)info.st_size;
	}
}

static int sim_turn(struct io_backend *backend, uint64_t wait_ns)
{
	struct sim *sim = sim_of(backend);
	unsigned left = sim->queue_count;
	int count = 0;

	(void)wait_ns;
	while (left--) {
		unsigned slowness = sim->options.slowness;
		bool in_order = slowness <= 1;
		unsigned at = in_order ? 0 : (unsigned)chance_below(&sim->chance, sim->queue_count);
		if (!in_order && !chance_one_in(&sim->chance, slowness))
			continue;
		struct queued queued = sim->queue[at];
		memmove(&sim->queue[at], &sim->queue[at + 1],
			(sim->queue_count - at - 1) * sizeof(queued));
		sim->queue_count--;
		int rc = carry_out(sim, &queued);
		queued.io->done(queued.io, rc);
		count++;
	}
	return count;
}

static void sim_cancel(struct io_backend *backend, struct io *io)
{
	(void)backend;
	(void)io;
}

static void sim_wake(struct io_backend *backend)
{
	(void)backend;
}

static void sim_slab_added(struct io_backend *backend, unsigned slab)
{
	(void)backend;
	(void)slab;
}

static void sim_free(struct io_backend *backend)
{
	struct sim *sim = sim_of(backend);

	check(!sim->queue_count);
	free(sim->befores);
	free(sim->files);
	free(sim);
}

static const struct io_ops sim_ops = {
	.name = "sim",
	.free = sim_free,
	.submit = sim_submit,
	.cancel = sim_cancel,
	.turn = sim_turn,
	.wake = sim_wake,
	.slab_added = sim_slab_added,
};

struct io_backend *sim_new(uint64_t seed)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	check(sim);
	sim->backend.ops = &sim_ops;
	sim->chance.state = seed;
	sim->options.slowness = 1;
	return &sim->backend;
}

struct sim_options *sim_options(struct io_backend *backend)
{
	return &sim_of(backend)->options;
}

unsigned sim_queued(const struct io_backend *backend, enum io_op op)
{
	const struct sim *sim = sim_of(backend);
	unsigned count = 0;

	for (unsigned i = 0; i < sim->queue_count; i++)
		count += sim->queue[i].io->op == op;
	return count;
}

void sim_die(struct io_backend *backend)
{
	sim_of(backend)->dead = true;
}

void sim_settle(struct io_backend *backend)
{
	struct sim *sim = sim_of(backend);

	check(sim->queue_count == sim_queued(backend, IO_READ));
	sim->before_count = 0;
	sim->file_count = 0;
	sim->dead = false;
}

/* ---- power cut ---- */

/* Back to front: a sector that goes back behind one write may go back behind the one before too. */
static void lose_sectors(struct sim *sim, ino_t file, int to)
{
	for (size_t i = sim->before_count; i-- > 0;) {
		const struct before *before = &sim->befores[i];
		bool newest = true;
		if (before->file != file)
			continue;
		for (size_t j = i + 1; newest && j < sim->before_count; j++)
			newest = sim->befores[j].file != file ||
				 sim->befores[j].offset != before->offset;
		if (!newest || chance_one_in(&sim->chance, 2))
			continue;
		/* Which of its contents: this one or an earlier one. */
		const struct before *chosen = before;
		for (size_t j = i; j-- > 0;) {
			const struct before *earlier = &sim->befores[j];
			if (earlier->file == file && earlier->offset == before->offset &&
			    chance_one_in(&sim->chance, 2))
				chosen = earlier;
		}
		check(pwrite(to, chosen->content, SECTOR_BYTES, (off_t)before->offset) ==
		      SECTOR_BYTES);
	}
}

/* Writes under way may have reached the disk in part. */
static void half_write(struct sim *sim, ino_t file, int to)
{
	for (unsigned i = 0; i < sim->queue_count; i++) {
		const struct io *io = sim->queue[i].io;
		if (io->op != IO_WRITE || file_of(io->fd) != file)
			continue;
		for (size_t at = 0; at < io->length; at += SECTOR_BYTES) {
			if (chance_one_in(&sim->chance, 2))
				continue;
			check(pwrite(to, (const uint8_t *)io->data + at, SECTOR_BYTES,
				     (off_t)(io->offset + at)) == SECTOR_BYTES);
		}
	}
}

static void lose_size(struct sim *sim, ino_t file, int to)
{
	struct stat info;

	check(fstat(to, &info) == 0);
	for (unsigned i = 0; i < sim->file_count; i++) {
		uint64_t certain = sim->files[i].flushed_bytes;
		if (sim->files[i].file == file && certain < (uint64_t)info.st_size &&
		    chance_one_in(&sim->chance, 2))
			check(ftruncate(to, (off_t)certain) == 0);
	}
}

/* Index files are never flushed: there, gone, or torn. */
static void lose_index(struct sim *sim, const char *path, size_t size)
{
	uint64_t fate = chance_below(&sim->chance, 3);

	if (fate == 0)
		check(unlink(path) == 0);
	else if (fate == 1)
		check(truncate(path, (off_t)chance_below(&sim->chance, size + 1)) == 0);
}

static void cut_file(struct sim *sim, const char *from, const char *to)
{
	struct stat info;
	size_t size;
	size_t name_bytes = strlen(to);
	uint8_t *data = load_file(from, &size);

	check(stat(from, &info) == 0);
	save_file(to, data, size);
	free(data);
	if (name_bytes > 4 && strcmp(to + name_bytes - 4, ".idx") == 0) {
		lose_index(sim, to, size);
		return;
	}
	int fd = open(to, O_RDWR | O_CLOEXEC);
	check(fd >= 0);
	lose_sectors(sim, info.st_ino, fd);
	half_write(sim, info.st_ino, fd);
	lose_size(sim, info.st_ino, fd);
	close(fd);
}

void sim_power_cut(struct io_backend *backend, const char *from, const char *to)
{
	struct sim *sim = sim_of(backend);
	DIR *dir = opendir(from);
	const struct dirent *entry;

	check(dir);
	check(mkdir(to, 0755) == 0 || errno == EEXIST);
	while ((entry = readdir(dir))) {
		char source[512];
		char target[512];
		if (entry->d_name[0] == '.')
			continue;
		snprintf(source, sizeof(source), "%s/%s", from, entry->d_name);
		snprintf(target, sizeof(target), "%s/%s", to, entry->d_name);
		if (entry->d_type == DT_DIR)
			sim_power_cut(backend, source, target);
		else
			cut_file(sim, source, target);
	}
	closedir(dir);
}
