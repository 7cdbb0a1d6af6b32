/* client/command/group_free.h: may a group be changed from outside? */
#pragma once

struct invocation;

/* Complains where it has members, or is a share group; one that nobody knows is free.  Exit code.
 */
int group_check_free(const struct invocation *invocation, const char *group);
