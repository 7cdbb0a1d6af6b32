#include "client/command/command.h"

int verb_version(struct invocation *invocation)
{
	static const struct column columns[] = {{"version", "SLUICE"}, {0}};
	static const struct part parts[] = {{.columns = columns}, {0}};
	json_t *object = json_object();

	document_set_text(object, "version", sluice_version());
	return document_print(invocation, object, parts, EXIT_DONE);
}
