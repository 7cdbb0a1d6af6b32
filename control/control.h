/* control/control.h: the control plane: the thread that decides, never the one that moves bytes.
 *
 * It owns the catalog, starts and stops the shards, and answers the requests that change or
 * describe the cluster.  Phases: started -> running -> stopping -> freed. */
#pragma once
#include <stddef.h>

struct config;
struct control;
struct data_folder;

/* Opens the catalog, the listeners and the shards.  `folder` lives as long as the control
 * plane, `config` too.  Called by the main thread, which is the control plane's from then on; once
 * in a process, as DPDK's environment starts once.  `why` gets the sentence for the operator. */
int control_start(struct control **ret, const struct config *config,
		  const struct data_folder *folder, char *why, size_t why_bytes);
/* Serves until control_stop, then drains and closes every shard.  0, or -errno. */
int control_run(struct control *control);
/* Begins the end.  Any thread, and a signal handler. */
void control_stop(struct control *control);
/* `load` reads the settings again, as the process did at its start: on the control plane's thread,
 * when control_reload asks for it.  -ERR_CONFIG or -errno with the reason in `why`. */
void control_reloads_with(struct control *control,
			  int (*load)(struct config *ret, char *why, size_t why_bytes));
void control_reload(struct control *control); /* any thread, and a signal handler */
void control_free(struct control *control); /* after control_run, or a failed start; null is fine */
