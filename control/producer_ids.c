/* Producer ids are taken from the catalog in blocks, so that one durable write serves many
 * producers; a crash wastes the rest of a block, which is harmless. */
#include "control/control_internal.h"

#include "base/log.h"
#include "base/errors.h"
#include "dataplane/kafka/kafka_errors.h"
#include "kafka_messages.h"

enum { PRODUCER_ID_BLOCK = 1000 };

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
	const struct kafka_init_producer_id_request *message = request->request;
	struct kafka_init_producer_id_response *response = request->response;
	int64_t id;

	if (message->transactional_id.length >= 0) {
		/* As FindCoordinator has it: final for every client. */
		response->error_code = KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
		response->producer_epoch = -1;
		return OUTCOME_ANSWER;
	}
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
