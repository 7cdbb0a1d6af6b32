/* control/counter_telemetry.h: what the shards count (dataplane/counters.def), summed, on DPDK's
 * telemetry socket; only with dpdk.telemetry. */
#pragma once

struct control;

void counter_telemetry_start(void); /* once, after EAL is up */
/* A new picture when it is time to; the control plane's thread. */
void counter_telemetry_turn(struct control *control);
void counter_telemetry_end(void);
