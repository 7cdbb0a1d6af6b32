/* sluice doctor: what is wrong with this host for a broker, and what mends it. */
#include <string.h>

#include "client/command/host.h"
#include "client/command/output.h"
#include "hw/doctor/doctor.h"

static json_t *finding_object(const struct finding *finding)
{
	json_t *object = json_object();

	document_set_text(object, "status", verdict_name(finding->verdict));
	document_set_text(object, "area", finding->check->area);
	document_set_text(object, "id", finding->check->id);
	document_set_text(object, "title", finding->check->title);
	document_set_text(object, "severity", verdict_name(finding->check->severity));
	document_set_text(object, "found", finding->found);
	document_set_text(object, "why", finding->check->why);
	document_set_text(object, "cure", finding->cure[0] ? finding->cure : NULL);
	return object;
}

static size_t count_of(const struct finding *findings, enum verdict verdict)
{
	size_t count = 0;

	for (size_t i = 0; i < CHECK_COUNT; i++)
		count += findings[i].verdict == verdict;
	return count;
}

/* A table leaves out what was skipped; it is told of below it. */
static json_t *findings_object(const struct finding *findings, bool skipped)
{
	json_t *object = json_object();
	json_t *checks = json_array();

	for (enum verdict verdict = VERDICT_OK; verdict <= VERDICT_SKIPPED; verdict++)
		json_object_set_new(object, verdict_name(verdict),
				    json_integer((json_int_t)count_of(findings, verdict)));
	for (size_t i = 0; i < CHECK_COUNT; i++) {
		if (skipped || findings[i].verdict != VERDICT_SKIPPED)
			json_array_append_new(checks, finding_object(&findings[i]));
	}
	json_object_set_new(object, "checks", checks);
	return object;
}

/* Below the table, since sentences and commands are wider than columns. */
static void print_cures(const struct finding *findings)
{
	for (size_t i = 0; i < CHECK_COUNT; i++) {
		const struct finding *finding = &findings[i];
		if (finding->verdict != VERDICT_WARN && finding->verdict != VERDICT_FAIL)
			continue;
		printf("\n%s: %s.  %s.\n", finding->check->id, finding->found, finding->check->why);
		if (finding->cure[0])
			printf("    %s\n", finding->cure);
	}
}

static bool first_of_its_reason(const struct finding *findings, size_t index)
{
	for (size_t i = 0; i < index; i++) {
		if (findings[i].verdict == VERDICT_SKIPPED &&
		    strcmp(findings[i].found, findings[index].found) == 0)
			return false;
	}
	return findings[index].verdict == VERDICT_SKIPPED;
}

/* By reason: a host without a NIC of the broker's own has many of one. */
static void print_skipped(const struct finding *findings)
{
	for (size_t i = 0; i < CHECK_COUNT; i++) {
		if (!first_of_its_reason(findings, i))
			continue;
		printf("\n%s.  Skipped:", findings[i].found);
		for (size_t j = i; j < CHECK_COUNT; j++) {
			if (findings[j].verdict == VERDICT_SKIPPED &&
			    strcmp(findings[i].found, findings[j].found) == 0)
				printf(" %s", findings[j].check->id);
		}
		putchar('\n');
	}
}

int verb_doctor(struct invocation *invocation)
{
	static const struct column counts[] = {
		{"ok", "OK"}, {"warn", "WARN"}, {"fail", "FAIL"}, {"skipped", "SKIPPED"}, {0}};
	static const struct column checks[] = {
		{"status", "STATUS"}, {"area", "AREA"}, {"id", "CHECK"}, {"found", "FOUND"}, {0}};
	static const struct part parts[] = {
		{.columns = counts}, {.rows = "checks", .columns = checks}, {0}};
	static struct finding findings[CHECK_COUNT];
	static struct host host;
	struct host_root root;

	if (!host_root_of(invocation, &root))
		return EXIT_USAGE;
	int code = host_of(invocation, &root, &host);
	if (code == EXIT_DONE) {
		doctor_run(&host, findings);
		code = count_of(findings, VERDICT_FAIL) ? EXIT_FAILED : EXIT_DONE;
		bool table = invocation->output == OUTPUT_TABLE;
		code = document_print(invocation, findings_object(findings, !table), parts, code);
		if (table) {
			print_cures(findings);
			print_skipped(findings);
			code = output_finish(code);
		}
	}
	host_root_close(&root);
	return code;
}
