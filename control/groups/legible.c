#include "control/groups/legible.h"

#include "base/arena.h"
#include "dataplane/kafka/utf8.h"

#include <stdbool.h>

static bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == 0x7f;
}

struct kafka_string legible(struct arena *arena, const struct kafka_string *text)
{
	size_t length = text->length > 0 ? (size_t)text->length : 0;

	if (length > LEGIBLE_BYTES_MAX) {
		length = LEGIBLE_BYTES_MAX;
		while (length > 0 && ((uint8_t)text->data[length] & 0xc0) == 0x80)
			length--;
	}
	char *copy = arena_strndup(arena, length ? text->data : "", length);
	const bool valid = copy && utf8_valid(copy, length);
	for (size_t i = 0; copy && i < length; i++) {
		if (is_control(copy[i]) || (!valid && (uint8_t)copy[i] >= 0x80))
			copy[i] = '?';
	}
	return (struct kafka_string){copy, (int32_t)length};
}
