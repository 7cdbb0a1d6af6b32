/* tests/sim/schedule.h: simulated time, and threads that take turns in one real thread.
 *
 * What the broker makes with pthread_create is a fiber here; so is each client.  A fiber runs until
 * it blocks: in a simulated system call (calls_*.c), in the simulated I/O back end or in one of the
 * calls below.  Then the schedule draws another of those that can run; when none can, time jumps to
 * the next event.  Nothing else moves time but a few nanoseconds a turn, so a run is a function of
 * its seed.
 *
 * A process is what dies as one: its fibers, and through process_on_death its descriptors. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/random.h"

struct clock;
struct fiber;
struct process;

/* Frees what a former run left. */
void schedule_init(struct random random);
/* Runs fibers and events until `until` says so, or nothing is left that could ever happen (false:
 * every fiber waits and there is no event; a deadlock of the world). */
bool schedule_run(bool (*until)(void *context), void *context);
/* So many of a million turns do not begin until up to ns_max later; none at first. */
void schedule_set_stalls(uint32_t in_a_million, uint64_t ns_max);
/* How many turns there were, and what tells one course of a run from another. */
uint64_t schedule_turns(void);
uint64_t schedule_digest(void);

/* ---- time ---- */
uint64_t sim_now_ns(void); /* monotonic, from 1 s on */
int64_t sim_wall_ms(void); /* what the wall clock shows: steps are added to it */
void sim_step_wall_clock(int64_t by_ms);
const struct clock *sim_clock(void); /* both */

/* ---- events: a call at a time; from the schedule, between the turns of fibers ---- */
struct event {
	uint64_t due_ns; /* 0: not armed */
	void (*happens)(struct event *event);
	uint64_t order; /* the schedule's */
	unsigned place; /* likewise */
};
void event_arm(struct event *event, uint64_t due_ns); /* again: moves it */
void event_cancel(struct event *event);               /* not armed is fine */

/* ---- fibers ---- */
struct process *process_new(const char *name);
struct process *process_current(void); /* of the running fiber; null: between turns */
/* Every fiber of it is gone at once, wherever it was (not the calling one: call from an event or
 * from a fiber of another process); then what was registered runs, the last first. */
void process_kill(struct process *process);
/* The running fiber's own process: as process_kill, before any fiber's next turn. */
_Noreturn void process_exit(void);
bool process_alive(const struct process *process);
void process_on_death(struct process *process, void (*died)(void *context), void *context);
const char *process_name(const struct process *process);

struct fiber *fiber_spawn(struct process *process, const char *name, void *(*run)(void *),
			  void *context);
struct fiber *fiber_current(void);
const char *fiber_name(const struct fiber *fiber);
void fiber_set_name(struct fiber *fiber, const char *name);
void *fiber_join(struct fiber *fiber); /* blocks; frees it */
bool fiber_ended(const struct fiber *fiber);

/* Where fibers wait: embed it in what they wait for. */
struct waiting {
	struct fiber *first, *last;
};
/* Blocks the running fiber until waiting_wake or due_ns (UINT64_MAX: for ever); false: time. */
bool waiting_block(struct waiting *waiting, uint64_t due_ns);
void waiting_wake(struct waiting *waiting); /* all of them can run */
void fiber_sleep_until(uint64_t due_ns);
void fiber_yield(void); /* stays able to run */
