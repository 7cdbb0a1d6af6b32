#include "client/command/group_free.h"

#include <string.h>

#include "client/command/command.h"

int group_check_free(const struct invocation *invocation, const char *group)
{
	struct sluice_group_description *told;
	int rc = sluice_group_describe(invocation->client, group, &told);
	int code = EXIT_DONE;

	if (rc == -SLUICE_KAFKA(69))
		return EXIT_DONE;
	if (rc < 0)
		return complain_of(invocation, rc);
	if (told->member_count) {
		complain("group '%s' has %zu member%s: it can be changed only while it has none",
			 group, told->member_count, told->member_count > 1 ? "s" : "");
		fprintf(stderr,
			"        stop them first; `sluice group describe %s` shows who they are\n",
			group);
		code = EXIT_FAILED;
	} else if (strcmp(told->type, "share") == 0) {
		complain("group '%s' is a share group: it commits no offsets that could be set",
			 group);
		code = EXIT_FAILED;
	}
	sluice_group_description_free(told);
	return code;
}
