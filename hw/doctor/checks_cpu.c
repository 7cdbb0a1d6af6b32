/* Checks of the processors: who runs where, how fast, and what interrupts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hw/doctor/doctor_internal.h"

#define CPU "sys/devices/system/cpu"

void check_cpu_count(const struct host *host, struct finding *finding)
{
	const struct topology *topology = &host->topology;

	if (topology->allowed.count >= 2)
		finding_ok(finding, "%d of %d processors (%d cores, %d nodes): %s",
			   topology->allowed.count, topology->online.count, topology->first.count,
			   topology->node_count, list_text(&topology->allowed).text);
	else
		finding_fault(finding,
			      "%d of %d processors may be used: shard and control plane "
			      "take turns",
			      topology->allowed.count, topology->online.count);
	if (finding->verdict != VERDICT_OK)
		finding_cure(finding, topology->online.count >= 2
					      ? "widen AllowedCPUs= of the service, or the taskset "
						"it is started with"
					      : "give the machine more processors");
}

/* "cpu.max" of control groups v2 is "QUOTA PERIOD", in us; "max" for none. */
static bool read_quota(const struct host *host, double *ret)
{
	char text[HOST_TEXT_BYTES];
	char group[HOST_PATH_BYTES];
	char *end;

	if (host_text(host->root, text, "proc/%s/cgroup", host->process) < 0 ||
	    !host_field(text, "0:", group, sizeof(group)) ||
	    host_text(host->root, text, "sys/fs/cgroup%s/cpu.max", group) < 0)
		return false;
	double quota = strtod(text, &end);
	if (end == text)
		return false;
	double period = strtod(end, NULL);
	*ret = quota / (period > 0 ? period : 100000);
	return true;
}

void check_cpu_quota(const struct host *host, struct finding *finding)
{
	double processors;

	if (!read_quota(host, &processors)) {
		finding_ok(finding, "No quota");
		return;
	}
	finding_fault(finding, "The control group gets the time of %.2f processors", processors);
	finding_cure(finding,
		     "systemctl set-property sluiced CPUQuota=   (or the container without "
		     "--cpus; --cpuset-cpus gives it whole cores)");
}

/* ---- cores of their own ---- */

static void cure_command_line(struct finding *finding, const char *words)
{
	finding_cure(finding,
		     "add %.200s to GRUB_CMDLINE_LINUX in /etc/default/grub, then "
		     "update-grub and reboot",
		     words);
}

void check_isolation(const struct host *host, struct finding *finding)
{
	const struct cpus *isolated = &host->topology.isolated;
	char words[2 * LIST_BYTES + 32];

	if (skip_undedicated(host, finding))
		return;
	if (isolated->count > 0) {
		finding_ok(finding, "Isolated: %s; shards have %s of them",
			   list_text(isolated).text, list_text(&host->layout.shards).text);
		return;
	}
	finding_fault(finding, "No core is isolated; the shards' would be %s",
		      list_text(&host->layout.shards).text);
	snprintf(words, sizeof(words), "isolcpus=%s", list_text(&host->layout.shards).text);
	cure_command_line(finding, words);
}

void check_nohz_full(const struct host *host, struct finding *finding)
{
	struct cpus ticking = host->layout.shards;
	char words[2 * LIST_BYTES + 32];

	if (skip_undedicated(host, finding))
		return;
	cpus_keep(&ticking, &host->topology.nohz_full, false);
	if (ticking.count == 0) {
		finding_ok(finding, "None while a shard polls: %s",
			   list_text(&host->topology.nohz_full).text);
		return;
	}
	finding_fault(finding, "Shards' cores with a tick: %s", list_text(&ticking).text);
	snprintf(words, sizeof(words), "nohz_full=%s rcu_nocbs=%s",
		 list_text(&host->layout.shards).text, list_text(&host->layout.shards).text);
	cure_command_line(finding, words);
}

void check_smt(const struct host *host, struct finding *finding)
{
	struct cpus busy = {0};
	struct cpus siblings;

	if (skip_undedicated(host, finding))
		return;
	for (int i = 0; i < host->layout.shards.count; i++) {
		topology_siblings(host->root, host->layout.shards.numbers[i], &siblings);
		cpus_keep(&siblings, &host->topology.online, true);
		cpus_keep(&siblings, &host->topology.isolated, false);
		for (int j = 0; j < siblings.count; j++)
			cpus_add(&busy, siblings.numbers[j]);
	}
	if (busy.count == 0) {
		finding_ok(finding, "Nothing else runs on the shards' cores");
		return;
	}
	finding_fault(finding, "Hyper-threads of the shards' cores are open to everything: %s",
		      list_text(&busy).text);
	finding_cure(finding,
		     "echo off > /sys/devices/system/cpu/smt/control   (or isolate %s too)",
		     list_text(&busy).text);
}

void check_numa_cores(const struct host *host, struct finding *finding)
{
	struct cpus far = host->layout.shards;
	int node = host->nic.node;

	if (skip_without_nic(host, finding))
		return;
	if (host->topology.node_count < 2 || node < 0 || node >= host->topology.node_count) {
		finding_ok(finding, "One memory node, or a NIC that belongs to none");
		return;
	}
	cpus_keep(&far, &host->topology.nodes[node], false);
	if (far.count == 0) {
		finding_ok(finding, "NIC and shards' cores %s are on node %d",
			   list_text(&host->layout.shards).text, node);
		return;
	}
	finding_fault(finding, "The NIC is on node %d; of the shards' cores, %s are not", node,
		      list_text(&far).text);
	finding_cure(finding,
		     "isolate cores of node %d (%s) instead, or put the NIC into a slot of "
		     "the other socket",
		     node, list_text(&host->topology.nodes[node]).text);
}

void check_numa_balancing(const struct host *host, struct finding *finding)
{
	int64_t value;

	if (host->topology.node_count < 2)
		finding_ok(finding, "One memory node");
	else if (host_number(host->root, &value, "proc/sys/kernel/numa_balancing") < 0)
		finding_ok(finding, "The kernel has none");
	else if (value == 0)
		finding_ok(finding, "Off");
	else
		finding_fault(finding, "On, with %d nodes", host->topology.node_count);
	if (finding->verdict != VERDICT_OK)
		finding_cure(finding, "sysctl -w kernel.numa_balancing=0   (sluice tune does it)");
}

/* ---- speed ---- */

void check_governor(const struct host *host, struct finding *finding)
{
	char text[HOST_TEXT_BYTES];
	struct cpus slow = {0};
	int known = 0;

	for (int i = 0; i < host->layout.shards.count; i++) {
		int cpu = host->layout.shards.numbers[i];
		if (host_text(host->root, text, CPU "/cpu%d/cpufreq/scaling_governor", cpu) < 0)
			continue;
		known++;
		if (strcmp(text, "performance") != 0)
			cpus_add(&slow, cpu);
	}
	if (known == 0)
		finding_ok(finding, "The frequency is not this kernel's to choose");
	else if (slow.count == 0)
		finding_ok(finding, "performance, on all %d shards' cores", known);
	else
		finding_fault(finding, "Not `performance` on cores %s", list_text(&slow).text);
	if (slow.count > 0)
		finding_cure(finding, "cpupower frequency-set -g performance   (sluice tune does "
				      "it)");
}

void check_turbo(const struct host *host, struct finding *finding)
{
	int64_t no_turbo;
	int64_t boost;

	if (host_number(host->root, &no_turbo, CPU "/intel_pstate/no_turbo") == 0) {
		if (no_turbo == 0)
			finding_ok(finding, "On");
		else
			finding_fault(finding, "Off (intel_pstate)");
		if (no_turbo != 0)
			finding_cure(finding,
				     "echo 0 > /sys/devices/system/cpu/intel_pstate/no_turbo");
	} else if (host_number(host->root, &boost, CPU "/cpufreq/boost") == 0) {
		if (boost != 0)
			finding_ok(finding, "On");
		else
			finding_fault(finding, "Off");
		if (boost == 0)
			finding_cure(finding, "echo 1 > /sys/devices/system/cpu/cpufreq/boost");
	} else {
		finding_ok(finding, "Not this kernel's to choose");
	}
}

/* The longest wake-up, in us, of the states that a core may go into; -1 none is known. */
static int64_t longest_wakeup(const struct host *host, int cpu)
{
	struct host_names states;
	int64_t longest = -1;
	int64_t disabled;
	int64_t latency;

	if (host_names(host->root, &states, CPU "/cpu%d/cpuidle", cpu) < 0)
		return -1;
	for (size_t i = 0; i < states.count; i++) {
		if (host_number(host->root, &disabled, CPU "/cpu%d/cpuidle/%s/disable", cpu,
				states.at[i]) < 0 ||
		    host_number(host->root, &latency, CPU "/cpu%d/cpuidle/%s/latency", cpu,
				states.at[i]) < 0)
			continue;
		if (!disabled && latency > longest)
			longest = latency;
	}
	host_names_free(&states);
	return longest;
}

void check_idle_states(const struct host *host, struct finding *finding)
{
	int64_t longest = -1;

	for (int i = 0; i < host->layout.shards.count; i++) {
		int64_t latency = longest_wakeup(host, host->layout.shards.numbers[i]);
		longest = latency > longest ? latency : longest;
	}
	if (longest < 0)
		finding_ok(finding, "Not this kernel's to choose");
	else if (longest <= DOCTOR_WAKEUP_US)
		finding_ok(finding, "A shard's core wakes up within %lld us", (long long)longest);
	else
		finding_fault(finding, "A shard's core may take %lld us to wake up",
			      (long long)longest);
	if (longest > DOCTOR_WAKEUP_US)
		finding_cure(finding, "cpupower idle-set -D %d   (sluice tune does it)",
			     DOCTOR_WAKEUP_US);
}

/* ---- interrupts ---- */

static bool is_running(const struct host *host, const char *program)
{
	char name[HOST_TEXT_BYTES];
	struct host_names names;
	bool found = false;

	if (host_names(host->root, &names, "proc") < 0)
		return false;
	for (size_t i = 0; i < names.count && !found; i++) {
		found = strspn(names.at[i], "0123456789") == strlen(names.at[i]) &&
			host_text(host->root, name, "proc/%s/comm", names.at[i]) == 0 &&
			strcmp(name, program) == 0;
	}
	host_names_free(&names);
	return found;
}

void check_irqbalance(const struct host *host, struct finding *finding)
{
	if (skip_undedicated(host, finding))
		return;
	/* It leaves isolated cores alone. */
	if (!is_running(host, "irqbalance"))
		finding_ok(finding, "Not running");
	else if (host->topology.isolated.count > 0)
		finding_ok(finding, "Running, and it leaves isolated cores alone");
	else
		finding_fault(finding, "Running, and no core is isolated");
	if (finding->verdict == VERDICT_WARN)
		finding_cure(finding,
			     "systemctl disable --now irqbalance   (or isolate the shards' "
			     "cores)");
}

/* Interrupts that may go to a shard's core.  Those of a queue that the kernel has bound to its core
 * are not ours to move, and stop when the NIC is the broker's. */
static int count_interrupts(const struct host *host, char *first, size_t first_bytes)
{
	struct host_names numbers;
	struct cpus cpus;
	int count = 0;

	if (host_names(host->root, &numbers, "proc/irq") < 0)
		return 0;
	for (size_t i = 0; i < numbers.count; i++) {
		if (host_cpus(host->root, &cpus, "proc/irq/%s/smp_affinity_list", numbers.at[i]) <
		    0)
			continue;
		cpus_keep(&cpus, &host->layout.shards, true);
		if (cpus.count > 0 && count++ == 0)
			snprintf(first, first_bytes, "%.15s", numbers.at[i]);
	}
	host_names_free(&numbers);
	return count;
}

void check_irq_affinity(const struct host *host, struct finding *finding)
{
	char first[16] = "";

	if (skip_undedicated(host, finding))
		return;
	int count = count_interrupts(host, first, sizeof(first));
	if (count == 0) {
		finding_ok(finding, "None");
		return;
	}
	finding_fault(finding, "%d interrupts may go to the shards' cores, number %s first", count,
		      first);
	finding_cure(finding,
		     "echo %s > /proc/irq/%s/smp_affinity_list   (sluice tune does it for "
		     "all)",
		     list_text(&host->layout.others).text, first);
}

void check_clock_source(const struct host *host, struct finding *finding)
{
	static const char *const slow[] = {"hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit"};
	char text[HOST_TEXT_BYTES];
	char available[HOST_TEXT_BYTES];

	if (host_text(host->root, text, CPU "/../clocksource/clocksource0/current_clocksource") <
	    0) {
		finding_skip(finding, "The kernel does not say");
		return;
	}
	for (size_t i = 0; i < sizeof(slow) / sizeof(slow[0]); i++) {
		if (strcmp(text, slow[i]) == 0)
			finding_fault(finding, "%s, which is outside of the core", text);
	}
	if (finding->verdict == VERDICT_SKIPPED) {
		finding_ok(finding, "%s", text);
		return;
	}
	if (host_text(host->root, available,
		      CPU "/../clocksource/clocksource0/available_clocksource") == 0 &&
	    host_word(available, "tsc"))
		finding_cure(finding, "echo tsc > "
				      "/sys/devices/system/clocksource/clocksource0/"
				      "current_clocksource");
	else
		finding_cure(finding, "the kernel gave the TSC up (dmesg | grep -i tsc): newer "
				      "firmware, or clocksource=tsc tsc=reliable on its command "
				      "line");
}
