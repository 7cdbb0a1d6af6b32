/* Producer ids are taken from the catalog in blocks, so that one durable write serves many
 * producers; a crash wastes the rest of a block, which is harmless. */
#include "control/control_internal.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "base/log.h"
#include "dataplane/kafka/kafka_errors.h"
#include "kafka_messages.h"

enum {
	PRODUCER_ID_BLOCK = 1000,
	COORDINATOR_BLOCK = 1000, /* of transactional producers */
};

static int take(struct control *control, int64_t *ret)
{
	struct producer_ids *ids = &control->producer_ids;

	if (ids->next == ids->end) {
		int64_t first;
		int rc = catalog_take_producer_ids(control->catalog, PRODUCER_ID_BLOCK, &first);
		if (rc < 0)
			return rc;
		ids->next = first;
		ids->end = first + PRODUCER_ID_BLOCK;
	}
	*ret = ids->next++;
	return 0;
}

/* A producer without a transactional id gets a fresh id whatever it had before, as with Kafka. */
enum outcome producer_ids_init(struct control *control, struct control_request *request)
{
	struct kafka_init_producer_id_response *response = request->response;
	int64_t id;

	int rc = take(control, &id);
	if (rc < 0) {
		log_error("control", "no producer id error=\"%s\"", error_text(rc));
		response->error_code = KAFKA_COORDINATOR_NOT_AVAILABLE; /* retriable */
		response->producer_epoch = -1;
		return OUTCOME_ANSWER;
	}
	response->producer_id = id;
	response->producer_epoch = 0;
	return OUTCOME_ANSWER;
}

void producer_ids_give(struct message *message, void *receiver)
{
	struct coordinator_ids *ids = container_of(message, struct coordinator_ids, message);
	struct control *control = receiver;

	ids->count = COORDINATOR_BLOCK;
	ids->rc = catalog_take_producer_ids(control->catalog, ids->count, &ids->first);
	if (ids->rc < 0)
		log_error("control", "no producer ids error=\"%s\"", error_text(ids->rc));
	message->handle = ids->given;
	mesh_send(control->mesh, mesh_control(control->mesh), mesh_coordinator(control->mesh),
		  message);
}
