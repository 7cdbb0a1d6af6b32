/* A look into a partition: from a place on, all records or those that match, within bounds.
 *
 *     from ──> an offset ──fetch──> batches ──> records ──match──> shown
 *
 * The end is where the log ended when the request came.  A search that has read enough stops, and
 * `next` is the offset where another request goes on; so no request reads a whole log. */
#include "base/clock.h"
#include "client/sluice.h"
#include "control/http/v1/v1.h"
#include "dataplane/kafka/utf8.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SCANNED_RECORDS_MAX = 200000,
	SCANNED_BYTES_MAX = 32 << 20,
	SHOWN_BYTES_MAX = 4 << 20,
	FETCH_MS = 1000, /* the records are there: who waits longer waits for what is not shown */
};
#define SCAN_NS_MAX (3 * NS_PER_SECOND)

struct scan {
	struct sluice_client *client;
	const char *topic;
	int32_t partition;
	const char *key; /* null: any; so too below */
	const char *contains;
	size_t limit;
	size_t value_bytes;
	uint64_t until_ns;
	int64_t start; /* of the log */
	int64_t end;
	int64_t at; /* all before was looked at */
	bool dry;   /* nothing more comes before the end */
	size_t count;
	size_t records;
	size_t bytes;
	size_t shown_bytes;
	json_t *messages;
};

/* ---- where to begin ---- */

static int list_ends(struct scan *scan)
{
	struct sluice_place start = {scan->topic, scan->partition, 0, SLUICE_EARLIEST, 0};
	struct sluice_place end = {scan->topic, scan->partition, 0, SLUICE_LATEST, 0};
	int rc = sluice_list_offsets(scan->client, &start, 1);

	if (rc == 0)
		rc = sluice_list_offsets(scan->client, &end, 1);
	if (rc == 0)
		rc = start.error ? start.error : end.error;
	scan->start = start.offset;
	scan->end = end.offset;
	return rc;
}

static int at_time(struct scan *scan, int64_t timestamp_ms)
{
	struct sluice_place place = {scan->topic, scan->partition, 0, timestamp_ms, 0};
	int rc = sluice_list_offsets(scan->client, &place, 1);

	if (rc == 0)
		rc = place.error;
	if (rc == 0)
		scan->at = place.offset < 0 ? scan->end : place.offset;
	return rc;
}

/* -EINVAL: not a place. */
static int begin_at(struct scan *scan, const char *from)
{
	bool time = from[0] == '@';
	const char *digits = from + (time || from[0] == '-');
	char *end;

	errno = 0;
	long long value = strtoll(digits, &end, 10);
	if (digits[0] < '0' || digits[0] > '9' || *end || errno)
		return -EINVAL;
	if (time)
		return at_time(scan, value);
	scan->at = from[0] != '-' ? value : value < scan->end ? scan->end - value : 0;
	if (scan->at < scan->start)
		scan->at = scan->start;
	return 0;
}

/* ---- records ---- */

static json_t *name_json(const char *name, size_t length)
{
	return utf8_valid(name, length) ? json_stringn(name, length) : json_string("?");
}

static json_t *headers_json(const struct scan *scan, const struct sluice_message *message)
{
	json_t *list = json_array();
	struct sluice_header header;
	size_t cursor = 0;

	while (sluice_header_next(message, &cursor, &header) == 1)
		json_array_append_new(
			list,
			json_pack("{s:o, s:o}", "name", name_json(header.name, header.name_length),
				  "value",
				  v1_bytes(header.value, header.value_length, scan->value_bytes)));
	return list;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void show(struct scan *scan, const struct sluice_message *message)
{
	json_array_append_new(
		scan->messages,
		json_pack("{s:i, s:I, s:I, s:o, s:o, s:o}", "partition", scan->partition, "offset",
			  (json_int_t)message->offset, "timestamp_ms",
			  (json_int_t)message->timestamp_ms, "key",
			  v1_bytes(message->key, message->key_length, scan->value_bytes), "value",
			  v1_bytes(message->value, message->value_length, scan->value_bytes),
			  "headers", headers_json(scan, message)));
	scan->count++;
	scan->shown_bytes += least(message->key_length, scan->value_bytes) +
			     least(message->value_length, scan->value_bytes) +
			     message->headers_length;
}

static bool has(const void *data, size_t length, const char *text)
{
	return data && memmem(data, length, text, strlen(text));
}

static bool matches(const struct scan *scan, const struct sluice_message *message)
{
	if (scan->key && (!message->key || message->key_length != strlen(scan->key) ||
			  memcmp(message->key, scan->key, message->key_length) != 0))
		return false;
	return !scan->contains || has(message->key, message->key_length, scan->contains) ||
	       has(message->value, message->value_length, scan->contains);
}

static bool is_over(const struct scan *scan)
{
	return scan->dry || scan->at >= scan->end || scan->count >= scan->limit ||
	       scan->records >= SCANNED_RECORDS_MAX || scan->bytes >= SCANNED_BYTES_MAX ||
	       scan->shown_bytes >= SHOWN_BYTES_MAX ||
	       clock_monotonic_ns(clock_system()) >= scan->until_ns;
}

static int scan_batch(struct scan *scan, struct sluice_batch *batch)
{
	struct sluice_message message;
	struct sluice_batch_info info;
	int rc = 1;

	sluice_batch_info(batch, &info);
	if (info.error)
		return info.error;
	scan->bytes += info.bytes;
	while (!is_over(scan) && (rc = sluice_batch_next(batch, &message)) == 1) {
		if (message.offset < scan->at)
			continue;
		scan->at = message.offset + 1;
		scan->records++;
		if (message.offset < scan->end && matches(scan, &message))
			show(scan, &message);
	}
	if (rc == 0 && info.next_offset > scan->at)
		scan->at = info.next_offset; /* what compaction has left out at its end */
	return rc < 0 ? rc : 0;
}

static int scan_records(struct scan *scan)
{
	int rc = 0;

	if (is_over(scan))
		return 0;
	rc = sluice_assign(scan->client, scan->topic, scan->partition, scan->at);
	while (rc == 0 && !is_over(scan)) {
		struct sluice_batch *batch = NULL;
		rc = sluice_fetch(scan->client, FETCH_MS, &batch);
		if (rc < 0)
			break;
		scan->dry = rc == 0;
		rc = batch ? scan_batch(scan, batch) : 0;
		sluice_batch_free(batch);
	}
	sluice_unassign(scan->client, scan->topic, scan->partition);
	return rc;
}

/* ---- the answer ---- */

static json_t *scan_json(struct scan *scan)
{
	bool more = scan->at < scan->end && !scan->dry;
	char next[24];

	snprintf(next, sizeof(next), "%lld", (long long)scan->at);
	return json_pack("{s:O, s:I, s:I, s:s?, s:I, s:I}", "messages", scan->messages, "start",
			 (json_int_t)scan->start, "end", (json_int_t)scan->end, "next",
			 more ? next : NULL, "scanned_records", (json_int_t)scan->records,
			 "scanned_bytes", (json_int_t)scan->bytes);
}

void v1_messages(const struct http_request *request, struct http_answer *answer)
{
	struct sluice_client *client = v1_client(request, answer);
	struct v1_topic topic;

	if (!client || !v1_topic_find(request, answer, &topic))
		return;
	struct scan scan = {
		.client = client,
		.topic = topic.name,
		.partition = (int32_t)request->counts[OF_partition],
		.key = request->texts[OF_key],
		.contains = request->texts[OF_contains],
		.limit = (size_t)request->counts[OF_limit],
		.value_bytes = (size_t)request->counts[OF_value_bytes],
		.until_ns = clock_monotonic_ns(clock_system()) + SCAN_NS_MAX,
		.messages = json_array(),
	};
	int rc = list_ends(&scan);
	if (rc == 0)
		rc = begin_at(&scan, request->texts[OF_from]);
	if (rc == -EINVAL)
		answer_problem(answer, MHD_HTTP_BAD_REQUEST,
			       "from takes an offset, -N or @MILLISECONDS");
	if (rc == 0)
		rc = scan_records(&scan);
	if (rc < 0 && !answer->status)
		v1_failed(request, answer, rc);
	if (rc == 0)
		answer_json(answer, MHD_HTTP_OK, scan_json(&scan));
	json_decref(scan.messages);
}
