/* client/command/profile_file.h: the text of the profiles, read and changed; no I/O.
 *
 *   # what begins with # is a comment
 *   current = production
 *
 *   [production]
 *   brokers = one:9092,two:9092
 *   linger.ms = 20
 *
 * Lines stay as they are written, comments too, but for those that are set or removed.  Which
 * settings there are is the caller's to know (profile.h).  All names and values are the file's,
 * until it is changed or freed. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum {
	PROFILE_FILE_BYTES_MAX = 256 * 1024,
	PROFILE_LINES_MAX = 4096,
	PROFILE_NAME_BYTES_MAX = 64, /* letters, digits and ._- */
};

struct profile_file;

struct profile_fault {
	size_t line; /* from 1 */
	const char *what;
};

/* -EINVAL with the fault, -ENOMEM. */
int profile_file_parse(struct profile_file **ret, const char *text, size_t length,
		       struct profile_fault *ret_fault);
void profile_file_free(struct profile_file *file); /* null is fine */
void profile_file_write(const struct profile_file *file, FILE *to);

/* In the order of the file; null past the last one. */
const char *profile_file_name_at(const struct profile_file *file, size_t index);
/* `profile` null: what stands before the first one.  Null past the last setting. */
const char *profile_file_setting_at(const struct profile_file *file, const char *profile,
				    size_t index, const char **ret_value);
const char *profile_file_value(const struct profile_file *file, const char *profile,
			       const char *name); /* null: not set */

/* The name of a profile, by its letters? */
bool profile_name_valid(const char *name);
/* `profile` as above, begun where there is none; `value` null removes the setting.  -EINVAL: it
 * would not be read back so; -ENOMEM.  After either the file may have the profile, without it. */
int profile_file_set(struct profile_file *file, const char *profile, const char *name,
		     const char *value);
void profile_file_remove(struct profile_file *file, const char *profile);
