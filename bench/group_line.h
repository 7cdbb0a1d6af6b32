/* bench/group_line.h: a connection that carries one request at a time, for group_load.c.
 *
 * Opened -> asked -> read -> asked ...  A broker that closes it, or answers what cannot be read,
 * ends the program.  One thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

struct group_line {
	int fd;
	uint8_t *in;
	size_t capacity; /* the largest answer, its size included */
	size_t in_bytes;
	bool under_way;
	int16_t key; /* of what is or was under way, as the rest */
	int16_t version;
	int32_t correlation_id;
	uint64_t asked_ns;
};

void group_line_open(struct group_line *line, const char *host, uint16_t port, size_t capacity);
void group_line_close(struct group_line *line);
/* `message`: the generated struct of a request.  The arena is used, and kept. */
void group_line_ask(struct group_line *line, int16_t key, int16_t version, const void *message,
		    struct arena *arena);
/* The answer to what is under way, in the arena, with views into the line until it asks again;
 * null: not all of it has come. */
void *group_line_read(struct group_line *line, struct arena *arena);
/* Asks, and waits for the answer. */
void *group_line_exchange(struct group_line *line, int16_t key, int16_t version,
			  const void *message, struct arena *arena);
