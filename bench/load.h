/* bench/load.h: what the load generators share, and what request_load.c and its links do: a request
 * under way, and who carries it.
 *
 * A link has `capacity` places for requests; each is a shot's from load_fire until load_answered
 * has run.  One thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load;
struct load_link;

struct shot {
	struct shot *next; /* that is free too */
	uint64_t intended_ns;
	uint8_t *frame; /* without its size; its correlation id is the shot's alone */
	uint32_t length;
	void *link_part; /* the link's, made with it */
};

struct load_link {
	unsigned capacity;
	/* A shot leaves, at the latest with the next turn. */
	void (*fire)(struct load_link *link, struct shot *shot, uint64_t now_ns);
	/* Takes what has come, sends what is to be sent. */
	void (*turn)(struct load_link *link, uint64_t now_ns);
	/* After the last answer. */
	void (*close)(struct load_link *link);
	/* A line's end about the link itself, as JSON members; may print nothing. */
	void (*describe)(const struct load_link *link);
};

/* For links: the answer to a shot, without its size. */
void load_answered(struct shot *shot, const uint8_t *response, uint32_t length);

/* ---- load_common.c ---- */
_Noreturn void load_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t load_now_ns(void);

/* ---- load_address.c ---- */
uint64_t load_number(const char *text);
/* "127.0.0.1:9092"; returns the port. */
uint16_t load_address(const char *text, char host[static 64]);
/* A connection that does not block from now on. */
int load_connect(const char *host, uint16_t port);

/* ---- load_tcp.c, load_datagram.c ---- */
/* The shots' link parts are made here, for shots[0..capacity). */
struct load_link *load_link_tcp(const char *host, uint16_t port, unsigned under_way,
				struct shot **ret_shots);
/* `sessions` to a broker's shard, each with as many slots as are granted up to `slots`; ready when
 * it returns. */
struct load_link *load_link_udp(const char *host, uint16_t port, unsigned sessions, unsigned slots,
				struct shot **ret_shots);
struct load_link *load_link_port(const char *vdev, const char *address, const char *host,
				 uint16_t port, unsigned sessions, unsigned slots,
				 struct shot **ret_shots);
