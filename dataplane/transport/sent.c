#include "dataplane/transport/sent.h"

#include "base/check.h"

void sent_init(struct sent *sent, struct sent_packet *ring, uint32_t capacity)
{
	check(capacity >= 4 && !(capacity & (capacity - 1)));
	*sent = (struct sent){.ring = ring, .mask = capacity - 1, .next = 1, .oldest = 1};
}

static void resolve(struct sent *sent, struct sent_packet *packet)
{
	packet->under_way = false;
	sent->count--;
	sent->bytes -= packet->bytes;
}

static void advance(struct sent *sent)
{
	if (!sent->count) {
		sent->oldest = sent->next;
		return;
	}
	while (!sent->ring[sent->oldest & sent->mask].under_way)
		sent->oldest++;
}

static void acknowledge(struct sent *sent, uint64_t number, struct sent_acked *acked,
			struct sent_visitor *visitor)
{
	struct sent_packet *packet = &sent->ring[number & sent->mask];

	if (!packet->under_way)
		return;
	resolve(sent, packet);
	acked->packets++;
	acked->bytes += packet->bytes;
	if (packet->sent_ns > acked->newest_sent_ns)
		acked->newest_sent_ns = packet->sent_ns;
	visitor->acked(visitor, packet);
}

struct sent_acked sent_acknowledge(struct sent *sent, uint64_t number, uint64_t bitmap,
				   struct sent_visitor *visitor)
{
	struct sent_acked acked = {0};

	check(number && number < sent->next);
	if (number > sent->largest_acked)
		sent->largest_acked = number;
	if (!sent->count || number < sent->oldest)
		return acked;
	acknowledge(sent, number, &acked, visitor);
	acked.largest_sent_ns = acked.newest_sent_ns;
	/* Only what the ring still holds: bits of earlier numbers were dealt with before. */
	uint64_t held = number - sent->oldest;
	if (held < 64)
		bitmap &= (UINT64_C(1) << held) - 1;
	while (bitmap) {
		unsigned bit = (unsigned)__builtin_ctzll(bitmap);
		bitmap &= bitmap - 1;
		acknowledge(sent, number - 1 - bit, &acked, visitor);
	}
	advance(sent);
	return acked;
}

unsigned sent_find_lost(struct sent *sent, uint64_t loss_ns, uint64_t now_ns,
			struct sent_visitor *visitor)
{
	unsigned lost = 0;

	sent->loss_due_ns = 0;
	if (!sent->count)
		return 0;
	for (uint64_t number = sent->oldest; number < sent->largest_acked; number++) {
		struct sent_packet *packet = &sent->ring[number & sent->mask];

		if (!packet->under_way)
			continue;
		/* Later ones left later: none of them is due before this one. */
		if (sent->largest_acked - number < SENT_THRESHOLD_PACKETS &&
		    now_ns < packet->sent_ns + loss_ns) {
			sent->loss_due_ns = packet->sent_ns + loss_ns;
			break;
		}
		resolve(sent, packet);
		lost++;
		visitor->lost(visitor, packet);
	}
	advance(sent);
	return lost;
}

unsigned sent_take_back(struct sent *sent, unsigned count, struct sent_visitor *visitor)
{
	unsigned taken = 0;

	for (uint64_t number = sent->oldest; sent->count && taken < count; number++) {
		struct sent_packet *packet = &sent->ring[number & sent->mask];

		if (!packet->under_way)
			continue;
		resolve(sent, packet);
		taken++;
		visitor->lost(visitor, packet);
	}
	advance(sent);
	return taken;
}
