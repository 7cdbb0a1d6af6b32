#include "hw/doctor/doctor_internal.h"

#include <stdarg.h>
#include <stdio.h>

const struct host_check host_checks[CHECK_COUNT] = {
#define CHECK(id, area, severity, title, function, why)                                            \
	{id, area, VERDICT_##severity, title, why, check_##function},
#include "hw/doctor/checks.def"
#undef CHECK
};

const char *verdict_name(enum verdict verdict)
{
	static const char *const names[] = {"ok", "warn", "fail", "skipped"};

	return names[verdict];
}

void doctor_run(const struct host *host, struct finding ret[static CHECK_COUNT])
{
	for (size_t i = 0; i < CHECK_COUNT; i++) {
		ret[i] = (struct finding){.check = &host_checks[i], .verdict = VERDICT_SKIPPED};
		host_checks[i].run(host, &ret[i]);
	}
}

#define SAY(finding, to, format)                                                                   \
	do {                                                                                       \
		va_list arguments;                                                                 \
		va_start(arguments, format);                                                       \
		vsnprintf((finding)->to, sizeof((finding)->to), format, arguments);                \
		va_end(arguments);                                                                 \
	} while (0)

void finding_ok(struct finding *finding, const char *format, ...)
{
	finding->verdict = VERDICT_OK;
	SAY(finding, found, format);
}

void finding_fault(struct finding *finding, const char *format, ...)
{
	finding->verdict = finding->check->severity;
	SAY(finding, found, format);
}

void finding_warn(struct finding *finding, const char *format, ...)
{
	finding->verdict = VERDICT_WARN;
	SAY(finding, found, format);
}

void finding_skip(struct finding *finding, const char *format, ...)
{
	finding->verdict = VERDICT_SKIPPED;
	SAY(finding, found, format);
}

void finding_cure(struct finding *finding, const char *format, ...)
{
	SAY(finding, cure, format);
}

bool skip_without_nic(const struct host *host, struct finding *finding)
{
	if (!host->has_nic)
		finding_skip(finding, "No NIC is named (--nic) or given to a process");
	return !host->has_nic;
}

bool skip_undedicated(const struct host *host, struct finding *finding)
{
	if (!host->layout.dedicated)
		finding_skip(finding, "Matters on a host of four cores and more with a NIC (--nic) "
				      "or isolated cores of the broker's own");
	return !host->layout.dedicated;
}

struct list_text list_text(const struct cpus *cpus)
{
	struct list_text list;

	cpus_print(cpus, list.text, sizeof(list.text));
	return list;
}
