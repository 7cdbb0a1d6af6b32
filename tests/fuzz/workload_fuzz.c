/* A workload file, whatever is in it. */
#include "base/check.h"
#include "bench/suite/workload.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

static void check_taken(struct workload *workload)
{
	char why[512] = "";
	size_t count = 0;
	int rc = workload_check(workload, why, sizeof(why));

	check(rc == 0 || rc == -EINVAL);
	check(rc == 0 || why[0]);
	check(memchr(workload->name, 0, sizeof(workload->name)));
	check(workload->topics >= 1 && workload->producers_per_topic >= 1);
	check(workload->message_bytes >= WORKLOAD_MESSAGE_BYTES_MIN);
	check(workload->message_bytes <= WORKLOAD_MESSAGE_BYTES_MAX);
	check(workload->random_bytes_share >= 0 && workload->random_bytes_share <= 1);
	for (; workload->topic_configs[count]; count++)
		check(strchr(workload->topic_configs[count], '='));
	check(count < WORKLOAD_SETTINGS_MAX);
	workload_fini(workload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct workload workload;
	char why[512] = "";
	int rc;

	if (size > WORKLOAD_FILE_BYTES_MAX)
		return 0;
	rc = workload_parse_yaml("f.yaml", data, size, &workload, why, sizeof(why));
	check(rc == 0 || rc == -EINVAL);
	if (rc == 0)
		check_taken(&workload);
	else
		check(strncmp(why, "f.yaml:", 7) == 0);
	return 0;
}
