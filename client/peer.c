#include "client/peer.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "client/options.h"
#include "dataplane/kafka/kafka_errors.h"
#include "kafka_messages.h"

enum {
	REQUEST_ARENA_BYTES = 256 << 20, /* a response's arrays; the frame itself is bounded */
	SIZE_BYTES = 4,                  /* that kafka_encode_request writes and the channel adds */
	VERSIONS_FIRST = 3,              /* of ApiVersions: any broker since 2.4 */
	PATH_KNOWN_SECONDS = 60,
};

static struct request *request_of(struct list *node)
{
	return container_of(node, struct request, link);
}

struct request *request_new(int16_t api_key, void (*done)(struct request *, int), void *user)
{
	struct request *request = calloc(1, sizeof(*request));

	if (!request)
		return NULL;
	request->api = kafka_api_find(api_key);
	check(request->api);
	request->version_max = request->api->max_version;
	request->done = done;
	request->user = user;
	arena_init(&request->arena, REQUEST_ARENA_BYTES);
	request->message = arena_calloc(&request->arena, 1, request->api->request_size);
	if (!request->message) {
		request_free(request);
		return NULL;
	}
	request->api->init_request(request->message);
	return request;
}

void request_free(struct request *request)
{
	if (!request)
		return;
	channel_buffer_release(request->frame);
	arena_fini(&request->arena);
	free(request);
}

static void finish(struct request *request, int rc)
{
	list_remove(&request->link);
	request->done(request, rc);
}

static void finish_all(struct list *requests, int rc)
{
	while (!list_empty(requests))
		finish(request_of(requests->next), rc);
}

/* ---- time ---- */

static uint64_t earliest(uint64_t at_ns, const struct list *requests)
{
	list_foreach(node, requests) {
		const struct request *request = request_of(node);
		if (request->deadline_ns < at_ns)
			at_ns = request->deadline_ns;
	}
	return at_ns;
}

static void set_timer(struct peer *peer)
{
	uint64_t at_ns = earliest(earliest(UINT64_MAX, &peer->waiting), &peer->sent);

	if (peer->state == PEER_IDLE && !list_empty(&peer->waiting) && peer->pause_until_ns < at_ns)
		at_ns = peer->pause_until_ns;
	if (peer->state == PEER_CONNECTING && peer->connect_deadline_ns < at_ns)
		at_ns = peer->connect_deadline_ns;
	if (peer->failing)
		at_ns = 0;
	/* The heap has had room for it since peer_init. */
	int rc = loop_arm(peer->loop, &peer->timer, at_ns);
	check(rc == 0);
}

static void pause_after_failure(struct peer *peer)
{
	uint64_t pause_ms = (uint64_t)peer->options->retry_backoff_ms;
	uint64_t most_ms = (uint64_t)peer->options->retry_backoff_max_ms;

	for (unsigned i = 0; i < peer->failures && pause_ms < most_ms; i++)
		pause_ms *= 2;
	if (pause_ms > most_ms)
		pause_ms = most_ms;
	peer->failures++;
	peer->pause_until_ns = loop_now() + pause_ms * NS_PER_MS;
}

bool peer_pausing(const struct peer *peer, uint64_t now_ns)
{
	return peer->state == PEER_IDLE && now_ns < peer->pause_until_ns;
}

/* ---- sending ---- */

/* The vectors without the size that the channel adds itself. */
static void strip_size(struct request *request)
{
	struct iovec *first = request->writer.vectors;

	first->iov_base = (uint8_t *)first->iov_base + SIZE_BYTES;
	first->iov_len -= SIZE_BYTES;
}

static void call_done(struct channel_call *call, int rc, struct channel_buffer *response);

static int encode(struct peer *peer, struct request *request)
{
	int16_t most = peer->versions.max[request->api->key];

	request->version = most < request->version_max ? most : request->version_max;
	request->correlation_id = peer->correlation_id++;
	if (request->version < request->api->min_version)
		return -ERR_VERSION;
	return kafka_encode_request(request->api, request->version, request->correlation_id,
				    peer->options->client_id, request->message, &request->arena,
				    &request->writer);
}

static void send_now(struct peer *peer, struct request *request)
{
	request->error = encode(peer, request);
	if (request->error) {
		/* Told from the timer's turn. */
		request->deadline_ns = 0;
		list_push_back(&peer->waiting, &request->link);
		return;
	}
	list_push_back(&peer->sent, &request->link);
	strip_size(request);
	request->call = (struct channel_call){
		.vectors = request->writer.vectors,
		.vector_count = request->writer.vector_count,
		.bytes = request->writer.bytes - SIZE_BYTES,
		.flags = request->flags,
		.done = call_done,
	};
	peer->channel->ops->call(peer->channel, &request->call);
}

static void send_waiting(struct peer *peer)
{
	struct list mine;

	list_init(&mine);
	list_move_all(&mine, &peer->waiting);
	while (!list_empty(&mine)) {
		struct request *request = request_of(mine.next);
		list_remove(&request->link);
		send_now(peer, request);
	}
	set_timer(peer);
}

static int decode(struct request *request)
{
	int32_t correlation_id;
	int rc = kafka_decode_response(request->api, request->version, request->frame->data,
				       request->frame->length, &request->arena, &correlation_id,
				       &request->response);

	if (rc == 0 && correlation_id != request->correlation_id)
		rc = -EPROTO;
	return rc == -ERR_BAD_REQUEST ? -EPROTO : rc;
}

static void call_done(struct channel_call *call, int rc, struct channel_buffer *response)
{
	struct request *request = container_of(call, struct request, call);
	struct peer *peer = request->peer;

	request->frame = response;
	if (rc == 0)
		peer->timeouts = 0;
	/* The channel does not know why it is closed. */
	if (rc == -ECANCELED && peer->failing)
		rc = peer->failing;
	if (rc == 0 && !(request->flags & CHANNEL_NO_RESPONSE))
		rc = decode(request);
	/* An answer that makes no sense: nothing after it can be trusted. */
	if (rc == -EPROTO && !peer->failing)
		peer->failing = rc;
	finish(request, rc);
	set_timer(peer);
}

/* ---- connecting and negotiating ---- */

static void close_channel(struct peer *peer, int rc)
{
	struct channel *channel = peer->channel;
	/* A broker may close what nobody uses: no reason to wait before the next request. */
	bool idle = peer->state == PEER_READY && list_empty(&peer->sent);
	struct list waited;

	if (peer->state > PEER_CONNECTING)
		peer->datagram_bytes_until_ns = loop_now() + PATH_KNOWN_SECONDS * NS_PER_SECOND;
	peer->channel = NULL;
	peer->state = PEER_IDLE;
	peer->failing = rc; /* for what is under way */
	/* What `done` sends anew goes into the list anew, and waits. */
	list_init(&waited);
	list_move_all(&waited, &peer->waiting);
	if (rc != -ECANCELED && !idle) {
		pause_after_failure(peer);
		if (peer->told)
			peer->told(peer, rc, peer->user);
	}
	if (channel)
		channel->ops->close(channel);
	peer->failing = 0;
	finish_all(&waited, rc);
	set_timer(peer);
}

static void channel_lost(struct channel_owner *owner, int rc)
{
	struct peer *peer = container_of(owner, struct peer, owner);

	/* A first answer of that size is not one: the bytes are another protocol's. */
	if (rc == -EMSGSIZE && peer->state == PEER_NEGOTIATING)
		rc = -EPROTO;
	close_channel(peer, rc);
}

static void take_versions(struct peer *peer, const struct kafka_api_versions_response *response)
{
	for (size_t i = 0; i < PEER_API_KEYS; i++)
		peer->versions.max[i] = -1;
	for (int32_t i = 0; i < response->api_keys_count; i++) {
		const struct kafka_api_versions_response_api_version *told = &response->api_keys[i];
		const struct kafka_api *api = kafka_api_find(told->api_key);
		if (!api || api->key >= PEER_API_KEYS)
			continue;
		int16_t most = told->max_version < api->max_version ? told->max_version
								    : api->max_version;
		if (most >= told->min_version && most >= api->min_version)
			peer->versions.max[api->key] = most;
	}
}

static void ask_versions(struct peer *peer, int16_t version);

/* Whatever version was asked for, a broker that does not know it answers with version 0. */
static bool refused_version(const struct request *request)
{
	return request->version > 0 && request->frame && request->frame->length >= 6 &&
	       (int16_t)load_be16(request->frame->data + 4) == KAFKA_UNSUPPORTED_VERSION;
}

static void versions_done(struct request *request, int rc)
{
	struct peer *peer = request->user;
	const struct kafka_api_versions_response *response = request->response;

	if (peer->state != PEER_NEGOTIATING) {
		request_free(request); /* the connection was lost */
		return;
	}
	if (refused_version(request)) {
		peer->failing = 0;
		request_free(request);
		ask_versions(peer, 0);
		return;
	}
	if (rc == 0 && response->error_code != KAFKA_NONE)
		rc = -EPROTO;
	if (rc < 0) {
		peer->failing = rc;
	} else {
		take_versions(peer, response);
		peer->state = PEER_READY;
		peer->failures = 0;
	}
	request_free(request);
	if (peer->state == PEER_READY)
		send_waiting(peer);
	else
		set_timer(peer);
}

static void ask_versions(struct peer *peer, int16_t version)
{
	struct request *request = request_new(KAFKA_API_VERSIONS, versions_done, peer);

	if (!request) {
		peer->failing = -ENOMEM;
		set_timer(peer);
		return;
	}
	struct kafka_api_versions_request *message = request->message;
	message->client_software_name = kafka_string_of("libsluice");
	message->client_software_version = kafka_string_of(sluice_version());
	request->peer = peer;
	request->version_max = version;
	request->deadline_ns = loop_now() + (uint64_t)peer->options->request_timeout_ms * NS_PER_MS;
	peer->versions.max[KAFKA_API_VERSIONS] = version;
	send_now(peer, request);
	set_timer(peer);
}

static void channel_opened(struct channel_owner *owner)
{
	struct peer *peer = container_of(owner, struct peer, owner);

	peer->datagram_bytes = peer->channel->datagram_bytes;
	peer->state = PEER_NEGOTIATING;
	peer->timeouts = 0;
	ask_versions(peer, VERSIONS_FIRST);
}

/* What passed a moment ago need not be found out again.  Paths change, and one that once seemed
 * narrow may not be: it is not believed for long. */
static uint32_t known_datagram_bytes(const struct peer *peer, uint64_t now_ns)
{
	return now_ns < peer->datagram_bytes_until_ns ? peer->datagram_bytes : 0;
}

static void begin_connecting(struct peer *peer, uint64_t now_ns)
{
	struct channel_settings settings = {
		.host = peer->url.host,
		.port = peer->url.port,
		.response_bytes_max = (size_t)peer->options->response_bytes_max,
		.connect_timeout_ms = peer->options->connect_timeout_ms,
		/* Our own deadlines come first; a fetch waits for records besides. */
		.request_timeout_ms = 2 * peer->options->request_timeout_ms +
				      peer->options->fetch_max_wait_ms,
		.datagram_bytes_max = known_datagram_bytes(peer, now_ns),
	};

	peer->state = PEER_CONNECTING;
	peer->connect_deadline_ns = now_ns +
				    (uint64_t)peer->options->connect_timeout_ms * NS_PER_MS;
	int rc = peer->ops->open(&peer->channel, peer->loop, &settings, &peer->owner);
	if (rc < 0)
		peer->failing = rc;
}

/* Of those that were sent.  One alone, or where its answer has to come before those of the others,
 * takes the connection with it, as does one too many; else they go on without it. */
static void expire_sent(struct peer *peer, uint64_t now_ns)
{
	bool expired = false, others = false;

	list_foreach(node, &peer->sent) {
		expired |= request_of(node)->deadline_ns <= now_ns;
		others |= request_of(node)->deadline_ns > now_ns;
	}
	if (!expired || peer->failing)
		return;
	if (!others || !peer->ops->cancel || peer->timeouts >= PEER_TIMEOUTS_MAX) {
		peer->failing = -ETIMEDOUT;
		return;
	}
	list_foreach(node, &peer->sent) {
		struct request *request = request_of(node);
		if (request->deadline_ns > now_ns)
			continue;
		request->deadline_ns = UINT64_MAX; /* it is done in a later turn */
		peer->timeouts++;
		peer->ops->cancel(peer->channel, &request->call);
	}
}

/* Requests whose time is over. */
static void expire(struct peer *peer, uint64_t now_ns)
{
	list_foreach_safe(node, after, &peer->waiting) {
		struct request *request = request_of(node);
		if (request->deadline_ns <= now_ns)
			finish(request, request->error ? request->error : -ETIMEDOUT);
	}
	expire_sent(peer, now_ns);
	if (peer->state == PEER_CONNECTING && peer->connect_deadline_ns <= now_ns && !peer->failing)
		peer->failing = -ETIMEDOUT;
}

static void timer_expired(struct timer *timer)
{
	struct peer *peer = container_of(timer, struct peer, timer);
	uint64_t now_ns = loop_now();

	expire(peer, now_ns);
	if (peer->failing)
		close_channel(peer, peer->failing);
	else if (peer->state == PEER_IDLE && !list_empty(&peer->waiting) &&
		 now_ns >= peer->pause_until_ns)
		begin_connecting(peer, now_ns);
	set_timer(peer);
}

void peer_send(struct peer *peer, struct request *request, int64_t timeout_ms)
{
	if (timeout_ms <= 0)
		timeout_ms = peer->options->request_timeout_ms;
	request->peer = peer;
	request->deadline_ns = loop_now() + (uint64_t)timeout_ms * NS_PER_MS;
	request->error = 0;
	if (peer->state == PEER_READY && !peer->failing)
		send_now(peer, request);
	else
		list_push_back(&peer->waiting, &request->link);
	set_timer(peer);
}

int peer_init(struct peer *peer, struct loop *loop, const struct sluice_options *options,
	      const struct url *url)
{
	*peer = (struct peer){
		.loop = loop,
		.options = options,
		.ops = channel_ops_find(url->scheme),
		.url = *url,
		.owner = {.opened = channel_opened, .lost = channel_lost},
		.timer.expired = timer_expired,
	};
	check(peer->ops);
	list_init(&peer->waiting);
	list_init(&peer->sent);
	return loop_arm(loop, &peer->timer, UINT64_MAX);
}

void peer_fini(struct peer *peer)
{
	peer->told = NULL;
	close_channel(peer, -ECANCELED);
	loop_disarm(peer->loop, &peer->timer);
}
