/* The uniform assignor: balanced first, then sticky.
 *
 * Where all members subscribe to the same topics the answer is known in advance: everybody has
 * `quota` partitions and `extras` of them one more, so members keep what they have up to that and
 * the rest is dealt out in turn; no assignment as even moves fewer.  Where subscriptions differ
 * members keep all that they still subscribe to, the rest goes where the load is least, and then
 * partitions move from heavier to lighter members while that makes the two more equal. */
#include "control/groups/assignors_internal.h"

#include "base/arena.h"

#include <errno.h>
#include <stdlib.h>

static bool subscribed_alike(const struct assignment *assignment)
{
	const struct assignor_member *first = assignment->members;

	for (size_t m = 1; m < assignment->member_count; m++) {
		const struct assignor_member *member = &assignment->members[m];
		if (member->topic_count != first->topic_count)
			return false;
		if (member->topics != first->topics && member->topic_count &&
		    memcmp(member->topics, first->topics,
			   member->topic_count * sizeof(*member->topics)) != 0)
			return false;
	}
	return true;
}

/* The member keeps what it still may, up to `limit` partitions. */
static void keep(struct partition_row *row, size_t m, size_t limit)
{
	const struct assignor_member *member = &row->assignment->members[m];
	size_t topic, number;

	for (size_t i = 0; i < member->current.count && row->loads[m] < limit; i++) {
		if (partition_row_find(row, &member->current.items[i], &topic, &number) &&
		    row->owners[number] == NO_MEMBER && assignor_member_subscribed(member, topic))
			partition_row_give(row, number, (int32_t)m);
	}
}

/* ---- subscribed alike ---- */

struct shares {
	size_t quota;
	size_t extras; /* members that may still have one more */
};

static size_t share(const struct shares *shares)
{
	return shares->quota + (shares->extras > 0);
}

static void count_extra(const struct partition_row *row, size_t m, struct shares *shares)
{
	if (row->loads[m] > shares->quota)
		shares->extras--;
}

static void deal(struct partition_row *row, struct shares *shares)
{
	const struct assignor_member *any = row->assignment->members;
	size_t m = 0;

	for (size_t i = 0; i < any->topic_count; i++) {
		uint32_t topic = any->topics[i];
		for (size_t number = row->first[topic]; number < row->first[topic + 1]; number++) {
			if (row->owners[number] != NO_MEMBER)
				continue;
			/* Somebody has room: the shares add up to all partitions. */
			while (row->loads[m] >= share(shares))
				m = (m + 1) % row->assignment->member_count;
			partition_row_give(row, number, (int32_t)m);
			count_extra(row, m, shares);
			m = (m + 1) % row->assignment->member_count;
		}
	}
}

static void spread_alike(struct partition_row *row)
{
	const struct assignment *assignment = row->assignment;
	size_t total = 0;

	for (size_t i = 0; i < assignment->members->topic_count; i++)
		total += (size_t)assignment->topics[assignment->members->topics[i]].partition_count;
	struct shares shares = {.quota = total / assignment->member_count,
				.extras = total % assignment->member_count};
	for (size_t m = 0; m < assignment->member_count; m++) {
		keep(row, m, share(&shares));
		count_extra(row, m, &shares);
	}
	deal(row, &shares);
}

/* ---- subscribed differently ---- */

static int compare_audiences(const void *a, const void *b)
{
	const struct audience *one = a, *other = b;

	if (one->count != other->count)
		return one->count < other->count ? -1 : 1;
	return (one->topic > other->topic) - (one->topic < other->topic);
}

static uint32_t lightest(const struct partition_row *row, const struct audience *audience)
{
	uint32_t found = audience->members[0];

	for (size_t i = 1; i < audience->count; i++) {
		if (row->loads[audience->members[i]] < row->loads[found])
			found = audience->members[i];
	}
	return found;
}

static void place(struct partition_row *row, const struct audience *audience)
{
	for (size_t number = row->first[audience->topic]; number < row->first[audience->topic + 1];
	     number++) {
		if (row->owners[number] == NO_MEMBER)
			partition_row_give(row, number, (int32_t)lightest(row, audience));
	}
}

/* Partitions of this topic move while that evens out two members.  Whether any did. */
static bool level(struct partition_row *row, const struct audience *audience)
{
	size_t begin = row->first[audience->topic];
	size_t end = row->first[audience->topic + 1];

	for (bool moved = false;; moved = true) {
		uint32_t to = lightest(row, audience);
		size_t heaviest = begin;
		for (size_t number = begin + 1; number < end; number++) {
			if (row->loads[row->owners[number]] > row->loads[row->owners[heaviest]])
				heaviest = number;
		}
		if (row->loads[row->owners[heaviest]] <= row->loads[to] + 1)
			return moved;
		partition_row_give(row, heaviest, (int32_t)to);
	}
}

static int spread_apart(struct partition_row *row, struct arena *arena)
{
	const struct assignment *assignment = row->assignment;
	struct audience *audiences = find_audiences(assignment, arena);

	if (!audiences)
		return -ENOMEM;
	/* Those with the least choice first. */
	qsort(audiences, assignment->topic_count, sizeof(*audiences), compare_audiences);
	for (size_t m = 0; m < assignment->member_count; m++)
		keep(row, m, SIZE_MAX);
	for (size_t i = 0; i < assignment->topic_count; i++) {
		if (audiences[i].count)
			place(row, &audiences[i]);
	}
	/* Ends: each move makes the sum of the squares of the loads smaller. */
	for (bool moved = true; moved;) {
		moved = false;
		for (size_t i = 0; i < assignment->topic_count; i++) {
			size_t topic = audiences[i].topic;
			if (audiences[i].count && row->first[topic] < row->first[topic + 1])
				moved |= level(row, &audiences[i]);
		}
	}
	return 0;
}

int assign_uniform(struct assignment *assignment, struct arena *arena)
{
	struct partition_row row;
	int rc = partition_row_init(&row, assignment, arena);

	if (rc == 0 && assignment->member_count) {
		if (subscribed_alike(assignment))
			spread_alike(&row);
		else
			rc = spread_apart(&row, arena);
	}
	return rc < 0 ? rc : partition_row_finish(&row, assignment, arena);
}
