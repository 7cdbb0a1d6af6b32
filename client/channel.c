#include "client/channel.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static const struct channel_ops *const all[] = {&channel_tcp, &channel_udp, &channel_dpdk};

const struct channel_ops *channel_ops_find(const char *scheme)
{
	for (size_t i = 0; i < array_count(all); i++) {
		if (strcmp(all[i]->scheme, scheme) == 0)
			return all[i];
	}
	return NULL;
}

struct channel_buffer *channel_buffer_new(size_t length)
{
	struct channel_buffer *buffer = malloc(sizeof(*buffer) + length);

	if (buffer)
		*buffer = (struct channel_buffer){
			.references = 1, .length = length, .data = buffer->storage};
	return buffer;
}

void channel_buffer_acquire(struct channel_buffer *buffer)
{
	buffer->references++;
}

void channel_buffer_release(struct channel_buffer *buffer)
{
	if (buffer && --buffer->references == 0)
		free(buffer);
}
