/* Requests that the control plane answers travel there and back as one message. */
#include "base/errors.h"
#include "dataplane/handlers/handlers.h"
#include "dataplane/request.h"
#include "dataplane/shard_internal.h"

#include <errno.h>

struct forwarded {
	struct control_request control;
	struct request *request;
	void (*answered)(struct request *request);
};

static void control_answered(struct message *message, void *receiver)
{
	struct control_request *control = container_of(message, struct control_request, message);
	struct forwarded *forwarded = container_of(control, struct forwarded, control);

	(void)receiver;
	if (control->rc < 0)
		request_fail(forwarded->request, "request needs too much memory");
	else
		forwarded->answered(forwarded->request);
}

int forward_to_control(struct request *request, const struct kafka_api *api, int16_t version,
		       const void *message, void *response,
		       void (*answered)(struct request *request))
{
	struct shard *shard = request->shard;
	struct forwarded *forwarded = request_calloc(request, 1, sizeof(*forwarded));

	if (!forwarded)
		return -ENOMEM;
	forwarded->request = request;
	forwarded->answered = answered;
	forwarded->control = (struct control_request){
		.message.handle = shard->options.control_request,
		.answered = control_answered,
		.shard_index = shard->options.index,
		.api = api,
		.version = version,
		.request = message,
		.response = response,
		.arena = &request->arena,
	};
	shard_send(shard, mesh_control(shard->mesh), &forwarded->control.message);
	return 0;
}

void handle_on_control(struct request *request)
{
	if (forward_to_control(request, request->api, request->header.api_version, request->message,
			       request->response, request_answer) < 0)
		request_fail(request, "request needs too much memory");
}
