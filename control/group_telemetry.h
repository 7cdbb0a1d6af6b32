/* control/group_telemetry.h: how far groups are behind, on DPDK's telemetry socket. */
#pragma once

struct lag_picture;

/* Once, after EAL is up. */
void group_telemetry_start(void);
/* What is told from now on, which becomes ours; null: nothing.  The coordinator's thread; never
 * waits. */
void group_telemetry_publish(struct lag_picture *picture);
/* By whoever else wants to look, on any thread: null when there is none; then put_back all the
 * same. */
const struct lag_picture *group_telemetry_take(void);
void group_telemetry_put_back(const struct lag_picture *picture);
