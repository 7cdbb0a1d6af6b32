/* Requests that the control plane or the coordinator answers travel there and back as one message.
 */
#include "base/errors.h"
#include "dataplane/handlers/handlers.h"
#include "dataplane/request.h"
#include "dataplane/shard_internal.h"

#include <errno.h>
#include <string.h>

struct forwarded {
	struct control_request control;
	struct request *request;
	void (*answered)(struct request *request);
	size_t parked_bytes; /* of shard.parked_bytes */
};

static void control_answered(struct message *message, void *receiver)
{
	struct control_request *control = container_of(message, struct control_request, message);
	struct forwarded *forwarded = container_of(control, struct forwarded, control);

	(void)receiver;
	forwarded->request->shard->parked_bytes -= forwarded->parked_bytes;
	if (control->rc < 0)
		request_fail(forwarded->request, "request needs too much memory");
	else
		forwarded->answered(forwarded->request);
}

/* The peer without its port, "192.0.2.7" or "2001:db8::7". */
static struct kafka_string host_of(struct request *request)
{
	const char *peer = request->channel->peer;
	const char *colon = strrchr(peer, ':');
	size_t length = colon ? (size_t)(colon - peer) : strlen(peer);

	if (length >= 2 && peer[0] == '[' && peer[length - 1] == ']') {
		peer++;
		length -= 2;
	}
	return kafka_string_of(arena_strndup(&request->arena, peer, length));
}

/* Null: the request's memory limit. */
static struct forwarded *forwarded_new(struct request *request, const struct kafka_api *api,
				       int16_t version, const void *message, void *response,
				       void (*answered)(struct request *request))
{
	struct forwarded *forwarded = request_calloc(request, 1, sizeof(*forwarded));

	if (!forwarded)
		return NULL;
	forwarded->request = request;
	forwarded->answered = answered;
	forwarded->control = (struct control_request){
		.answered = control_answered,
		.shard_index = request->shard->options.index,
		.api = api,
		.version = version,
		.client_id = request->header.client_id,
		.client_host = host_of(request),
		.request = message,
		.response = response,
		.arena = &request->arena,
	};
	return forwarded;
}

int forward_to_control(struct request *request, const struct kafka_api *api, int16_t version,
		       const void *message, void *response,
		       void (*answered)(struct request *request))
{
	struct shard *shard = request->shard;
	struct forwarded *forwarded = forwarded_new(request, api, version, message, response,
						    answered);

	if (!forwarded)
		return -ENOMEM;
	forwarded->control.message.handle = shard->options.control_request;
	shard_send(shard, mesh_control(shard->mesh), &forwarded->control.message);
	return 0;
}

void handle_on_control(struct request *request)
{
	if (forward_to_control(request, request->api, request->header.api_version, request->message,
			       request->response, request_answer) < 0)
		request_fail(request, "request needs too much memory");
}

/* Members of a group wait for one another as long as the slowest asks for, and longer than they
 * live.  What they hold leaves half of the memory to others.  False: there is no room. */
static bool park(struct shard *shard, struct forwarded *forwarded)
{
	const struct request *request = forwarded->request;

	if (request->api->key != KAFKA_JOIN_GROUP && request->api->key != KAFKA_SYNC_GROUP)
		return true;
	if (shard->parked_bytes + request->charged_bytes > shard->options.inflight_bytes_max / 2)
		return false;
	forwarded->parked_bytes = request->charged_bytes;
	shard->parked_bytes += forwarded->parked_bytes;
	return true;
}

void handle_on_coordinator(struct request *request)
{
	struct shard *shard = request->shard;
	struct forwarded *forwarded = forwarded_new(request, request->api,
						    request->header.api_version, request->message,
						    request->response, request_answer);

	if (!forwarded) {
		request_fail(request, "request needs too much memory");
		return;
	}
	if (!park(shard, forwarded)) {
		request_fail(request, "members of groups hold too much memory");
		return;
	}
	forwarded->control.message.handle = shard->options.coordinator_request;
	shard_send(shard, mesh_coordinator(shard->mesh), &forwarded->control.message);
}
