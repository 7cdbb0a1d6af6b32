#include "tests/dataplane/kafka_fill.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/check.h"

enum {
	ELEMENTS_MAX = 40,
	TEXT_BYTES_MAX = 16,
	LONG_TEXT_BYTES = 200, /* more than one byte of varint can say */
};

void kafka_fill_init(struct kafka_fill *f, uint64_t seed, struct arena *arena)
{
	*f = (struct kafka_fill){.arena = arena, .state = seed, .elements_left = ELEMENTS_MAX};
}

/* splitmix64: any seed is as good as another. */
uint64_t kafka_fill_random(struct kafka_fill *f)
{
	uint64_t z = f->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t kafka_fill_below(struct kafka_fill *f, uint64_t bound)
{
	return kafka_fill_random(f) % bound;
}

bool kafka_fill_chance(struct kafka_fill *f)
{
	return kafka_fill_random(f) & 1;
}

int64_t kafka_fill_number(struct kafka_fill *f)
{
	static const int64_t edges[] = {0,         1,         -1,        127,       128,
					INT16_MAX, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};

	if (kafka_fill_chance(f))
		return edges[kafka_fill_below(f, array_count(edges))];
	return (int64_t)kafka_fill_random(f);
}

struct uuid kafka_fill_uuid(struct kafka_fill *f)
{
	struct uuid uuid = {0};

	if (kafka_fill_below(f, 4) == 0)
		return uuid;
	for (size_t at = 0; at < sizeof(uuid); at += 8)
		store_be64((uint8_t *)&uuid + at, kafka_fill_random(f));
	return uuid;
}

static void *take(struct kafka_fill *f, size_t size)
{
	void *memory = arena_alloc(f->arena, size);

	check(memory != NULL);
	return memory;
}

/* -1 (null), 0, short, or long. */
static int32_t length(struct kafka_fill *f, bool nullable)
{
	switch (kafka_fill_below(f, 8)) {
	case 0:
		return nullable ? -1 : 0;
	case 1:
		return 0;
	case 2:
		return LONG_TEXT_BYTES;
	default:
		return (int32_t)kafka_fill_below(f, TEXT_BYTES_MAX);
	}
}

struct kafka_string kafka_fill_string(struct kafka_fill *f, bool nullable)
{
	static const char *const characters[] = {"a", "Z", "-", "é", "語", "😀"};
	struct kafka_string text = {.length = length(f, nullable)};

	if (text.length <= 0)
		return text;
	char *out = take(f, (size_t)text.length);
	for (int32_t at = 0; at < text.length;) {
		const char *character = characters[kafka_fill_below(f, array_count(characters))];
		int32_t bytes = (int32_t)strlen(character);
		if (bytes > text.length - at) {
			character = "b";
			bytes = 1;
		}
		memcpy(out + at, character, (size_t)bytes);
		at += bytes;
	}
	text.data = out;
	return text;
}

struct kafka_bytes kafka_fill_bytes(struct kafka_fill *f, bool nullable)
{
	struct kafka_bytes bytes = {.length = length(f, nullable)};

	if (bytes.length <= 0)
		return bytes;
	uint8_t *out = take(f, (size_t)bytes.length);
	for (int32_t i = 0; i < bytes.length; i++)
		out[i] = (uint8_t)kafka_fill_random(f);
	bytes.data = out;
	return bytes;
}

struct kafka_records kafka_fill_records(struct kafka_fill *f, bool nullable)
{
	struct kafka_bytes bytes = kafka_fill_bytes(f, nullable);
	return (struct kafka_records){.data = bytes.data, .length = bytes.length};
}

int32_t kafka_fill_count(struct kafka_fill *f, bool nullable)
{
	if (nullable && kafka_fill_below(f, 4) == 0)
		return -1;
	int32_t count = (int32_t)kafka_fill_below(f, 4);
	if (count > f->elements_left)
		count = f->elements_left;
	f->elements_left -= count;
	return count;
}

void *kafka_fill_array(struct kafka_fill *f, int32_t count, size_t element_size)
{
	return count > 0 ? take(f, (size_t)count * element_size) : NULL;
}
