/* No consumer groups. */
#include "tests/control/fake_kinds.h"

#include "base/errors.h"

void consumer_heartbeat(struct groups *groups, struct control_request *request)
{
	groups_refuse(groups, request, KAFKA_UNSUPPORTED_VERSION);
}

void consumer_describe(struct groups *groups, struct control_request *request)
{
	groups_refuse(groups, request, KAFKA_GROUP_ID_NOT_FOUND);
}

int consumer_replay(struct groups *groups, const struct group_record *record)
{
	return -ERR_FORMAT;
}
