/* What comes from outside about a host: lists of processors, names of PCI devices, and the state
 * file of `sluice tune`, from which root writes.  The first byte says which. */
#include "base/errors.h"
#include "hw/cpus.h"
#include "hw/nic.h"
#include "hw/tune/tune_state.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void parse_cpus(const char *text)
{
	static struct cpus cpus;
	static struct cpus again;
	char printed[8 * CPUS_MAX];

	if (cpus_parse(&cpus, text) < 0)
		return;
	for (int i = 0; i < cpus.count; i++)
		check(cpus.numbers[i] < CPUS_MAX &&
		      (i == 0 || cpus.numbers[i] > cpus.numbers[i - 1]));
	cpus_print(&cpus, printed, sizeof(printed));
	check(cpus_parse(&again, printed) == 0 && again.count == cpus.count);
}

static void parse_pci(const char *text)
{
	char pci[NIC_PCI_BYTES];
	char again[NIC_PCI_BYTES];

	if (!nic_pci_parse(text, pci))
		return;
	check(!strchr(pci, '/') && strlen(pci) == 12);
	check(nic_pci_parse(pci, again) && strcmp(pci, again) == 0);
}

static void parse_state(const char *text)
{
	struct tune_state state;
	int rc = tune_state_parse(&state, text);

	check(rc == 0 || rc == -ERR_FORMAT || rc == -ENOMEM);
	for (size_t i = 0; i < state.count; i++) {
		const struct tune_record *record = &state.at[i];
		check(record->path[0] != '/' && !strstr(record->path, ".."));
		check(record->set && (record->former || record->file));
	}
	tune_state_restart(&state, "another");
	for (size_t i = 0; i < state.count; i++)
		check(state.at[i].file);
	tune_state_free(&state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	uint8_t which = input_u8(&input);
	char *text = input_text(&input, 0);

	if (which == 'c')
		parse_cpus(text);
	else if (which == 'p')
		parse_pci(text);
	else
		parse_state(text);
	free(text);
	return 0;
}
