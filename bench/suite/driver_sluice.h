/* bench/suite/driver_sluice.h: libsluice, as the producer's and the consumer's half need it. */
#pragma once
#include "bench/suite/driver.h"
#include "client/sluice.h"

/* A setting of the driver's own: where consumers go. */
#define NATIVE_CONSUMER_URL "consumer.url"

/* Errors are complained of.  *ret stays as it was then. */
int native_client_new(const struct driver_target *target, const char *url,
		      struct sluice_client **ret);
/* The broker's own answers have no errno: -EPROTO. */
int native_rc(int rc);
/* With the client's story of its last failure; returns native_rc of it. */
int native_complain(struct sluice_client *client, const char *what, int rc);

/* ---- the halves ---- */

int native_producer_new(const struct driver_target *target, driver_delivered *delivered,
			void *context, struct driver_producer **ret);
int native_produce(struct driver_producer *producer, const struct driver_record *record,
		   uint64_t tag);
int native_producer_poll(struct driver_producer *producer, unsigned timeout_us);
int native_producer_flush(struct driver_producer *producer, unsigned timeout_ms);
void native_producer_free(struct driver_producer *producer);

int native_consumer_new(const struct driver_target *target,
			const struct driver_consumer_options *options,
			struct driver_consumer **ret);
int native_consumer_poll(struct driver_consumer *consumer, unsigned timeout_us);
void native_consumer_free(struct driver_consumer *consumer);
