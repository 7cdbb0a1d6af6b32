/* The region is reserved at once and touched slab by slab; a slab holds buffers of one size. */
#include "storage/buffer.h"

#include "base/bytes.h"
#include "base/check.h"
#include "storage/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
	SLAB_BYTES = 4 << 20,
	SLABS_MIN = 4,
	SMALL_SHARE = 4,  /* a quarter of the slabs may hold small buffers */
	READER_SHARE = 2, /* readers may hold half */
};

struct size_class {
	size_t buffer_bytes;
	size_t slabs;
	size_t slabs_max;
	size_t reader_bytes; /* of buffers that readers hold */
	struct list free;
};

struct store_region {
	uint8_t *memory;
	size_t bytes;
	size_t slabs_used;
	size_t used_bytes;
	size_t heap_bytes;
	struct size_class classes[2];
	struct list ages;
	struct buffer **slab_buffers; /* descriptors, to free */
};

int store_region_new(struct store_region **ret, size_t bytes_max)
{
	struct store_region *region = calloc(1, sizeof(*region));

	if (!region)
		return -ENOMEM;
	size_t slabs = bytes_max / SLAB_BYTES;
	if (slabs < SLABS_MIN)
		slabs = SLABS_MIN;
	region->bytes = slabs * SLAB_BYTES;
	region->memory = mmap(NULL, region->bytes, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	region->slab_buffers = calloc(slabs, sizeof(struct buffer *));
	if (region->memory == MAP_FAILED || !region->slab_buffers) {
		region->memory = NULL;
		store_region_free(region);
		return -ENOMEM;
	}
	region->classes[0] = (struct size_class){.buffer_bytes = BUFFER_SMALL_BYTES,
						 .slabs_max = slabs / SMALL_SHARE};
	region->classes[1] = (struct size_class){.buffer_bytes = BUFFER_LARGE_BYTES,
						 .slabs_max = slabs - slabs / SMALL_SHARE};
	list_init(&region->classes[0].free);
	list_init(&region->classes[1].free);
	list_init(&region->ages);
	*ret = region;
	return 0;
}

void store_region_free(struct store_region *region)
{
	if (!region)
		return;
	for (size_t i = 0; region->slab_buffers && i < region->slabs_used; i++)
		free(region->slab_buffers[i]);
	free(region->slab_buffers);
	if (region->memory)
		munmap(region->memory, region->bytes);
	free(region);
}

void store_region_options(const struct store_region *region, struct io_options *ret_options)
{
	ret_options->region = region->memory;
	ret_options->region_bytes = region->bytes;
	ret_options->slab_bytes = SLAB_BYTES;
}

static bool add_slab(struct store_region *region, struct io_backend *io, struct size_class *class)
{
	size_t count = SLAB_BYTES / class->buffer_bytes;

	if (class->slabs == class->slabs_max)
		return false;
	struct buffer *buffers = calloc(count, sizeof(*buffers));
	if (!buffers)
		return false;
	size_t slab = region->slabs_used++;
	class->slabs++;
	region->slab_buffers[slab] = buffers;
	for (size_t i = 0; i < count; i++) {
		buffers[i].data = region->memory + slab * SLAB_BYTES + i * class->buffer_bytes;
		buffers[i].capacity = class->buffer_bytes;
		list_init(&buffers[i].age);
		list_push_back(&class->free, &buffers[i].link);
	}
	io_slab_added(io, (unsigned)slab);
	return true;
}

struct buffer *buffer_take(struct store_region *region, struct io_backend *io, bool large)
{
	struct size_class *class = &region->classes[large];

	if (list_empty(&class->free) && !add_slab(region, io, class))
		return NULL;
	struct buffer *buffer = container_of(list_pop_front(&class->free), struct buffer, link);
	uint8_t *data = buffer->data;
	size_t capacity = buffer->capacity;
	*buffer = (struct buffer){.data = data, .capacity = capacity, .references = 1};
	buffer->first_offset = -1;
	list_init(&buffer->link);
	list_init(&buffer->age);
	region->used_bytes += capacity;
	return buffer;
}

size_t buffer_heap_room(const struct store_region *region)
{
	return region->bytes / READER_SHARE - region->heap_bytes;
}

struct buffer *buffer_heap(struct store_region *region, size_t bytes)
{
	struct buffer *buffer;

	if (bytes > buffer_heap_room(region))
		return NULL;
	buffer = calloc(1, sizeof(*buffer));
	if (!buffer)
		return NULL;
	buffer->data = aligned_alloc(4096, bytes);
	if (!buffer->data) {
		free(buffer);
		return NULL;
	}
	buffer->capacity = bytes;
	buffer->heap = true;
	buffer->references = 1;
	region->heap_bytes += bytes;
	return buffer;
}

static struct size_class *class_of(struct store_region *region, const struct buffer *buffer)
{
	return &region->classes[buffer->capacity == BUFFER_LARGE_BYTES];
}

void buffer_acquire(struct buffer *buffer)
{
	buffer->references++;
}

void buffer_release(struct store_region *region, struct buffer *buffer)
{
	if (!buffer)
		return;
	check(buffer->references > 0);
	if (--buffer->references)
		return;
	check(!buffer->writing);
	if (buffer->heap) {
		region->heap_bytes -= buffer->capacity;
		free(buffer->data);
		free(buffer);
		return;
	}
	list_remove(&buffer->age);
	region->used_bytes -= buffer->capacity;
	list_push_front(&class_of(region, buffer)->free, &buffer->link);
}

bool buffer_acquire_for_reader(struct store_region *region, struct buffer *buffer)
{
	struct size_class *class = class_of(region, buffer);

	if (!buffer->heap && !buffer->readers) {
		if (class->reader_bytes + buffer->capacity >
		    class->slabs_max * SLAB_BYTES / READER_SHARE)
			return false;
		class->reader_bytes += buffer->capacity;
	}
	if (!buffer->heap)
		buffer->readers++;
	buffer_acquire(buffer);
	return true;
}

void buffer_release_of_reader(struct store_region *region, struct buffer *buffer)
{
	if (!buffer->heap) {
		check(buffer->readers > 0);
		if (--buffer->readers == 0)
			class_of(region, buffer)->reader_bytes -= buffer->capacity;
	}
	buffer_release(region, buffer);
}

size_t buffer_batch_bytes_max(const struct store_region *region)
{
	return region->classes[1].slabs_max * SLAB_BYTES / 2;
}

struct list *buffer_ages(struct store_region *region)
{
	return &region->ages;
}

size_t buffer_region_bytes(const struct store_region *region)
{
	return region->bytes;
}

size_t buffer_region_used(const struct store_region *region)
{
	return region->used_bytes;
}
