/* tests/sim/accidents.h: the broker's lives and deaths, and what else goes wrong around it.
 *
 * From the harness's fiber; each start, stop and crash is told in its log. */
#pragma once
#include <stdbool.h>

/* Waits until it is ready.  `may_fail`: an error of the disk's may keep it from that, and is no
 * promise broken. */
void start_broker(bool may_fail);
void stop_broker(void); /* waits for its end */
void kill_broker(bool power);
/* Starts it where it has ended by itself, as it may after errors of its disk. */
void see_to_broker(void);
void have_accidents(void); /* all of the workload's, one after another */
