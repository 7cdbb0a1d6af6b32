/* `sluice bench`: the benchmark suite is a program of its own, sluice-bench, as it brings the
 * client libraries of others along.  It lies beside this one, where the build leaves it, in
 * libexec, or somewhere in PATH. */
#include "client/command/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char program[] = "sluice-bench";

/* Only returns when it is not there: -errno. */
static int try(const char *folder, const char *below, char **argv)
{
	char path[4096];
	int length = snprintf(path, sizeof(path), "%s/%s%s", folder, below, program);

	if (length < 0 || (size_t)length >= sizeof(path))
		return -ENAMETOOLONG;
	execv(path, argv);
	return -errno;
}

static int try_all(char **argv)
{
	static const char *const below[] = {"", "../bench/suite/", "../libexec/sluice/"};
	char self[4096];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int rc = -ENOENT;

	if (length > 0) {
		self[length] = 0;
		*strrchr(self, '/') = 0;
		for (size_t i = 0; rc == -ENOENT && i < sizeof(below) / sizeof(below[0]); i++)
			rc = try(self, below[i], argv);
	}
	if (rc != -ENOENT)
		return rc;
	execvp(program, argv);
	return -errno;
}

int verb_bench(struct invocation *invocation)
{
	char **argv = calloc(invocation->word_count + 2, sizeof(*argv));

	if (!argv) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	argv[0] = program;
	/* execv takes them as they are, and changes none. */
	if (invocation->word_count)
		memcpy(argv + 1, invocation->words, invocation->word_count * sizeof(*argv));
	int rc = try_all(argv);
	free(argv);
	complain("%s: %s", program, strerror(-rc));
	if (rc == -ENOENT)
		complain("the benchmark suite is not installed: it would lie beside sluice");
	return EXIT_FAILED;
}
