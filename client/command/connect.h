/* client/command/connect.h: the client of an invocation, by its flags, the environment and the
 * profile. */
#pragma once
#include "client/command/command.h"

/* invocation->client is then the caller's, to close; it has connected to nothing yet.  EXIT_DONE,
 * or the exit code, and that was complained of. */
int connect_open(struct invocation *invocation);
/* Address of the broker's admin HTTP, chosen likewise; the caller's to free. */
int connect_admin(const struct invocation *invocation, char **ret);
