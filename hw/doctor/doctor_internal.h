/* hw/doctor/doctor_internal.h: how a check says what it found. */
#pragma once
#include "hw/doctor/doctor.h"

#define CHECK(id, area, severity, title, function, why)                                            \
	void check_##function(const struct host *host, struct finding *finding);
#include "hw/doctor/checks.def"
#undef CHECK

#define SAYS __attribute__((format(printf, 2, 3)))
void finding_ok(struct finding *finding, const char *format, ...) SAYS;
/* As severe as the table says. */
void finding_fault(struct finding *finding, const char *format, ...) SAYS;
/* A milder case of a check whose faults are severe. */
void finding_warn(struct finding *finding, const char *format, ...) SAYS;
void finding_skip(struct finding *finding, const char *format, ...) SAYS;
void finding_cure(struct finding *finding, const char *format, ...) SAYS;
#undef SAYS

/* The check concerns a NIC, and none is named: skipped.  Likewise hosts that are not the broker's
 * alone. */
bool skip_without_nic(const struct host *host, struct finding *finding);
bool skip_undedicated(const struct host *host, struct finding *finding);
/* "2-7", for sentences. */
enum { LIST_BYTES = 128 };
struct list_text {
	char text[LIST_BYTES];
};
struct list_text list_text(const struct cpus *cpus);
