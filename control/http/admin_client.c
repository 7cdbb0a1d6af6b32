#include "control/http/admin_client.h"

#include "base/bytes.h"
#include "client/sluice.h"

int admin_client_init(struct admin_client *client, const char *urls)
{
	*client = (struct admin_client){.urls = urls};
	return -pthread_mutex_init(&client->lock, NULL);
}

void admin_client_fini(struct admin_client *client)
{
	admin_client_close(client);
	pthread_mutex_destroy(&client->lock);
}

/* Nobody waits longer for a page.  The address that the broker tells its clients may not lead back
 * in. */
static int set_options(struct sluice_options *options)
{
	static const char *const settings[][2] = {
		{"client.id", "sluiced-admin"},
		{"advertised.addresses", "false"},
		{"allow.auto.create.topics", "false"},
		{"default.api.timeout.ms", "15000"},
		{"delivery.timeout.ms", "15000"},
		{"request.timeout.ms", "10000"},
		{"topic.metadata.propagation.max.ms", "0"},
		{"fetch.max.wait.ms", "100"},
	};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < array_count(settings); i++)
		rc = sluice_options_set(options, settings[i][0], settings[i][1]);
	return rc;
}

static int open_client(struct admin_client *client)
{
	struct sluice_options *options = NULL;
	int rc = sluice_options_new(&options);

	if (rc == 0)
		rc = set_options(options);
	pthread_mutex_lock(&client->lock);
	if (rc == 0)
		rc = sluice_open(&client->client, client->urls, options);
	pthread_mutex_unlock(&client->lock);
	sluice_options_free(options);
	return rc;
}

int admin_client_open(struct admin_client *client, struct sluice_client **ret)
{
	int rc = client->client ? 0 : open_client(client);

	if (rc == 0)
		*ret = client->client;
	return rc;
}

void admin_client_close(struct admin_client *client)
{
	pthread_mutex_lock(&client->lock);
	if (client->client)
		sluice_close(client->client);
	client->client = NULL;
	pthread_mutex_unlock(&client->lock);
}

void admin_client_interrupt(struct admin_client *client)
{
	pthread_mutex_lock(&client->lock);
	if (client->client)
		sluice_interrupt(client->client);
	pthread_mutex_unlock(&client->lock);
}
