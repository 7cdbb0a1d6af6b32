#include "control/http/ask.h"

#include "base/bytes.h"
#include "control/errand.h"
#include "control/view.h"

#include <errno.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>

struct ask {
	struct errand errand;
	void (*look)(struct control *control, void *context);
	void *context;
	bool ended;
	sem_t done;
};

static void run(struct errand *errand, struct control *control)
{
	struct ask *ask = container_of(errand, struct ask, errand);

	if (control)
		ask->look(control, ask->context);
	ask->ended = !control;
	sem_post(&ask->done);
}

int ask_control(struct control *control, void (*look)(struct control *control, void *context),
		void *context)
{
	struct ask ask = {.errand.run = run, .look = look, .context = context};

	sem_init(&ask.done, 0, 0);
	control_send(control, &ask.errand);
	while (sem_wait(&ask.done) < 0)
		continue; /* a signal */
	sem_destroy(&ask.done);
	return ask.ended ? -ESHUTDOWN : 0;
}
