/* tests/sim/rot.h: bits that turn at rest, and what the broker says that it has lost by that.
 *
 * The harness's log tells both: `damaged`, whose records were hit, before the bit is turned, and
 * `quarantined`, what the broker's log says is lost.  Clients that are refused something find there
 * how far to pass over it, as from an operator.  From the harness's fiber. */
#pragma once

void rot_watch(void); /* takes note of what the broker says, from now on; after the first start */
/* A few bits, of what closed segments of the workload's topic hold, or of what is derived of it. */
void rot_some(void);
