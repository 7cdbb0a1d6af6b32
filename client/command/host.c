#include "client/command/host.h"

#include <errno.h>
#include <string.h>

bool host_root_of(const struct invocation *invocation, struct host_root *ret)
{
	const char *path = flag_value(invocation, FLAG_root);
	int rc = host_root_open(ret, path);

	if (rc < 0)
		complain("--root %s: %s", path ? path : "/", strerror(-rc));
	return rc == 0;
}

int host_of(const struct invocation *invocation, const struct host_root *root, struct host *ret)
{
	char why[256];
	int rc = host_read(ret, root, flag_value(invocation, FLAG_data),
			   flag_value(invocation, FLAG_nic), why, sizeof(why));

	if (rc == 0)
		return EXIT_DONE;
	complain("%s", why);
	if (rc == -ENODEV)
		fputs("        `sluice nic show` shows those that there are\n", stderr);
	return rc == -ENODEV || rc == -EINVAL || rc == -ENOTSUP ? EXIT_USAGE : EXIT_FAILED;
}
