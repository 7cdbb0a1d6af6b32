/* What the broker counts, from the picture that the control plane draws every second: for charts
 * (stats) and for a look at each shard (shards).
 *
 * Counters are told as they are, with the time at which they were: a rate is the difference of two
 * answers. */
#include "base/clock.h"
#include "base/histogram.h"
#include "control/broker_picture.h"
#include "control/http/v1/v1.h"

#include <errno.h>
#include <microhttpd.h>

static json_t *counters_json(const struct shard_counters *counters)
{
	json_t *json = json_object();

#define COUNTER(name, help)                                                                        \
	json_object_set_new(json, #name, json_integer((json_int_t)counters->name));
#include "dataplane/counters.def"
#undef COUNTER
	return json;
}

static json_t *buckets_json(const struct histogram *histogram)
{
	json_t *json = json_array();

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		json_array_append_new(json, json_integer((json_int_t)histogram->buckets[i]));
	return json;
}

static json_t *bounds_json(void)
{
	json_t *json = json_array();

	for (unsigned i = 0; i + 1 < HISTOGRAM_BUCKETS; i++)
		json_array_append_new(json, json_integer((json_int_t)histogram_bound_ns(i)));
	return json;
}

static json_t *histogram_json(const struct histogram *histogram)
{
	return json_pack("{s:I, s:I, s:o}", "count", (json_int_t)histogram_count(histogram),
			 "sum_ns", (json_int_t)histogram->sum_ns, "buckets",
			 buckets_json(histogram));
}

/* ---- stats ---- */

/* Those that were asked for. */
static json_t *apis_json(const struct broker_picture *picture)
{
	json_t *json = json_array();

	for (size_t i = 0; i < KAFKA_API_COUNT; i++) {
		const struct api_meter *meter = &picture->apis[i];
		if (histogram_count(&meter->answered) || meter->errors)
			json_array_append_new(json, json_pack("{s:s, s:I, s:o}", "api",
							      kafka_apis[i].name, "errors",
							      (json_int_t)meter->errors, "answered",
							      histogram_json(&meter->answered)));
	}
	return json;
}

static json_t *busy_json(const struct broker_picture *picture)
{
	json_t *json = json_array();

	for (unsigned i = 0; i < picture->shard_count; i++)
		json_array_append_new(
			json, json_integer((json_int_t)picture->shards[i].counters.busy_ns));
	return json;
}

static json_t *stats_json(const struct broker_picture *picture)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "at_ms",
			 (json_int_t)(picture->drawn_ns / NS_PER_MS), "time_ms",
			 (json_int_t)clock_wall_ms(clock_system()), "topics",
			 (json_int_t)picture->topics, "partitions", (json_int_t)picture->partitions,
			 "counters", counters_json(&picture->sums), "busy_ns", busy_json(picture),
			 "apis", apis_json(picture), "commits", histogram_json(&picture->commits),
			 "bounds_ns", bounds_json());
}

/* ---- shards ---- */

static json_t *mesh_json(const struct mesh_stats *stats)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "sent", (json_int_t)stats->sent, "received",
			 (json_int_t)stats->received, "full", (json_int_t)stats->full, "waiting",
			 (json_int_t)stats->waiting, "fullest", (json_int_t)stats->fullest);
}

static json_t *queue_json(const struct port_statistics *queue)
{
	json_t *json = json_object();

#define STATISTIC(name, help)                                                                      \
	json_object_set_new(json, #name, json_integer((json_int_t)queue->name));
#include "dataplane/dpdk/port_statistics.def"
#undef STATISTIC
	return json;
}

static json_t *shard_json(const struct broker_picture *picture, unsigned index)
{
	const struct shard_picture *shard = &picture->shards[index];

	return json_pack("{s:i, s:f, s:o, s:o, s:o}", "shard", (int)index, "busy_share",
			 shard->busy_share, "counters", counters_json(&shard->counters), "rings",
			 mesh_json(&shard->mesh), "queue",
			 picture->port.device[0] ? queue_json(&shard->port) : json_null());
}

static json_t *port_json(const struct port_picture *port)
{
	const struct port_device_statistics *all = &port->all;

	if (!port->device[0])
		return json_null();
	return json_pack(
		"{s:s, s:b, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "device", port->device,
		"up", port->link.up, "mbps",
		port->link.mbps == UINT32_MAX ? json_null() : json_integer(port->link.mbps),
		"received", (json_int_t)all->received, "received_bytes",
		(json_int_t)all->received_bytes, "sent", (json_int_t)all->sent, "sent_bytes",
		(json_int_t)all->sent_bytes, "missed", (json_int_t)all->missed, "no_mbuf",
		(json_int_t)all->no_mbuf, "receive_errors", (json_int_t)all->receive_errors,
		"send_errors", (json_int_t)all->send_errors);
}

static json_t *shards_json(const struct broker_picture *picture)
{
	json_t *shards = json_array();

	for (unsigned i = 0; i < picture->shard_count; i++)
		json_array_append_new(shards, shard_json(picture, i));
	return json_pack("{s:I, s:s, s:i, s:o, s:{s:o, s:o, s:o}, s:o}", "at_ms",
			 (json_int_t)(picture->drawn_ns / NS_PER_MS), "io", picture->io,
			 "ring_slots", (int)mesh_ring_slots(), "shards", shards, "others",
			 "background", mesh_json(&picture->others[OTHER_BACKGROUND]), "coordinator",
			 mesh_json(&picture->others[OTHER_COORDINATOR]), "control",
			 mesh_json(&picture->others[OTHER_CONTROL]), "port",
			 port_json(&picture->port));
}

static void answer_picture(struct http_answer *answer,
			   json_t *(*draw)(const struct broker_picture *picture))
{
	const struct broker_picture *picture = broker_picture_take();

	if (picture)
		answer_json(answer, MHD_HTTP_OK, draw(picture));
	else
		answer_failure(answer, -EAGAIN, "the broker is starting: nothing is counted yet");
	broker_picture_put_back(picture);
}

void v1_stats(const struct http_request *request, struct http_answer *answer)
{
	(void)request;
	answer_picture(answer, stats_json);
}

void v1_shards(const struct http_request *request, struct http_answer *answer)
{
	(void)request;
	answer_picture(answer, shards_json);
}
