/* Producer ids come in blocks from the control plane; who needs one meanwhile waits. */
#include "control/transactions/transactions_internal.h"

#include "base/bytes.h"

#include <errno.h>

struct id_wait {
	struct list link;
	struct control_request *request;
};

static void park(struct transactions *transactions, struct control_request *request)
{
	struct id_wait *wait = arena_calloc(request->arena, 1, sizeof(*wait));

	if (!wait) {
		request->rc = -ENOMEM;
		transactions->options.answer(transactions->options.context, request);
		return;
	}
	wait->request = request;
	list_push_back(&transactions->id_waits, &wait->link);
	if (transactions->ids_wanted)
		return;
	transactions->ids_wanted = true;
	transactions->options.want_producer_ids(transactions->options.context);
}

bool producer_id_take(struct transactions *transactions, struct control_request *request,
		      int64_t *ret)
{
	if (transactions->producer_ids_left == 0) {
		park(transactions, request);
		return false;
	}
	transactions->producer_ids_left--;
	*ret = transactions->next_producer_id++;
	return true;
}

static void refuse_waiting(struct transactions *transactions)
{
	struct list *node;

	while ((node = list_pop_front(&transactions->id_waits)))
		transactions_refuse_now(transactions,
					container_of(node, struct id_wait, link)->request,
					KAFKA_COORDINATOR_NOT_AVAILABLE);
}

void producer_ids_stop(struct transactions *transactions)
{
	refuse_waiting(transactions);
}

void transactions_give_producer_ids(struct transactions *transactions, int64_t first, int64_t count,
				    int rc)
{
	struct list waiting;
	struct list *node;

	transactions->ids_wanted = false;
	if (rc < 0 || count <= 0) {
		refuse_waiting(transactions);
		return;
	}
	transactions->next_producer_id = first;
	transactions->producer_ids_left = count;
	/* Who finds none left waits again, behind the others. */
	list_init(&waiting);
	list_move_all(&waiting, &transactions->id_waits);
	while ((node = list_pop_front(&waiting)))
		transactions_handle(transactions,
				    container_of(node, struct id_wait, link)->request);
}
