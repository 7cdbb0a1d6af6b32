/* What a broker wants of a host, value by value; checks.def says why. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hw/doctor/doctor.h"
#include "hw/tune/tune_internal.h"

#define CPU "sys/devices/system/cpu"
#define THP "sys/kernel/mm/transparent_hugepage/enabled"

struct plan {
	struct tune *tune;
	const struct host *host;
	int rc; /* sticky */
};

/* A value that is there and is another becomes `wanted`. */
__attribute__((format(printf, 4, 5))) static void set(struct plan *plan, const char *check,
						      const char *wanted, const char *format, ...)
{
	char path[TUNE_PATH_BYTES];
	char now[HOST_TEXT_BYTES];
	va_list arguments;

	va_start(arguments, format);
	int length = vsnprintf(path, sizeof(path), format, arguments);
	va_end(arguments);
	if (plan->rc < 0 || length >= (int)sizeof(path) ||
	    tune_value(plan->host->root, path, now) < 0 || tune_same(path, now, wanted))
		return;
	plan->rc = tune_add(plan->tune, path, false, now, wanted, check);
}

/* A number that is there and is less becomes `least`. */
static void raise_to(struct plan *plan, const char *check, int64_t least, const char *path)
{
	char wanted[32];
	int64_t now;

	if (host_number(plan->host->root, &now, "%s", path) < 0 || now >= least)
		return;
	snprintf(wanted, sizeof(wanted), "%lld", (long long)least);
	set(plan, check, wanted, "%s", path);
}

/* ---- processors ---- */

static void plan_speed(struct plan *plan)
{
	const struct cpus *shards = &plan->host->layout.shards;

	for (int i = 0; i < shards->count; i++)
		set(plan, "governor", "performance", CPU "/cpu%d/cpufreq/scaling_governor",
		    shards->numbers[i]);
	set(plan, "turbo", "0", CPU "/intel_pstate/no_turbo");
	if (plan->host->topology.node_count > 1)
		set(plan, "numa-balancing", "0", "proc/sys/kernel/numa_balancing");
}

static void plan_idle_states_of(struct plan *plan, int cpu)
{
	struct host_names states;
	int64_t latency;

	if (host_names(plan->host->root, &states, CPU "/cpu%d/cpuidle", cpu) < 0)
		return;
	for (size_t i = 0; i < states.count; i++) {
		if (host_number(plan->host->root, &latency, CPU "/cpu%d/cpuidle/%s/latency", cpu,
				states.at[i]) == 0 &&
		    latency > DOCTOR_WAKEUP_US)
			set(plan, "idle-states", "1", CPU "/cpu%d/cpuidle/%s/disable", cpu,
			    states.at[i]);
	}
	host_names_free(&states);
}

/* What remains of an interrupt's cores without the shards', or all that are not theirs. */
static void plan_interrupt(struct plan *plan, const char *number)
{
	const struct layout *layout = &plan->host->layout;
	char wanted[HOST_TEXT_BYTES];
	struct cpus before;
	struct cpus after;

	if (host_cpus(plan->host->root, &before, "proc/irq/%s/smp_affinity_list", number) < 0)
		return;
	after = before;
	cpus_keep(&after, &layout->shards, false);
	if (after.count == before.count)
		return;
	cpus_print(after.count ? &after : &layout->others, wanted, sizeof(wanted));
	set(plan, "irq-affinity", wanted, "proc/irq/%s/smp_affinity_list", number);
}

/* Of interrupts that are asked for from now on: 32 processors a word, the highest first. */
static void plan_default_interrupts(struct plan *plan)
{
	const struct cpus *others = &plan->host->layout.others;
	const struct cpus *online = &plan->host->topology.online;
	uint32_t words[CPUS_MAX / 32] = {0};
	char wanted[CPUS_MAX / 32 * 9 + 1] = "";
	int last = online->count ? online->numbers[online->count - 1] / 32 : 0;
	size_t at = 0;

	for (int i = 0; i < others->count; i++)
		words[others->numbers[i] / 32] |= 1U << (others->numbers[i] % 32);
	for (int i = last; i >= 0; i--)
		at += (size_t)snprintf(wanted + at, sizeof(wanted) - at, i == last ? "%x" : ",%08x",
				       words[i]);
	set(plan, "irq-affinity", wanted, "proc/irq/default_smp_affinity");
}

/* On cores that only shards use. */
static void plan_dedicated(struct plan *plan)
{
	const struct cpus *shards = &plan->host->layout.shards;
	struct host_names numbers;

	if (!plan->host->layout.dedicated)
		return;
	for (int i = 0; i < shards->count; i++)
		plan_idle_states_of(plan, shards->numbers[i]);
	plan_default_interrupts(plan);
	if (host_names(plan->host->root, &numbers, "proc/irq") < 0)
		return;
	for (size_t i = 0; i < numbers.count; i++)
		plan_interrupt(plan, numbers.at[i]);
	host_names_free(&numbers);
}

/* ---- memory, sockets, disk ---- */

static void plan_memory(struct plan *plan)
{
	const struct nic *nic = &plan->host->nic;
	char text[HOST_TEXT_BYTES];
	char path[TUNE_PATH_BYTES];

	if (tune_value(plan->host->root, THP, text) == 0 && strcmp(text, "always") == 0)
		set(plan, "transparent-hugepages", "madvise", THP);
	if (host_text(plan->host->root, text, "proc/swaps") == 0 && strchr(text, '\n'))
		set(plan, "swap", "1", "proc/sys/vm/swappiness");
	if (!plan->host->has_nic)
		return;
	snprintf(path, sizeof(path),
		 "sys/devices/system/node/node%d/hugepages/hugepages-2048kB/nr_hugepages",
		 nic->node > 0 ? nic->node : 0);
	if (!host_exists(plan->host->root, "%s", path))
		snprintf(path, sizeof(path),
			 "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
	raise_to(plan, "hugepages", DOCTOR_HUGE_PAGES, path);
}

static void plan_sockets(struct plan *plan)
{
	raise_to(plan, "listen-queue", 4096, "proc/sys/net/core/somaxconn");
	raise_to(plan, "socket-buffers", DOCTOR_SOCKET_BYTES, "proc/sys/net/core/rmem_max");
	raise_to(plan, "socket-buffers", DOCTOR_SOCKET_BYTES, "proc/sys/net/core/wmem_max");
}

static void plan_disk(struct plan *plan)
{
	const struct disk *disk = &plan->host->disk;
	char now[HOST_TEXT_BYTES];
	char path[TUNE_PATH_BYTES];
	int64_t rotational = 0;

	snprintf(path, sizeof(path), "%s/scheduler", disk->queue);
	if (!plan->host->has_disk || !disk->queue[0] ||
	    tune_value(plan->host->root, path, now) < 0 || strcmp(now, "none") == 0 ||
	    strcmp(now, "mq-deadline") == 0)
		return;
	host_number(plan->host->root, &rotational, "%s/rotational", disk->queue);
	set(plan, "disk-scheduler", rotational ? "mq-deadline" : "none", "%s", path);
}

/* ---- the layout ---- */

static void plan_layout(struct plan *plan)
{
	char text[LAYOUT_TEXT_BYTES];
	char *now;

	if (plan->rc < 0)
		return;
	layout_print(&plan->host->layout, plan->host->has_nic ? &plan->host->nic : NULL,
		     plan->host->nic_driver, text);
	plan->rc = tune_read(plan->host->root, TUNE_LAYOUT, true, &now);
	if (plan->rc < 0)
		return;
	if (!now || strcmp(now, text) != 0)
		plan->rc = tune_add(plan->tune, TUNE_LAYOUT, true, now, text, "");
	free(now);
}

int tune_plan(struct tune *ret, const struct host *host)
{
	struct plan plan = {.tune = ret, .host = host};

	*ret = (struct tune){0};
	plan_speed(&plan);
	plan_dedicated(&plan);
	plan_memory(&plan);
	plan_sockets(&plan);
	plan_disk(&plan);
	plan_layout(&plan);
	if (plan.rc < 0)
		tune_free(ret);
	return plan.rc;
}
