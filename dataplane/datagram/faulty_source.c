/* Between a server and its source, in both directions:
 *
 *     inner.receive -> draw -> [lost] [changed] [copied into the queue in] -> server
 *     server.send   -> draw -> [lost] [changed] [copied into the queue out] -> inner.send
 *
 * What is changed, doubled or delayed is copied into a slot of a fixed pool of its direction; when
 * none is free the datagram passes unharmed.  A slot is free again when the server has released it
 * (in), or has left and the inner source refers to it no more (out).
 *
 * A delayed datagram waits until as many others as were drawn have passed in its direction.  Where
 * nothing passes any more, PATIENCE turns let it go: time is not looked at, so that a sequence of
 * calls has one outcome.  As many numbers are drawn for every datagram, whatever becomes of it. */
#include "dataplane/datagram/faulty_source.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/list.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SLOT_COUNT = 128,
	SLOT_BYTES = 9216,
	DELAY_MAX = 8,
	PATIENCE = 64,
	FLIPS_MAX = 4,
};

struct slot {
	struct list link; /* free, or queue; in no list while the server or the inner has it */
	struct transport_address address;
	uint32_t length;
	uint32_t header_bytes; /* out: what was the header, and is sent as one */
	unsigned after;        /* others that pass first */
	unsigned turns;        /* and turns without any */
	unsigned held;         /* out: packets of the inner source that refer to it */
	bool left;             /* out: given to the inner source */
	uint8_t *data;
};

struct direction {
	uint64_t random;
	uint8_t *memory;
	struct slot *slots;
	struct list free;
	struct list queue; /* what waits, in order of arrival */
	struct faulty_counts counts;
};

struct faulty_source {
	struct packet_source source;
	struct packet_source_ops ops; /* with keep_max of the inner one */
	struct packet_source *inner;
	struct faults faults;
	struct direction in;
	struct direction out;
};

/* What was drawn for a datagram. */
struct fate {
	bool lost;
	bool twice;
	bool flipped;
	bool cut;
	unsigned after; /* 0: not delayed */
	uint64_t detail;
};

static struct faulty_source *faulty_of(struct packet_source *source)
{
	return container_of(source, struct faulty_source, source);
}

/* ---- chance ---- */

/* splitmix64: every seed is as good as another. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static bool happens(struct direction *way, uint32_t chance)
{
	return next_random(&way->random) % FAULTS_ALL < chance;
}

static struct fate draw(struct direction *way, const struct faults *faults)
{
	struct fate fate = {
		.lost = happens(way, faults->loss),
		.twice = happens(way, faults->twice),
		.flipped = happens(way, faults->flip),
		.cut = happens(way, faults->cut),
	};
	bool delayed = happens(way, faults->reorder);

	fate.detail = next_random(&way->random);
	fate.after = delayed ? 1 + (unsigned)(fate.detail % DELAY_MAX) : 0;
	way->counts.passed++;
	return fate;
}

/* ---- slots ---- */

static struct slot *slot_take(struct direction *way)
{
	struct list *node = list_pop_front(&way->free);

	if (!node) {
		way->counts.spared++;
		return NULL;
	}
	struct slot *slot = container_of(node, struct slot, link);
	slot->after = slot->turns = slot->held = 0;
	slot->left = false;
	return slot;
}

static void slot_free(struct direction *way, struct slot *slot)
{
	list_remove(&slot->link);
	list_push_back(&way->free, &slot->link);
}

/* Null: it is none of ours. */
static struct slot *slot_named(const struct direction *way, const void *name)
{
	uintptr_t at = (uintptr_t)name - (uintptr_t)way->slots;

	return at < SLOT_COUNT * sizeof(struct slot) ? &way->slots[at / sizeof(struct slot)] : NULL;
}

static void queue(struct direction *way, struct slot *slot, unsigned after)
{
	slot->after = after;
	list_push_back(&way->queue, &slot->link);
}

/* One more has passed those that wait. */
static void count_passing(struct direction *way)
{
	list_foreach(node, &way->queue) {
		struct slot *slot = container_of(node, struct slot, link);
		if (slot->after)
			slot->after--;
		slot->turns = 0;
	}
}

static void count_turn(struct direction *way)
{
	list_foreach(node, &way->queue) {
		struct slot *slot = container_of(node, struct slot, link);
		if (++slot->turns >= PATIENCE)
			slot->after = 0;
	}
}

/* The first whose wait is over; null: none. */
static struct slot *first_due(const struct direction *way)
{
	list_foreach(node, &way->queue) {
		struct slot *slot = container_of(node, struct slot, link);
		if (!slot->after)
			return slot;
	}
	return NULL;
}

static void damage(struct direction *way, struct slot *slot, const struct fate *fate)
{
	uint64_t detail = fate->detail;

	if (fate->flipped && slot->length) {
		unsigned flips = 1 + (unsigned)(detail % FLIPS_MAX);
		for (unsigned i = 0; i < flips; i++) {
			uint64_t bit = next_random(&detail) % (slot->length * UINT64_C(8));
			slot->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		way->counts.flipped++;
	}
	if (fate->cut && slot->length > 1) {
		slot->length = 1 + (uint32_t)(next_random(&detail) % (slot->length - 1));
		way->counts.cut++;
	}
}

/* ---- in ---- */

static struct slot *copy_in(struct faulty_source *faulty, const struct packet_view *view)
{
	struct slot *slot = view->length <= SLOT_BYTES ? slot_take(&faulty->in) : NULL;

	if (!slot)
		return NULL;
	memcpy(slot->data, view->data, view->length);
	slot->length = view->length;
	slot->address = view->from;
	return slot;
}

static struct packet_view view_of(struct slot *slot)
{
	return (struct packet_view){
		.data = slot->data,
		.length = slot->length,
		.from = slot->address,
		.packet = slot,
	};
}

/* Replaces the datagram by what becomes of it; false: nothing arrives now. */
static bool arrive(struct faulty_source *faulty, struct packet_view *view)
{
	struct direction *way = &faulty->in;
	struct fate fate = draw(way, &faulty->faults);
	struct slot *slot = NULL;

	count_passing(way);
	if (fate.lost) {
		way->counts.lost++;
		faulty->inner->ops->release(faulty->inner, view->packet);
		return false;
	}
	if (fate.twice && (slot = copy_in(faulty, view))) {
		way->counts.doubled++;
		queue(way, slot, (unsigned)(fate.detail >> 32) % DELAY_MAX);
	}
	if (!fate.flipped && !fate.cut && !fate.after)
		return true;
	slot = copy_in(faulty, view);
	if (!slot)
		return true;
	faulty->inner->ops->release(faulty->inner, view->packet);
	damage(way, slot, &fate);
	if (fate.after) {
		way->counts.delayed++;
		queue(way, slot, fate.after);
		return false;
	}
	*view = view_of(slot);
	return true;
}

static unsigned faulty_receive(struct packet_source *source, struct packet_view *ret, unsigned max,
			       uint64_t now_ns)
{
	struct faulty_source *faulty = faulty_of(source);
	struct slot *slot;
	unsigned count = 0;

	while (count < max && (slot = first_due(&faulty->in))) {
		list_remove(&slot->link);
		ret[count++] = view_of(slot);
	}
	unsigned got = faulty->inner->ops->receive(faulty->inner, ret + count, max - count, now_ns);
	if (!got)
		count_turn(&faulty->in);
	for (unsigned i = 0, first = count; i < got; i++) {
		struct packet_view view = ret[first + i];
		if (arrive(faulty, &view))
			ret[count++] = view;
	}
	return count;
}

static void faulty_release(struct packet_source *source, void *packet)
{
	struct faulty_source *faulty = faulty_of(source);
	struct slot *slot = slot_named(&faulty->in, packet);

	if (slot)
		slot_free(&faulty->in, slot);
	else
		faulty->inner->ops->release(faulty->inner, packet);
}

/* ---- out ---- */

static struct slot *copy_out(struct faulty_source *faulty,
			     const struct transport_datagram *datagram)
{
	struct slot *slot = datagram->bytes <= SLOT_BYTES ? slot_take(&faulty->out) : NULL;

	if (!slot)
		return NULL;
	memcpy(slot->data, datagram->header, datagram->header_bytes);
	slot->length = slot->header_bytes = datagram->header_bytes;
	for (uint32_t i = 0; i < datagram->piece_count; i++) {
		memcpy(slot->data + slot->length, datagram->pieces[i].data,
		       datagram->pieces[i].length);
		slot->length += datagram->pieces[i].length;
	}
	slot->address = *datagram->to;
	return slot;
}

/* False: the inner source is full; the slot waits on. */
static bool leave(struct faulty_source *faulty, struct slot *slot, uint64_t now_ns)
{
	bool short_header = slot->header_bytes > slot->length;
	uint32_t header_bytes = short_header ? slot->length : slot->header_bytes;
	struct transport_piece piece = {
		.data = slot->data + header_bytes,
		.reference = slot,
		.length = slot->length - header_bytes,
	};
	const struct transport_datagram datagram = {
		.to = &slot->address,
		.header = slot->data,
		.pieces = &piece,
		.header_bytes = header_bytes,
		.piece_count = piece.length ? 1 : 0,
		.bytes = slot->length,
	};

	if (!faulty->inner->ops->send(faulty->inner, &datagram, now_ns))
		return false;
	list_remove(&slot->link);
	slot->left = true;
	if (!slot->held)
		slot_free(&faulty->out, slot);
	return true;
}

static void leave_what_is_due(struct faulty_source *faulty, uint64_t now_ns)
{
	struct slot *slot;

	while ((slot = first_due(&faulty->out)) && leave(faulty, slot, now_ns))
		;
}

static bool faulty_send(struct packet_source *source, const struct transport_datagram *datagram,
			uint64_t now_ns)
{
	struct faulty_source *faulty = faulty_of(source);
	struct direction *way = &faulty->out;
	struct fate fate = draw(way, &faulty->faults);
	struct slot *slot = NULL;

	count_passing(way);
	leave_what_is_due(faulty, now_ns);
	if (fate.lost) {
		way->counts.lost++;
		return true;
	}
	if (fate.flipped || fate.cut || fate.after)
		slot = copy_out(faulty, datagram);
	if (slot) {
		/* Also one without delay: should the inner source be full, it is ours to keep. */
		damage(way, slot, &fate);
		way->counts.delayed += fate.after != 0;
		queue(way, slot, fate.after);
		leave_what_is_due(faulty, now_ns);
	} else if (!faulty->inner->ops->send(faulty->inner, datagram, now_ns)) {
		return false;
	}
	if (fate.twice && (slot = copy_out(faulty, datagram))) {
		way->counts.doubled++;
		queue(way, slot, (unsigned)(fate.detail >> 32) % DELAY_MAX);
	}
	return true;
}

static void hold(void *context, void *reference)
{
	struct faulty_source *faulty = context;
	struct slot *slot = slot_named(&faulty->out, reference);

	if (slot)
		slot->held++;
	else
		faulty->source.hooks.hold(faulty->source.hooks.context, reference);
}

static void let_go(void *context, void *reference)
{
	struct faulty_source *faulty = context;
	struct slot *slot = slot_named(&faulty->out, reference);

	if (!slot) {
		faulty->source.hooks.release(faulty->source.hooks.context, reference);
		return;
	}
	check(slot->held > 0);
	slot->held--;
	if (!slot->held && slot->left)
		slot_free(&faulty->out, slot);
}

static unsigned faulty_turn(struct packet_source *source, uint64_t now_ns)
{
	struct faulty_source *faulty = faulty_of(source);

	count_turn(&faulty->out);
	leave_what_is_due(faulty, now_ns);
	return faulty->inner->ops->turn(faulty->inner, now_ns);
}

/* ---- sleeping and the end ---- */

static uint64_t faulty_sleep(struct packet_source *source)
{
	struct faulty_source *faulty = faulty_of(source);

	/* The turns that let them go must come. */
	if (!list_empty(&faulty->in.queue) || !list_empty(&faulty->out.queue)) {
		faulty->inner->ops->sleep(faulty->inner);
		return 0;
	}
	return faulty->inner->ops->sleep(faulty->inner);
}

static void faulty_woken(struct packet_source *source)
{
	struct faulty_source *faulty = faulty_of(source);

	faulty->inner->ops->woken(faulty->inner);
}

static bool faulty_stop(struct packet_source *source)
{
	struct faulty_source *faulty = faulty_of(source);

	return faulty->inner->ops->stop(faulty->inner);
}

static void direction_fini(struct direction *way)
{
	free(way->memory);
	free(way->slots);
}

static void faulty_free(struct packet_source *source)
{
	struct faulty_source *faulty = faulty_of(source);
	struct faulty_counts counts = faulty_source_counts(source);

	log_info("datagram",
		 "faults source=%s passed=%llu lost=%llu doubled=%llu delayed=%llu flipped=%llu "
		 "cut=%llu spared=%llu",
		 faulty->ops.name, (unsigned long long)counts.passed,
		 (unsigned long long)counts.lost, (unsigned long long)counts.doubled,
		 (unsigned long long)counts.delayed, (unsigned long long)counts.flipped,
		 (unsigned long long)counts.cut, (unsigned long long)counts.spared);
	faulty->inner->ops->free(faulty->inner);
	direction_fini(&faulty->in);
	direction_fini(&faulty->out);
	free(faulty);
}

/* ---- making one ---- */

static int direction_init(struct direction *way, uint64_t seed)
{
	way->random = seed;
	list_init(&way->free);
	list_init(&way->queue);
	way->memory = malloc((size_t)SLOT_COUNT * SLOT_BYTES);
	way->slots = calloc(SLOT_COUNT, sizeof(*way->slots));
	if (!way->memory || !way->slots)
		return -ENOMEM;
	for (unsigned i = 0; i < SLOT_COUNT; i++) {
		way->slots[i].data = way->memory + (size_t)i * SLOT_BYTES;
		list_push_back(&way->free, &way->slots[i].link);
	}
	return 0;
}

int faulty_source_new(struct packet_source **ret, struct packet_source *inner,
		      const struct faults *faults)
{
	struct faulty_source *faulty = calloc(1, sizeof(*faulty));
	int rc = faulty ? direction_init(&faulty->in, faults->seed) : -ENOMEM;

	if (rc == 0)
		rc = direction_init(&faulty->out, ~faults->seed);
	if (rc < 0) {
		if (faulty) {
			direction_fini(&faulty->in);
			direction_fini(&faulty->out);
		}
		free(faulty);
		inner->ops->stop(inner);
		inner->ops->free(inner);
		return rc;
	}
	faulty->inner = inner;
	faulty->faults = *faults;
	faulty->ops = (struct packet_source_ops){
		.name = inner->ops->name,
		.receive = faulty_receive,
		.release = faulty_release,
		.send = faulty_send,
		.turn = faulty_turn,
		.sleep = faulty_sleep,
		.woken = faulty_woken,
		/* Half of the slots are always there for what arrives. */
		.keep_max = inner->ops->keep_max < SLOT_COUNT / 2 ? inner->ops->keep_max
								  : SLOT_COUNT / 2,
		.stop = faulty_stop,
		.free = faulty_free,
	};
	faulty->source.ops = &faulty->ops;
	inner->hooks = (struct packet_source_hooks){
		.hold = hold,
		.release = let_go,
		.context = faulty,
	};
	faulty->source.receive_max = inner->receive_max;
	*ret = &faulty->source;
	return 0;
}

struct faulty_counts faulty_source_counts(struct packet_source *source)
{
	const struct faulty_source *faulty = faulty_of(source);
	const struct faulty_counts *in = &faulty->in.counts;
	const struct faulty_counts *out = &faulty->out.counts;

	return (struct faulty_counts){
		.passed = in->passed + out->passed,
		.lost = in->lost + out->lost,
		.doubled = in->doubled + out->doubled,
		.delayed = in->delayed + out->delayed,
		.flipped = in->flipped + out->flipped,
		.cut = in->cut + out->cut,
		.spared = in->spared + out->spared,
	};
}

/* ---- the setting ---- */

static int parse_chance(const char *text, uint32_t *ret)
{
	char *end;
	double percent = strtod(text, &end);

	if (end == text || strcmp(end, "%") != 0 || !(percent >= 0 && percent <= 100))
		return -ERR_CONFIG;
	*ret = (uint32_t)(percent / 100 * FAULTS_ALL + 0.5);
	return 0;
}

static int parse_seed(const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	unsigned long long seed = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno)
		return -ERR_CONFIG;
	*ret = seed;
	return 0;
}

static int parse_one(char *word, struct faults *ret)
{
	char *value = strchr(word, '=');

	if (!value)
		return -ERR_CONFIG;
	*value++ = '\0';
	if (strcmp(word, "seed") == 0)
		return parse_seed(value, &ret->seed);
	if (strcmp(word, "loss") == 0)
		return parse_chance(value, &ret->loss);
	if (strcmp(word, "double") == 0)
		return parse_chance(value, &ret->twice);
	if (strcmp(word, "reorder") == 0)
		return parse_chance(value, &ret->reorder);
	if (strcmp(word, "flip") == 0)
		return parse_chance(value, &ret->flip);
	if (strcmp(word, "cut") == 0)
		return parse_chance(value, &ret->cut);
	return -ERR_CONFIG;
}

int faults_parse(const char *text, struct faults *ret, char *why, size_t why_bytes)
{
	struct faults faults = {.seed = 1};
	char copy[256];
	size_t bytes = strlen(text) + 1;

	if (bytes > sizeof(copy)) {
		snprintf(why, why_bytes, "longer than %zu bytes", sizeof(copy) - 1);
		return -ERR_CONFIG;
	}
	memcpy(copy, text, bytes);
	for (char *rest = copy, *word; (word = strsep(&rest, ","));) {
		const char *given = text + (word - copy);
		if (parse_one(word, &faults) == 0)
			continue;
		snprintf(why, why_bytes,
			 "\"%.*s\": expected seed=NUMBER or one of loss, double, reorder, flip, "
			 "cut with a chance from 0%% to 100%%, as in seed=7,loss=5%%",
			 (int)strcspn(given, ","), given);
		return -ERR_CONFIG;
	}
	*ret = faults;
	return 0;
}
