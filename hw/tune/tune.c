#include "hw/tune/tune_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "hw/tune/tune_state.h"

void tune_free(struct tune *tune)
{
	for (size_t i = 0; i < tune->count; i++) {
		free(tune->at[i].now);
		free(tune->at[i].wanted);
	}
	free(tune->at);
	*tune = (struct tune){0};
}

int tune_add(struct tune *tune, const char *path, bool file, const char *now, const char *wanted,
	     const char *check)
{
	struct tune_change *larger = reallocarray(tune->at, tune->count + 1, sizeof(*tune->at));
	struct tune_change change = {.file = file, .check = check};

	if (!larger)
		return -ENOMEM;
	tune->at = larger;
	change.now = now ? strdup(now) : NULL;
	change.wanted = wanted ? strdup(wanted) : NULL;
	if ((now && !change.now) || (wanted && !change.wanted)) {
		free(change.now);
		free(change.wanted);
		return -ENOMEM;
	}
	snprintf(change.path, sizeof(change.path), "%s", path);
	tune->at[tune->count++] = change;
	return 0;
}

/* ---- values ---- */

int tune_value(const struct host_root *root, const char *path, char text[static HOST_TEXT_BYTES])
{
	int rc = host_text(root, text, "%s", path);

	if (rc < 0)
		return rc;
	char *begin = strchr(text, '[');
	size_t length = begin ? strcspn(begin + 1, "]") : 0;
	if (begin && begin[1 + length] == ']') {
		memmove(text, begin + 1, length);
		text[length] = 0;
	}
	return 0;
}

bool tune_same(const char *path, const char *a, const char *b)
{
	size_t length = strlen(path);
	const char *mask = "smp_affinity";

	if (length >= strlen(mask) && strcmp(path + length - strlen(mask), mask) == 0) {
		a += strspn(a, "0,");
		b += strspn(b, "0,");
	}
	return strcmp(a, b) == 0;
}

int tune_read(const struct host_root *root, const char *path, bool file, char **ret)
{
	char text[HOST_TEXT_BYTES];
	int rc = file ? host_file(root, ret, "%s", path) : tune_value(root, path, text);

	if (file && rc == -ENOENT) {
		*ret = NULL;
		return 0;
	}
	if (file || rc < 0)
		return rc;
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

static bool same(const struct tune_change *change, const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	return change->file ? strcmp(a, b) == 0 : tune_same(change->path, a, b);
}

/* ---- carrying out ---- */

static int write_change(const struct host_root *root, const struct tune_change *change)
{
	if (!change->file)
		return host_write(root, change->wanted, "%s", change->path);
	return change->wanted ? host_replace(root, change->wanted, change->path)
			      : host_remove(root, change->path);
}

/* An interrupt that the kernel has tied to a core itself: of a queue of its own. */
static bool is_kernels_own(const struct tune_change *change, int rc)
{
	return strncmp(change->path, "proc/irq/", 9) == 0 && (rc == -EIO || rc == -EPERM);
}

static void carry_out(const struct host_root *root, struct tune_change *change)
{
	char *after = NULL;
	int rc = write_change(root, change);

	if (rc < 0) {
		change->outcome = is_kernels_own(change, rc) ? TUNE_LEFT : TUNE_REFUSED;
		snprintf(change->note, sizeof(change->note), "%s",
			 is_kernels_own(change, rc) ? "the kernel keeps it itself" : strerror(-rc));
		return;
	}
	/* Of hugepages the kernel gives what it finds, and says nothing. */
	rc = tune_read(root, change->path, change->file, &after);
	bool taken = rc == 0 && same(change, after, change->wanted);
	change->outcome = taken ? TUNE_DONE : TUNE_REFUSED;
	if (!taken)
		snprintf(change->note, sizeof(change->note), "it is %.60s now",
			 after ? after : "not readable");
	free(after);
}

static int read_state(struct tune_state *ret, const struct host_root *root, char *why,
		      size_t why_bytes)
{
	char boot[HOST_TEXT_BYTES];
	int rc = tune_state_read(ret, root);

	if (rc < 0) {
		snprintf(why, why_bytes, "/" TUNE_STATE ": %s", error_text(rc));
		return rc;
	}
	if (host_text(root, boot, "proc/sys/kernel/random/boot_id") < 0)
		boot[0] = 0;
	tune_state_restart(ret, boot);
	return 0;
}

static int write_state(const struct tune_state *state, const struct host_root *root, char *why,
		       size_t why_bytes)
{
	int rc = tune_state_write(state, root);

	if (rc < 0)
		snprintf(why, why_bytes, "/" TUNE_STATE ": %s", error_text(rc));
	return rc;
}

/* What was not changed needs no undoing, unless an earlier run did. */
static void forget_unchanged(struct tune_state *state, const struct host_root *root,
			     const struct tune_change *change)
{
	struct tune_record *record = tune_state_find(state, change->path);
	char *now = NULL;

	if (!record || change->outcome == TUNE_DONE ||
	    tune_read(root, change->path, change->file, &now) < 0)
		return;
	if (same(change, now, record->former)) {
		tune_state_remove(state, record);
	} else if (now) {
		/* Taken in part: an undo has to know it again. */
		free(record->set);
		record->set = now;
		return;
	}
	free(now);
}

int tune_apply(struct tune *tune, const struct host_root *root, char *why, size_t why_bytes)
{
	struct tune_state state;
	int rc = read_state(&state, root, why, why_bytes);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < tune->count && rc == 0; i++)
		rc = tune_state_add(&state, tune->at[i].path, tune->at[i].file, tune->at[i].now,
				    tune->at[i].wanted);
	if (rc < 0)
		snprintf(why, why_bytes, "%s", error_text(rc));
	else if (tune->count > 0)
		rc = write_state(&state, root, why, why_bytes);
	for (size_t i = 0; i < tune->count && rc == 0; i++)
		carry_out(root, &tune->at[i]);
	for (size_t i = 0; i < tune->count && rc == 0; i++)
		forget_unchanged(&state, root, &tune->at[i]);
	if (rc == 0 && tune->count > 0)
		rc = write_state(&state, root, why, why_bytes);
	tune_state_free(&state);
	return rc;
}

/* ---- taking back ---- */

/* Adds the change that undoes a record, where there is one to make.  -errno. */
static int plan_undo(struct tune *tune, const struct host_root *root,
		     const struct tune_record *record)
{
	char *now = NULL;
	int read = tune_read(root, record->path, record->file, &now);
	int rc = tune_add(tune, record->path, record->file, now, record->former, "");

	if (rc == 0) {
		struct tune_change *change = &tune->at[tune->count - 1];
		if (read < 0 || same(change, now, record->former)) {
			change->outcome = TUNE_DONE;
			snprintf(change->note, sizeof(change->note), "%s",
				 read < 0 ? "it is gone" : "it was so already");
		} else if (!same(change, now, record->set)) {
			change->outcome = TUNE_LEFT;
			snprintf(change->note, sizeof(change->note),
				 "somebody has changed it since");
		}
	}
	free(now);
	return rc;
}

int tune_undo(struct tune *ret, const struct host_root *root, bool dry, char *why, size_t why_bytes)
{
	struct tune_state state;
	int rc = read_state(&state, root, why, why_bytes);

	*ret = (struct tune){0};
	if (rc < 0)
		return rc;
	/* The last first: a value may have been set for another's sake. */
	for (size_t i = state.count; i > 0 && rc == 0; i--)
		rc = plan_undo(ret, root, &state.at[i - 1]);
	if (rc < 0)
		snprintf(why, why_bytes, "%s", error_text(rc));
	for (size_t i = 0; i < ret->count && rc == 0 && !dry; i++) {
		struct tune_change *change = &ret->at[i];
		if (change->outcome == TUNE_PLANNED)
			carry_out(root, change);
		if (change->outcome != TUNE_REFUSED)
			tune_state_remove(&state, tune_state_find(&state, change->path));
	}
	if (rc == 0 && !dry)
		rc = write_state(&state, root, why, why_bytes);
	tune_state_free(&state);
	if (rc < 0)
		tune_free(ret);
	return rc;
}
