#include "bench/suite/sending.h"

#include "bench/suite/driver_common.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int sending_init(struct sending *sending, const struct driver *driver,
		 const struct driver_target *target, const char *const *settings, uint32_t window,
		 driver_delivered *delivered, void *context)
{
	int rc = driver_settings_check(driver, target->settings, settings);

	*sending = (struct sending){
		.driver = driver,
		.delivered = delivered,
		.context = context,
		.unacknowledged = target->acks == DRIVER_ACKS_NONE,
		.linger_us = target->linger_us,
	};
	if (rc == 0)
		rc = driver_no_compression(driver, target);
	if (rc < 0)
		return rc;
	sending->url = strdup(target->url);
	if (!sending->url)
		return -ENOMEM;
	return window_init(&sending->window, target->window ? target->window : window);
}

void sending_fini(struct sending *sending)
{
	topics_fini(&sending->topics);
	window_fini(&sending->window);
	free(sending->url);
}

int sending_end(struct sending *sending, uint64_t sequence, int rc)
{
	uint64_t tag;

	if (window_end(&sending->window, sequence, &tag) < 0)
		return 0;
	sending->delivered(sending->context, tag, rc);
	return 1;
}

int sending_end_before(struct sending *sending, uint64_t sequence, int rc)
{
	return window_end_before(&sending->window, sequence, sending->delivered, sending->context,
				 rc);
}

int sending_end_all(struct sending *sending, int rc)
{
	return sending_end_before(sending, sending->window.next, rc);
}

void sending_not_stored(struct sending *sending, const char *why, int length)
{
	if (!sending->complained)
		driver_complain(sending->driver, "not stored: %.*s", length, why);
	sending->complained = true;
}
