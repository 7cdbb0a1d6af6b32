/* EAL wants a command line.  Two forms of it:
 *
 *     embedded   --no-huge --no-shconf -m MB [--no-pci]     any user, starts in about 0.2 s
 *     hugepages  --in-memory                                nothing in the file system to share
 *
 * Neither leaves files that a second process would trip over.  22.11 refuses --in-memory together
 * with --no-huge. */
#include "dataplane/dpdk/eal.h"

#include "base/bytes.h"
#include "hw/cpus.h"

#include <errno.h>
#include <rte_config.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	MEGABYTES_MIN = 32,
	RING_BYTES = 12 << 10, /* a mesh ring with what the allocator adds */
	WORDS_MAX = 256,
	WORD_BYTES = 512,
};

/* EAL keeps pointers into its arguments for as long as the process lives. */
struct words {
	int count;
	bool overflow;
	char *at[WORDS_MAX + 1];
};

static void add(struct words *words, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct words *words, const char *format, ...)
{
	char text[WORD_BYTES];
	va_list arguments;

	va_start(arguments, format);
	int length = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	char *copy = length >= 0 && length < WORD_BYTES ? strdup(text) : NULL;
	if (!copy || words->count == WORDS_MAX) {
		words->overflow = true;
		free(copy);
		return;
	}
	words->at[words->count++] = copy;
}

static void add_devices(struct words *words, const struct eal_options *options)
{
	if (!options->device_count)
		add(words, "--no-pci");
	for (size_t i = 0; i < options->device_count; i++) {
		add(words, "-a");
		add(words, "%s", options->devices[i]);
	}
	for (size_t i = 0; i < options->vdev_count; i++) {
		add(words, "--vdev");
		add(words, "%s", options->vdevs[i]);
	}
}

static void add_memory(struct words *words, const struct eal_options *options)
{
	size_t rings = (size_t)options->thread_count * options->thread_count * RING_BYTES;

	if (options->hugepages) {
		add(words, "--in-memory");
		return;
	}
	add(words, "--no-huge");
	add(words, "--no-shconf");
	add(words, "-m");
	add(words, "%zu", MEGABYTES_MIN + ((rings + options->memory_bytes) >> 20));
}

static int check_options(const struct eal_options *options, char *why, size_t why_bytes)
{
	for (size_t i = 0; i < options->vdev_count + options->device_count; i++) {
		const char *word = i < options->vdev_count
					   ? options->vdevs[i]
					   : options->devices[i - options->vdev_count];
		if (word[0] == 0 || word[0] == '-' || strlen(word) >= WORD_BYTES) {
			snprintf(why, why_bytes, "\"%.64s\" is no device", word);
			return -EINVAL;
		}
	}
	return 0;
}

int eal_start_with(const struct eal_options *options, char *why, size_t why_bytes)
{
	static struct words words;
	static struct cpus cpus;
	int rc = check_options(options, why, why_bytes);

	if (rc < 0)
		return rc;
	rc = cpus_allowed(&cpus);
	if (rc < 0) {
		snprintf(why, why_bytes, "processors: %s", strerror(-rc));
		return rc;
	}
	add(&words, "sluiced");
	add_memory(&words, options);
	add_devices(&words, options);
	if (options->telemetry) {
		/* The socket lies in a folder of that name. */
		add(&words, "--file-prefix");
		add(&words, "sluice%ld", (long)getpid());
	} else {
		add(&words, "--no-telemetry");
	}
	/* One lcore: the shards are threads of ours, registered when they start. */
	add(&words, "-l");
	add(&words, "%d", cpus.numbers[0]);
	add(&words, "--log-level");
	add(&words, options->quiet ? "critical" : "warning");
	if (words.overflow) {
		snprintf(why, why_bytes, "too many devices");
		return -E2BIG;
	}
	/* EAL moves the pointers about. */
	static char *arguments[WORDS_MAX + 1];
	memcpy(arguments, words.at, sizeof(arguments));
	if (rte_eal_init(words.count, arguments) < 0) {
		snprintf(why, why_bytes, "DPDK's environment: %s", rte_strerror(rte_errno));
		return -rte_errno;
	}
	return cpus_allow(&cpus);
}

int eal_start(unsigned thread_count, char *why, size_t why_bytes)
{
	return eal_start_with(&(struct eal_options){.thread_count = thread_count}, why, why_bytes);
}

static size_t name_of(const char *vdev, char *ret, size_t bytes)
{
	size_t length = strcspn(vdev, ",");

	snprintf(ret, bytes, "%.*s", (int)length, vdev);
	return length;
}

int eal_add_vdev(const char *vdev, char *why, size_t why_bytes)
{
	char name[WORD_BYTES];
	size_t length = name_of(vdev, name, sizeof(name));
	int rc = rte_eal_hotplug_add("vdev", name, vdev[length] ? vdev + length + 1 : "");

	if (rc < 0)
		snprintf(why, why_bytes, "device %s: %s", name, strerror(-rc));
	return rc;
}

int eal_remove_vdev(const char *vdev)
{
	char name[WORD_BYTES];

	name_of(vdev, name, sizeof(name));
	return rte_eal_hotplug_remove("vdev", name);
}

void eal_stop(void)
{
	rte_eal_cleanup();
}
