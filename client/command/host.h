/* client/command/host.h: what the verbs about this host share: doctor, nic, tune. */
#pragma once
#include "client/command/command.h"
#include "hw/host.h"

/* The folder that --root names, or /.  False, and a complaint: there is none. */
bool host_root_of(const struct invocation *invocation, struct host_root *ret);
/* Read by --data and --nic; EXIT_DONE, or a code with a complaint. */
int host_of(const struct invocation *invocation, const struct host_root *root, struct host *ret);
