/* control/counter_telemetry.h: what the shards count (dataplane/counters.def), summed, on DPDK's
 * telemetry socket; only with dpdk.telemetry. */
#pragma once

void counter_telemetry_start(void); /* once, after EAL is up */
