/* tests/sim/datagrams.c: datagrams under way and in the mailboxes of sockets.
 *
 * Each copy of a datagram is an event of its own.  Those of one socket keep their order unless one
 * overtakes.  A sender has a limited number of bytes under way; a mailbox that is full drops what
 * comes, as Linux does. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "tests/sim/network_internal.h"

enum {
	DATAGRAM_BYTES_MAX = 65507, /* of IPv4 */
	CHARGED_BYTES = 768,        /* for a datagram's head */
	SEND_BITS_MIN = 17,         /* two of the longest at least, to 4 MiB */
	SEND_BITS_MAX = 22,
	LATE_FACTOR = 8, /* what is overtaken comes so many delays later */
};

struct datagram {
	struct list link; /* in the sender's under_way, then in the receiver's mailbox */
	struct event arrival;
	struct socket_state *sender; /* null: closed meanwhile */
	uint16_t from, to;
	bool connected; /* the sender hears of a port where nobody is */
	size_t length;
	uint8_t data[];
};

void mailbox_init(struct socket_state *socket)
{
	struct mailbox *mailbox = &socket->mailbox;

	list_init(&mailbox->received);
	list_init(&mailbox->under_way);
	mailbox->send_bytes_max = (size_t)1
				  << random_between(&network.random, SEND_BITS_MIN, SEND_BITS_MAX);
}

void mailbox_fini(struct socket_state *socket)
{
	struct list *node;

	while ((node = list_pop_front(&socket->mailbox.received)))
		free(container_of(node, struct datagram, link));
	while ((node = list_pop_front(&socket->mailbox.under_way)))
		container_of(node, struct datagram, link)->sender = NULL;
}

static size_t charge(const struct datagram *datagram)
{
	return datagram->length + CHARGED_BYTES;
}

bool mailbox_writable(const struct socket_state *socket)
{
	const struct mailbox *mailbox = &socket->mailbox;

	return 2 * mailbox->under_way_bytes <= mailbox->send_bytes_max;
}

static void leave_sender(struct datagram *datagram)
{
	struct socket_state *sender = datagram->sender;

	if (!sender)
		return;
	bool was_writable = mailbox_writable(sender);
	list_remove(&datagram->link);
	sender->mailbox.under_way_bytes -= charge(datagram);
	if (!was_writable && mailbox_writable(sender))
		socket_tell(sender);
}

/* Nobody is there: ICMP says so to who has connected to that port. */
static void refuse(const struct datagram *datagram)
{
	struct socket_state *sender = datagram->sender;

	if (!sender || !datagram->connected)
		return;
	sender->error = -ECONNREFUSED;
	socket_tell(sender);
}

static bool takes(const struct socket_state *receiver, const struct datagram *datagram)
{
	return (!receiver->peer_port || receiver->peer_port == datagram->from) &&
	       receiver->mailbox.received_bytes + charge(datagram) <= NETWORK_MAILBOX_BYTES;
}

static void arrive(struct event *event)
{
	struct datagram *datagram = container_of(event, struct datagram, arrival);
	struct socket_state *receiver = socket_at(SOCKET_DATAGRAM, SOCKET_FRESH, datagram->to);

	leave_sender(datagram);
	if (!receiver)
		refuse(datagram);
	if (!receiver || !takes(receiver, datagram)) {
		free(datagram);
		return;
	}
	list_push_back(&receiver->mailbox.received, &datagram->link);
	receiver->mailbox.received_bytes += charge(datagram);
	socket_tell(receiver);
}

static uint64_t draw_arrival_ns(struct mailbox *mailbox)
{
	uint64_t due_ns = sim_now_ns() + network_delay_ns();

	if (random_chance(&network.random, network.faults.overtake))
		return due_ns + random_below(&network.random, LATE_FACTOR) * network_delay_ns();
	if (due_ns < mailbox->latest_ns)
		due_ns = mailbox->latest_ns;
	mailbox->latest_ns = due_ns;
	return due_ns;
}

static void launch(struct socket_state *socket, const void *data, size_t length, uint16_t to)
{
	struct datagram *datagram = malloc(sizeof(*datagram) + length);

	check(datagram);
	*datagram = (struct datagram){
		.sender = socket,
		.from = socket->port,
		.to = to,
		.connected = socket->peer_port == to,
		.length = length,
		.arrival.happens = arrive,
	};
	memcpy(datagram->data, data, length);
	if (length && random_chance(&network.random, network.faults.garble))
		datagram->data[random_below(&network.random, length)] ^=
			(uint8_t)random_between(&network.random, 1, UINT8_MAX);
	list_push_back(&socket->mailbox.under_way, &datagram->link);
	socket->mailbox.under_way_bytes += charge(datagram);
	event_arm(&datagram->arrival, draw_arrival_ns(&socket->mailbox));
}

int64_t socket_send_to(struct socket_state *socket, const void *data, size_t length, uint16_t port)
{
	const struct network_faults *faults = &network.faults;
	struct mailbox *mailbox = &socket->mailbox;

	if (socket->error)
		return socket_take_error(socket);
	if (length > DATAGRAM_BYTES_MAX)
		return -EMSGSIZE;
	if (mailbox->under_way_bytes + length + CHARGED_BYTES > mailbox->send_bytes_max)
		return -EAGAIN;
	socket_bind_any(socket);
	bool narrow = faults->datagram_bytes_max && length > faults->datagram_bytes_max;
	if (narrow || random_chance(&network.random, faults->drop))
		return (int64_t)length;
	launch(socket, data, length, port);
	if (random_chance(&network.random, faults->duplicate))
		launch(socket, data, length, port);
	return (int64_t)length;
}

int64_t socket_receive_from(struct socket_state *socket, void *data, size_t length,
			    uint16_t *ret_port)
{
	if (socket->error)
		return socket_take_error(socket);
	struct list *node = list_pop_front(&socket->mailbox.received);
	if (!node)
		return -EAGAIN;
	struct datagram *datagram = container_of(node, struct datagram, link);
	socket->mailbox.received_bytes -= charge(datagram);
	if (length > datagram->length)
		length = datagram->length;
	memcpy(data, datagram->data, length);
	if (ret_port)
		*ret_port = datagram->from;
	free(datagram);
	return (int64_t)length;
}
