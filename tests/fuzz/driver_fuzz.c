/* What the drivers of the benchmark suite are told: an address, then a line for each setting. */
#include "bench/suite/driver_common.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input.h"

#include <errno.h>

enum { SETTINGS_MAX = 8, KEY_BYTES = 16 };

static const struct driver fuzzed = {.name = "fuzzed"};
static unsigned complaints;

/* In place of the one that prints. */
void driver_complain(const struct driver *driver, const char *format, ...)
{
	complaints++;
}

static void check_address(const char *url)
{
	struct driver_address address;
	unsigned before = complaints;
	int rc = driver_address(&fuzzed, url, 9092, &address);

	check(rc == 0 || rc == -EINVAL);
	check((rc < 0) == (complaints > before));
	if (rc < 0)
		return;
	check(address.host[0] && address.port);
	check(memchr(address.host, 0, sizeof(address.host)));
	check(strstr(url, address.host));
}

static void check_setting(const struct driver_target *target, const char *setting)
{
	char key[KEY_BYTES] = "";
	const char *value = NULL;
	uint64_t number = 0;

	if (driver_setting_split(&fuzzed, setting, key, sizeof(key), &value) < 0)
		return;
	check(memchr(key, 0, sizeof(key)) && !strchr(key, '='));
	check(strlen(key) + 1 + strlen(value) == strlen(setting));
	check(driver_setting(target, key));
	if (driver_setting_number(&fuzzed, target, key, 0, 5, 1000, &number) == 0)
		check(number >= 5 && number <= 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const known[] = {"count", "batch", NULL};
	struct input input = {data, size};
	char *url = input_text(&input, '\n');
	char *settings[SETTINGS_MAX + 1] = {NULL};
	const struct driver_target target = {.settings = (const char *const *)settings};
	size_t count = 0, i;

	check_address(url);
	while (input.left && count < SETTINGS_MAX)
		settings[count++] = input_text(&input, '\n');
	for (i = 0; i < count; i++)
		check_setting(&target, settings[i]);
	driver_settings_check(&fuzzed, target.settings, known);
	for (i = 0; i < count; i++)
		free(settings[i]);
	free(url);
	return 0;
}
