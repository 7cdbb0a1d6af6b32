/* The schedule: which fiber runs next, and what time it is.
 *
 *     able to run ──drawn──> running ──blocks──> waiting ──woken, or its time──> able to run
 *                                    ──returns──> ended ──joined──> gone
 *
 * The real thread is either in schedule_run, on its own stack, or in a fiber, on the fiber's; a
 * fiber goes to another only by way of schedule_run.  Events that are due come before fibers, so
 * what one of them does (a kill, a power cut) falls between two turns.
 *
 * A turn takes a drawn part of a microsecond: what spins sees time pass, and ends.  Instead of a
 * turn, a fiber may lose its processor for a while (schedule_set_stalls): others get ahead by more
 * than a few turns then.
 *
 * Stacks have a page without access below them and are used again, last first, as what is left on
 * them has to follow from the seed too.  errno is the running fiber's own; there is no other
 * thread-local state in the code that runs here. */
#include "tests/sim/schedule.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STACKS_ARE_WATCHED 1 /* clang */
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define STACKS_ARE_WATCHED 1 /* gcc */
#endif
#ifdef STACKS_ARE_WATCHED
#include <sanitizer/common_interface_defs.h>
#endif

enum {
	STACK_BYTES = 512 << 10,
	GUARD_BYTES = 4096,
	TURN_NS_MIN = 100,
	TURN_NS_MAX = 1000,
	NAME_BYTES = 24,
};

#define START_NS UINT64_C(1000000000)
#define START_WALL_MS INT64_C(1800000000000) /* in January 2027 */

enum fiber_state {
	FIBER_ABLE,
	FIBER_RUNNING,
	FIBER_WAITING,
	FIBER_ENDED,
};

struct stack {
	struct stack *next; /* of those that nobody uses */
	uint8_t *bottom;
};

struct fiber {
	struct process *process;
	struct fiber *next_of_process;
	void *(*run)(void *);
	void *context;
	void *result;
	enum fiber_state state;
	bool started;
	bool timed_out;
	bool stalled;
	int error; /* errno */
	unsigned number;
	unsigned able_place; /* while FIBER_ABLE */
	struct waiting *waiting;
	struct fiber *previous, *next; /* among those that wait */
	struct event timeout;
	struct waiting joiners;
	struct stack *stack;
	ucontext_t start;
	jmp_buf place;
	void *fake_stack; /* AddressSanitizer's */
	char name[NAME_BYTES];
};

struct on_death {
	struct on_death *next;
	void (*died)(void *context);
	void *context;
};

struct process {
	bool alive;
	bool ending; /* by process_exit */
	struct event end;
	struct fiber *fibers;
	struct on_death *on_death;
	struct process *next; /* of all */
	char name[NAME_BYTES];
};

static struct {
	struct random random;
	uint64_t now_ns;
	int64_t wall_step_ms;
	uint32_t stalls; /* in a million turns */
	uint64_t stall_ns_max;
	uint64_t turns;
	uint64_t digest;
	uint64_t order;
	unsigned fiber_count;
	struct fiber *running;
	struct fiber **able;
	unsigned able_count, able_room;
	struct event **heap; /* [0] is the first; the children of i are 2i + 1 and 2i + 2 */
	unsigned event_count, event_room;
	struct stack *stacks;
	struct process *processes;
	jmp_buf home;
} schedule;

/* ---- time ---- */

uint64_t sim_now_ns(void)
{
	return schedule.now_ns;
}

int64_t sim_wall_ms(void)
{
	return START_WALL_MS + (int64_t)(schedule.now_ns / 1000000) + schedule.wall_step_ms;
}

void sim_step_wall_clock(int64_t by_ms)
{
	schedule.wall_step_ms += by_ms;
}

static uint64_t monotonic_ns(const struct clock *clock)
{
	return sim_now_ns();
}

static int64_t wall_ms(const struct clock *clock)
{
	return sim_wall_ms();
}

const struct clock *sim_clock(void)
{
	static const struct clock clock = {.monotonic_ns = monotonic_ns, .wall_ms = wall_ms};

	return &clock;
}

void schedule_set_stalls(uint32_t in_a_million, uint64_t ns_max)
{
	schedule.stalls = in_a_million;
	schedule.stall_ns_max = ns_max;
}

uint64_t schedule_turns(void)
{
	return schedule.turns;
}

uint64_t schedule_digest(void)
{
	return schedule.digest;
}

static void digest(uint64_t what)
{
	schedule.digest = (schedule.digest ^ what) * UINT64_C(0x9e3779b97f4a7c15);
	schedule.digest ^= schedule.digest >> 29;
}

/* ---- events ---- */

static void *grown(void *array, unsigned *room, size_t item_bytes)
{
	*room = *room ? *room * 2 : 64;
	array = realloc(array, *room * item_bytes);
	check(array);
	return array;
}

static bool comes_before(const struct event *a, const struct event *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void put(unsigned place, struct event *event)
{
	schedule.heap[place] = event;
	event->place = place;
}

static void settle(unsigned place, struct event *event)
{
	for (; place && comes_before(event, schedule.heap[(place - 1) / 2]);
	     place = (place - 1) / 2)
		put(place, schedule.heap[(place - 1) / 2]);
	for (;;) {
		unsigned child = 2 * place + 1;
		if (child >= schedule.event_count)
			break;
		if (child + 1 < schedule.event_count &&
		    comes_before(schedule.heap[child + 1], schedule.heap[child]))
			child++;
		if (!comes_before(schedule.heap[child], event))
			break;
		put(place, schedule.heap[child]);
		place = child;
	}
	put(place, event);
}

void event_arm(struct event *event, uint64_t due_ns)
{
	check(event->happens);
	event_cancel(event);
	if (due_ns <= schedule.now_ns)
		due_ns = schedule.now_ns;
	if (schedule.event_count == schedule.event_room)
		schedule.heap = grown(schedule.heap, &schedule.event_room, sizeof(struct event *));
	event->due_ns = due_ns;
	event->order = schedule.order++;
	settle(schedule.event_count++, event);
}

void event_cancel(struct event *event)
{
	if (!event->due_ns)
		return;
	check(schedule.heap[event->place] == event);
	struct event *last = schedule.heap[--schedule.event_count];
	event->due_ns = 0;
	if (last != event)
		settle(event->place, last);
}

/* ---- which fibers can run ---- */

static void make_able(struct fiber *fiber)
{
	if (schedule.able_count == schedule.able_room)
		schedule.able = grown(schedule.able, &schedule.able_room, sizeof(struct fiber *));
	fiber->state = FIBER_ABLE;
	fiber->able_place = schedule.able_count;
	schedule.able[schedule.able_count++] = fiber;
}

static void take_able(struct fiber *fiber)
{
	struct fiber *last = schedule.able[--schedule.able_count];

	schedule.able[fiber->able_place] = last;
	last->able_place = fiber->able_place;
}

static void stop_waiting(struct fiber *fiber)
{
	struct waiting *waiting = fiber->waiting;

	event_cancel(&fiber->timeout);
	if (!waiting)
		return;
	*(fiber->previous ? &fiber->previous->next : &waiting->first) = fiber->next;
	*(fiber->next ? &fiber->next->previous : &waiting->last) = fiber->previous;
	fiber->waiting = NULL;
}

static void timed_out(struct event *event)
{
	struct fiber *fiber = container_of(event, struct fiber, timeout);

	if (!fiber->stalled)
		fiber->timed_out = true;
	fiber->stalled = false;
	stop_waiting(fiber);
	make_able(fiber);
}

/* ---- stacks ---- */

static struct stack *stack_take(void)
{
	struct stack *stack = schedule.stacks;

	if (stack) {
		schedule.stacks = stack->next;
		return stack;
	}
	stack = calloc(1, sizeof(*stack));
	check(stack);
	stack->bottom = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	check(stack->bottom != MAP_FAILED);
	check(mprotect(stack->bottom, GUARD_BYTES, PROT_NONE) == 0);
	return stack;
}

static void stack_put(struct stack *stack)
{
	stack->next = schedule.stacks;
	schedule.stacks = stack;
}

/* ---- from the schedule to a fiber and back ---- */

#ifdef STACKS_ARE_WATCHED
/* What a killed process had is not freed, and no leak. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static void tell_leaving(void **fake_stack, const void *bottom, size_t bytes)
{
	__sanitizer_start_switch_fiber(fake_stack, bottom, bytes);
}

static void tell_arrived(void *fake_stack, const void **bottom, size_t *bytes)
{
	__sanitizer_finish_switch_fiber(fake_stack, bottom, bytes);
}
#else
static void tell_leaving(void **fake_stack, const void *bottom, size_t bytes)
{
	(void)fake_stack, (void)bottom, (void)bytes;
}

static void tell_arrived(void *fake_stack, const void **bottom, size_t *bytes)
{
	(void)fake_stack, (void)bottom, (void)bytes;
}
#endif

static const void *home_bottom; /* the real thread's stack, as AddressSanitizer has to know */
static size_t home_bytes;

/* Back to schedule_run; returns when the schedule has drawn this fiber again. */
static void leave(struct fiber *fiber)
{
	fiber->error = errno;
	tell_leaving(fiber->state == FIBER_ENDED ? NULL : &fiber->fake_stack, home_bottom,
		     home_bytes);
	if (_setjmp(fiber->place) == 0)
		_longjmp(schedule.home, 1);
	tell_arrived(fiber->fake_stack, &home_bottom, &home_bytes);
	errno = fiber->error;
}

static void begin(void)
{
	struct fiber *fiber = schedule.running;

	tell_arrived(NULL, &home_bottom, &home_bytes);
	errno = 0;
	fiber->result = fiber->run(fiber->context);
	fiber->state = FIBER_ENDED;
	waiting_wake(&fiber->joiners);
	leave(fiber);
	check(!"a fiber that has ended runs again");
}

static void go(struct fiber *fiber)
{
	void *fake_stack = NULL;

	tell_leaving(&fake_stack, fiber->stack->bottom + GUARD_BYTES, STACK_BYTES);
	if (_setjmp(schedule.home) == 0) {
		if (fiber->started)
			_longjmp(fiber->place, 1);
		fiber->started = true;
		setcontext(&fiber->start);
	}
	tell_arrived(fake_stack, NULL, NULL);
}

static void stall(struct fiber *fiber)
{
	fiber->state = FIBER_WAITING;
	fiber->stalled = true;
	event_arm(&fiber->timeout,
		  schedule.now_ns + random_between(&schedule.random, 1, schedule.stall_ns_max));
}

static void take_turn(struct fiber *fiber)
{
	take_able(fiber);
	if (schedule.stalls && random_chance(&schedule.random, schedule.stalls)) {
		stall(fiber);
		return;
	}
	fiber->state = FIBER_RUNNING;
	schedule.running = fiber;
	schedule.turns++;
	schedule.now_ns += random_between(&schedule.random, TURN_NS_MIN, TURN_NS_MAX);
	digest(schedule.now_ns ^ ((uint64_t)fiber->number << 48));
	go(fiber);
	schedule.running = NULL;
	if (fiber->state == FIBER_ENDED && fiber->stack) {
		stack_put(fiber->stack);
		fiber->stack = NULL;
	}
}

static void happen(struct event *event)
{
	if (event->due_ns > schedule.now_ns)
		schedule.now_ns = event->due_ns;
	event_cancel(event);
	digest(schedule.now_ns);
	event->happens(event);
}

bool schedule_run(bool (*until)(void *context), void *context)
{
	check(!schedule.running);
	while (!until(context)) {
		struct event *first = schedule.event_count ? schedule.heap[0] : NULL;

		if (first && (first->due_ns <= schedule.now_ns || !schedule.able_count))
			happen(first);
		else if (schedule.able_count)
			take_turn(
				schedule.able[random_below(&schedule.random, schedule.able_count)]);
		else
			return false;
	}
	return true;
}

/* ---- fibers ---- */

struct fiber *fiber_spawn(struct process *process, const char *name, void *(*run)(void *),
			  void *context)
{
	struct fiber *fiber = calloc(1, sizeof(*fiber));

	check(fiber);
	check(process->alive);
	fiber->process = process;
	fiber->run = run;
	fiber->context = context;
	fiber->number = schedule.fiber_count++;
	fiber->timeout.happens = timed_out;
	snprintf(fiber->name, sizeof(fiber->name), "%s", name);
	fiber->stack = stack_take();
	check(getcontext(&fiber->start) == 0);
	fiber->start.uc_stack.ss_sp = fiber->stack->bottom + GUARD_BYTES;
	fiber->start.uc_stack.ss_size = STACK_BYTES;
	makecontext(&fiber->start, begin, 0);
	fiber->next_of_process = process->fibers;
	process->fibers = fiber;
	make_able(fiber);
	return fiber;
}

struct fiber *fiber_current(void)
{
	return schedule.running;
}

const char *fiber_name(const struct fiber *fiber)
{
	return fiber->name;
}

void fiber_set_name(struct fiber *fiber, const char *name)
{
	snprintf(fiber->name, sizeof(fiber->name), "%s", name);
}

bool fiber_ended(const struct fiber *fiber)
{
	return fiber->state == FIBER_ENDED;
}

static void forget(struct fiber *fiber)
{
	struct fiber **at = &fiber->process->fibers;

	while (*at != fiber)
		at = &(*at)->next_of_process;
	*at = fiber->next_of_process;
	free(fiber);
}

void *fiber_join(struct fiber *fiber)
{
	while (fiber->state != FIBER_ENDED)
		waiting_block(&fiber->joiners, UINT64_MAX);
	/* Its last turn is over: it cannot be the one that runs. */
	void *result = fiber->result;
	forget(fiber);
	return result;
}

bool waiting_block(struct waiting *waiting, uint64_t due_ns)
{
	struct fiber *fiber = schedule.running;

	check(fiber);
	fiber->state = FIBER_WAITING;
	fiber->timed_out = false;
	fiber->waiting = waiting;
	fiber->previous = waiting->last;
	fiber->next = NULL;
	*(waiting->last ? &waiting->last->next : &waiting->first) = fiber;
	waiting->last = fiber;
	if (due_ns != UINT64_MAX)
		event_arm(&fiber->timeout, due_ns);
	leave(fiber);
	return !fiber->timed_out;
}

void waiting_wake(struct waiting *waiting)
{
	while (waiting->first) {
		struct fiber *fiber = waiting->first;
		stop_waiting(fiber);
		make_able(fiber);
	}
}

void fiber_sleep_until(uint64_t due_ns)
{
	struct waiting nobody_wakes = {0};

	waiting_block(&nobody_wakes, due_ns);
}

void fiber_yield(void)
{
	struct fiber *fiber = schedule.running;

	check(fiber);
	make_able(fiber);
	leave(fiber);
}

/* ---- processes ---- */

static void end_now(struct event *event)
{
	process_kill(container_of(event, struct process, end));
}

struct process *process_new(const char *name)
{
	struct process *process = calloc(1, sizeof(*process));

	check(process);
	process->alive = true;
	process->end.happens = end_now;
	snprintf(process->name, sizeof(process->name), "%s", name);
	process->next = schedule.processes;
	schedule.processes = process;
	return process;
}

struct process *process_current(void)
{
	return schedule.running ? schedule.running->process : NULL;
}

bool process_alive(const struct process *process)
{
	return process->alive;
}

const char *process_name(const struct process *process)
{
	return process->name;
}

void process_on_death(struct process *process, void (*died)(void *context), void *context)
{
	struct on_death *on_death = malloc(sizeof(*on_death));

	check(on_death);
	*on_death = (struct on_death){process->on_death, died, context};
	process->on_death = on_death;
}

/* Whoever joins it from another process finds it ended. */
static void abandon(struct fiber *fiber)
{
	if (fiber->state == FIBER_ABLE)
		take_able(fiber);
	else if (fiber->state == FIBER_WAITING)
		stop_waiting(fiber);
	if (fiber->stack)
		stack_put(fiber->stack);
	fiber->stack = NULL;
	fiber->state = FIBER_ENDED;
}

void process_kill(struct process *process)
{
	check(!schedule.running || schedule.running->process != process);
	if (!process->alive)
		return;
	process->alive = false;
	event_cancel(&process->end);
	for (struct fiber *fiber = process->fibers; fiber; fiber = fiber->next_of_process)
		abandon(fiber);
	for (struct fiber *fiber = process->fibers; fiber; fiber = fiber->next_of_process)
		waiting_wake(&fiber->joiners);
	while (process->on_death) {
		struct on_death *on_death = process->on_death;
		process->on_death = on_death->next;
		on_death->died(on_death->context);
		free(on_death);
	}
}

void process_exit(void)
{
	struct process *process = process_current();

	check(process);
	if (!process->ending)
		event_arm(&process->end, schedule.now_ns);
	process->ending = true;
	fiber_sleep_until(UINT64_MAX);
	abort();
}

/* ---- the beginning ---- */

static void process_free(struct process *process)
{
	while (process->fibers) {
		struct fiber *fiber = process->fibers;
		process->fibers = fiber->next_of_process;
		if (fiber->stack)
			stack_put(fiber->stack);
		free(fiber);
	}
	while (process->on_death) {
		struct on_death *on_death = process->on_death;
		process->on_death = on_death->next;
		free(on_death);
	}
	free(process);
}

void schedule_init(struct random random)
{
	while (schedule.processes) {
		struct process *process = schedule.processes;
		schedule.processes = process->next;
		process_free(process);
	}
	free(schedule.able);
	free(schedule.heap);
	struct stack *stacks = schedule.stacks;
	memset(&schedule, 0, sizeof(schedule));
	schedule.random = random;
	schedule.now_ns = START_NS;
	schedule.stacks = stacks;
}
