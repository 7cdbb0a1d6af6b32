/* control/http/ask.h: an errand that somebody waits for. */
#pragma once

struct control;

/* Has the control plane call look(control, context) on its thread, and returns when it has.
 * `look` waits for nothing and is quick: all requests of clients that the control plane answers
 * wait meanwhile.  -ESHUTDOWN: the control plane has ended.  A worker's thread. */
int ask_control(struct control *control, void (*look)(struct control *control, void *context),
		void *context);
