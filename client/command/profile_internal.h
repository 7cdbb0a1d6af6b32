/* client/command/profile_internal.h: what the profile of an invocation (profile.c) and the verbs
 * that change profiles (profile_verbs.c) share. */
#pragma once
#include "client/command/profile.h"

enum { PROFILE_PATH_BYTES = 4096 };

bool profile_path(char ret[static PROFILE_PATH_BYTES]); /* false: there is no home */
/* EXIT_DONE, or the exit code, and that was complained of. */
int profile_read(struct profile_file **ret);
bool profile_is_address(const char *name); /* else it is an option of the client */
bool profile_exists(const struct profile_file *file, const char *name);
/* Frees the file; returns EXIT_USAGE. */
int profile_complain_of_none(struct profile_file *file, const char *name);
