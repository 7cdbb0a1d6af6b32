/* dataplane/transport/sent.h: the numbered packets under way, and which of them are lost.
 *
 * A ring indexed by packet number holds everything between the oldest unresolved packet and the
 * next.  A packet is resolved once: acknowledged, lost, or taken back for a probe.  What it carried
 * is named by slot, sequence and segment; whoever owns those decides what a loss means.
 *
 * Losses are found as RFC 9002, section 6.1, says: three packets after it were acknowledged, or one
 * that left long enough after it.  Owner: one thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SENT_THRESHOLD_PACKETS = 3,
	SENT_SEGMENT_ABORT = UINT32_MAX,    /* an ABORT of the slot's message */
	SENT_SEGMENT_NONE = UINT32_MAX - 1, /* nothing to send again: a probe */
};

struct sent_packet {
	uint64_t sent_ns;
	uint32_t sequence;
	uint32_t segment;
	uint16_t slot;
	uint16_t bytes;
	bool under_way;
};

struct sent {
	struct sent_packet *ring;
	uint32_t mask;
	uint32_t count; /* under way */
	uint32_t bytes;
	uint64_t next; /* number of the next packet; its low 32 bits travel and are never 0 */
	uint64_t oldest;
	uint64_t largest_acked; /* 0: none */
	uint64_t last_ns;       /* when the newest left */
	uint64_t loss_due_ns;   /* when time alone makes another one lost; 0: never */
};

/* What to do with a resolved packet; its place in the ring may be overwritten afterwards. */
struct sent_visitor {
	void (*acked)(struct sent_visitor *visitor, const struct sent_packet *packet);
	void (*lost)(struct sent_visitor *visitor, const struct sent_packet *packet);
};

struct sent_acked {
	uint32_t packets;
	uint32_t bytes;
	uint64_t newest_sent_ns;  /* of what was acknowledged now */
	uint64_t largest_sent_ns; /* of the largest number, when that is new: a sample; else 0 */
};

/* `ring` has `capacity` zeroed entries, a power of two, and is the caller's. */
void sent_init(struct sent *sent, struct sent_packet *ring, uint32_t capacity);

static inline bool sent_full(const struct sent *sent)
{
	/* One entry spare for the number that does not exist. */
	return sent->next - sent->oldest >= sent->mask;
}

/* The number that the next packet gets; not full. */
static inline uint32_t sent_number(struct sent *sent)
{
	if (__builtin_expect(!(uint32_t)sent->next, 0)) {
		sent->ring[sent->next & sent->mask].under_way = false;
		sent->next++;
	}
	return (uint32_t)sent->next;
}

/* The place of that packet, to be filled in (except `under_way`); then sent_note, once it left. */
static inline struct sent_packet *sent_place(const struct sent *sent)
{
	return &sent->ring[sent->next & sent->mask];
}

static inline void sent_note(struct sent *sent)
{
	struct sent_packet *packet = sent_place(sent);

	packet->under_way = true;
	if (!sent->count)
		sent->oldest = sent->next;
	sent->next++;
	sent->count++;
	sent->bytes += packet->bytes;
	sent->last_ns = packet->sent_ns;
}

/* The 64-bit number whose low half an acknowledgement names as its largest; 0 when something in it
 * was never sent. */
static inline uint64_t sent_widen(const struct sent *sent, uint32_t largest, uint64_t bitmap)
{
	uint64_t newest = sent->next - 1;
	uint64_t behind = (uint32_t)newest - largest;
	uint64_t number = newest - behind;

	if (behind >= newest)
		return 0;
	/* Bit i is number - 1 - i, and the first packet ever was 1. */
	return number > 64 || !(bitmap >> (number - 1)) ? number : 0;
}

/* The usual acknowledgement, of the oldest packet alone, without ceremony.  Null: it is another
 * one, and nothing has changed. */
static inline const struct sent_packet *sent_acknowledge_oldest(struct sent *sent, uint64_t number)
{
	struct sent_packet *packet = &sent->ring[number & sent->mask];

	if (number != sent->oldest || !sent->count)
		return NULL;
	if (number > sent->largest_acked)
		sent->largest_acked = number;
	packet->under_way = false;
	sent->bytes -= packet->bytes;
	if (!--sent->count)
		sent->oldest = sent->next;
	else
		do {
			sent->oldest++;
		} while (!sent->ring[sent->oldest & sent->mask].under_way);
	return packet;
}

/* Resolves what an acknowledgement names; `number` as sent_widen says, not 0. */
struct sent_acked sent_acknowledge(struct sent *sent, uint64_t number, uint64_t bitmap,
				   struct sent_visitor *visitor);

/* True when sent_find_lost has something to look at. */
static inline bool sent_may_be_lost(const struct sent *sent)
{
	return sent->count && sent->oldest < sent->largest_acked;
}

/* Resolves what is lost now; `loss_ns` as rtt_loss_ns says.  Returns how many. */
unsigned sent_find_lost(struct sent *sent, uint64_t loss_ns, uint64_t now_ns,
			struct sent_visitor *visitor);
/* Takes back the oldest packets, at most `count`, as if lost: to be sent again as a probe. */
unsigned sent_take_back(struct sent *sent, unsigned count, struct sent_visitor *visitor);
