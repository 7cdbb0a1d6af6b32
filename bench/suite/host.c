/* bench/suite/host.c: what kind of machine this is, for whoever reads figures measured on it. */
#include "bench/suite/host_internal.h"

#include <ctype.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- texts ---- */

static void trim(char *text)
{
	size_t length = strlen(text);

	while (length && isspace((unsigned char)text[length - 1]))
		text[--length] = '\0';
	for (char *c = text; *c; c++)
		*c = iscntrl((unsigned char)*c) ? ' ' : *c;
}

bool host_line(char *text, size_t bytes, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	text[0] = '\0';
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(text, (int)bytes, file))
		text[0] = '\0';
	fclose(file);
	trim(text);
	return text[0];
}

void host_append(char *text, size_t bytes, const char *format, ...)
{
	size_t length = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + length, bytes - length, format, args);
	va_end(args);
}

/* What follows `name` and the separator in its first line; returns how many lines begin so. */
static unsigned value_in(const char *root, const char *file, const char *name, char separator,
			 char *text, size_t bytes)
{
	char path[PATH_MAX], line[1024];
	unsigned count = 0;

	snprintf(path, sizeof(path), "%s%s", root, file);
	FILE *in = fopen(path, "re");
	text[0] = '\0';
	while (in && fgets(line, sizeof(line), in)) {
		char *value = strchr(line, separator);
		if (!value || strncmp(line, name, strlen(name)) != 0)
			continue;
		trim(line);
		value += 1 + strspn(value + 1, " \t\"");
		value[strcspn(value, "\"")] = '\0';
		if (count++ == 0)
			snprintf(text, bytes, "%s", value);
	}
	if (in)
		fclose(in);
	return count;
}

/* ---- the machine ---- */

void host_describe_below(const char *root, struct host *ret, const char *data, const char *url)
{
	struct host host = {0};
	char text[64];

	host.cores = value_in(root, "/proc/cpuinfo", "processor", ':', text, sizeof(text));
	value_in(root, "/proc/cpuinfo", "model name", ':', host.cpu, sizeof(host.cpu));
	if (host_line(text, sizeof(text), "%s/proc/sys/kernel/osrelease", root))
		snprintf(host.kernel, sizeof(host.kernel), "Linux %s", text);
	value_in(root, "/etc/os-release", "PRETTY_NAME", '=', host.distribution,
		 sizeof(host.distribution));
	value_in(root, "/proc/meminfo", "MemTotal", ':', text, sizeof(text));
	host.memory_bytes = strtoull(text, NULL, 10) * 1024;
	host_line(host.governor, sizeof(host.governor),
		  "%s/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", root);
	host_line(text, sizeof(text), "%s/proc/loadavg", root);
	host.load_average = strtod(text, NULL);
	host_disk(root, data, host.disk, sizeof(host.disk));
	host_nic(root, url, host.nic, sizeof(host.nic));
	*ret = host;
}

void host_describe(struct host *ret, const char *data, const char *url)
{
	host_describe_below("", ret, data, url);
}
