/* client/command/profile.h: the profile that an invocation has, from the user's file.
 *
 * The file is $XDG_CONFIG_HOME/sluice/profiles.conf or ~/.config/sluice/profiles.conf; none is an
 * empty one.  Settings of a profile are "brokers", "admin" and the options of the client. */
#pragma once
#include "client/command/command.h"
#include "client/command/profile_file.h"

struct profile {
	struct profile_file *file;
	const char *name; /* null: none is chosen */
	bool asked_for;   /* by --profile, so that it counts more than the environment */
};

/* By --profile, SLUICE_PROFILE or the file.  EXIT_DONE, or the exit code, and that was complained
 * of.  profile_close: one of all zeros is fine. */
int profile_open(struct profile *ret, const struct invocation *invocation);
void profile_close(struct profile *profile);
const char *profile_value(const struct profile *profile, const char *name); /* null: not set */

/* Sets the options of the client that the profile has. */
int profile_apply(const struct profile *profile, struct sluice_options *options);
