/* hw/doctor/doctor.h: checks of the host: what is found, how bad that is, and what mends it.
 *
 * One table (checks.def) has them all; each is a function that looks at the host and says one
 * thing. None changes anything. */
#pragma once
#include "hw/host.h"

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL, VERDICT_SKIPPED };

enum { FINDING_BYTES = 512 };

struct finding;

struct host_check {
	const char *id; /* stable: scripts may name it */
	const char *area;
	enum verdict severity; /* of a fault: WARN or FAIL */
	const char *title;
	const char *why; /* it matters: one sentence */
	void (*run)(const struct host *host, struct finding *finding);
};

struct finding {
	const struct host_check *check;
	enum verdict verdict;
	char found[FINDING_BYTES]; /* a sentence with what was measured */
	char cure[FINDING_BYTES];  /* a command, or a line for a file; "" where nothing needs one */
};

enum check_index {
#define CHECK(id, area, severity, title, function, why) CHECK_##function,
#include "hw/doctor/checks.def"
#undef CHECK
	CHECK_COUNT
};

extern const struct host_check host_checks[CHECK_COUNT];

/* All of them, in the table's order. */
void doctor_run(const struct host *host, struct finding ret[static CHECK_COUNT]);
const char *verdict_name(enum verdict verdict); /* "ok", "warn", "fail", "skipped" */

/* Memory that the broker's DPDK port wants as hugepages, of the NIC's node. */
#define DOCTOR_HUGE_BYTES (INT64_C(1) << 30)
#define DOCTOR_HUGE_PAGES (DOCTOR_HUGE_BYTES >> 21) /* of 2 MiB */
/* A core that takes longer to wake up is too deep asleep. */
enum { DOCTOR_WAKEUP_US = 50 };
/* A datagram socket of the broker asks for as much. */
enum { DOCTOR_SOCKET_BYTES = 8 << 20 };
