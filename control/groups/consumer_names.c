#include "control/groups/consumer_names.h"

#include "base/bytes.h"

#include <stdlib.h>

int name_compare(const struct kafka_string *a, const struct kafka_string *b)
{
	size_t shorter = (size_t)(a->length < b->length ? a->length : b->length);
	int order = bytes_compare(a->data, b->data, shorter);

	return order ? order : (a->length > b->length) - (a->length < b->length);
}

int name_compare_items(const void *a, const void *b)
{
	return name_compare(a, b);
}

struct kafka_string *names_copy(const struct kafka_string *names, size_t count)
{
	struct kafka_string *made;
	size_t bytes = 0;
	char *text;

	for (size_t i = 0; i < count; i++)
		bytes += (size_t)names[i].length;
	made = malloc(count * sizeof(*made) + bytes + 1);
	if (!made)
		return NULL;
	text = (char *)(made + count);
	for (size_t i = 0; i < count; i++) {
		bytes_copy(text, names[i].data, (size_t)names[i].length);
		made[i] = (struct kafka_string){text, names[i].length};
		text += names[i].length;
	}
	return made;
}
