/* InitProducerId: the control plane hands out ids, the coordinator those of transactional ids. */
#include "dataplane/handlers/handlers.h"
#include "dataplane/request.h"

void handle_init_producer_id(struct request *request)
{
	const struct kafka_init_producer_id_request *message = request->message;

	if (message->transactional_id.length < 0)
		handle_on_control(request);
	else
		handle_on_coordinator(request);
}
