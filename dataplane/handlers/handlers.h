/* dataplane/handlers/handlers.h: one handler a Kafka API, whatever transport carried the request.
 *
 * A handler runs on the shard of the connection, reads request->message, fills request->response
 * and calls request_answer, at once or later.  What concerns a partition of another shard travels
 * there by scatter.h. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "dataplane/topics.h"

struct kafka_api;
struct kafka_string;
struct request;
struct shard;

/* Kafka's isolation levels. */
enum { ISOLATION_UNCOMMITTED = 0, ISOLATION_COMMITTED = 1 };

/* Dispatches by API key: to a handler below, to the control plane or to the coordinator
 * (forward.c). */
void handle_request(struct request *request);

void handle_api_versions(struct request *request);
void handle_metadata(struct request *request);
void handle_produce(struct request *request);
void handle_fetch(struct request *request);
void handle_list_offsets(struct request *request);
void handle_delete_records(struct request *request);
void handle_offset_for_leader_epoch(struct request *request);
void handle_describe_cluster(struct request *request);
void handle_find_coordinator(struct request *request);
void handle_init_producer_id(struct request *request);
void handle_describe_producers(struct request *request);
void handle_write_txn_markers(struct request *request);
void handle_share_fetch(struct request *request);
void handle_share_acknowledge(struct request *request);

/* Sends `message` (a request struct of `api`, in the request's arena) to the control plane;
 * `answered` runs back on this shard with its response.  -ENOMEM. */
int forward_to_control(struct request *request, const struct kafka_api *api, int16_t version,
		       const void *message, void *response,
		       void (*answered)(struct request *request));
void handle_on_control(struct request *request);
void handle_on_coordinator(struct request *request);

/* The topic that a request names, or null. */
const struct topic *topic_named(struct shard *shard, const struct kafka_string *name);

/* fetch.c: parts woken by an append or cancelled; returns how many ran. */
unsigned fetch_run_ready(struct shard *shard);
void fetch_pool_fini(struct shard *shard);
