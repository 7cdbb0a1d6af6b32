/* bench/suite/sending.h: what producers share over libraries that know neither a window of records
 * under way, nor partitions, nor lingering.  The producer's thread. */
#pragma once
#include "bench/suite/driver.h"
#include "bench/suite/topics.h"
#include "bench/suite/window.h"

struct sending {
	const struct driver *driver;
	char *url; /* owned */
	struct window window;
	struct topics topics;
	driver_delivered *delivered;
	void *context;
	bool unacknowledged; /* acks none */
	unsigned linger_us;
	uint64_t due_us; /* when the oldest unsent record is to leave */
	int failure;     /* the connection is gone */
	bool complained;
};

/* Takes what the target asks for; `settings`, ended by null, are those that it may name, `window`
 * holds where it names none.  -ENOMEM, -EINVAL, -EOPNOTSUPP, complained; fini also then. */
int sending_init(struct sending *sending, const struct driver *driver,
		 const struct driver_target *target, const char *const *settings, uint32_t window,
		 driver_delivered *delivered, void *context);
void sending_fini(struct sending *sending);
/* The record ends, and `delivered` is told.  Returns how many: 0, it was not under way. */
int sending_end(struct sending *sending, uint64_t sequence, int rc);
/* All before `sequence`; all. */
int sending_end_before(struct sending *sending, uint64_t sequence, int rc);
int sending_end_all(struct sending *sending, int rc);
/* Says why the first record was not stored that was not. */
void sending_not_stored(struct sending *sending, const char *why, int length);
