/*
 * connection.c
 *		The open sockets: what comes in on each, whether it is trusted.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <unistd.h>

#include "network/connection.h"
#include "network/guard.h"

/* Bytes that a request may bring in, whatever they are (docs/reliability.md). */
#define MAX_WIRE_BYTES (256 * 1024)

/* The kernel keeps no more than that for us to read after a cut (bytes; it doubles it). */
#define RECEIVE_BUFFER 65536

/* Makes libcurl find a connection at its end.  Safe on one that is closed. */
static void
shut_down(Connection *connection)
{
	if (connection->fd >= 0)
		(void) shutdown(connection->fd, SHUT_RDWR);
}

/* TlsPeer.on_record: counts, and cuts what brings in too much. */
static void
on_record(TlsPeer *peer, size_t bytes)
{
	Connection *connection = (Connection *) peer;

	guard_watch(connection->fd);
	connection->received += bytes;
	if (connection->received > (size_t) MAX_WIRE_BYTES * Max(connection->n_requests, 1))
	{
		connection->overflowed = true;
		shut_down(connection);
	}
}

/* Notes where an address leads to, as libcurl will name it later. */
static void
note_peer(Connection *connection, const struct sockaddr *address)
{
	const struct sockaddr_in  *v4 = (const struct sockaddr_in *) address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) address;
	const void				  *bytes =
		   address->sa_family == AF_INET6 ? (const void *) &v6->sin6_addr : &v4->sin_addr;

	connection->peer_port =
		ntohs(address->sa_family == AF_INET6 ? v6->sin6_port : v4->sin_port);
	if (inet_ntop(address->sa_family, bytes, connection->peer_address,
				  sizeof(connection->peer_address)) == NULL)
		connection->peer_address[0] = '\0';
}

/* Frees a connection if nothing refers to it any more. */
static void
connection_free_if_over(Connection *connection)
{
	if (connection->fd >= 0 || connection->n_requests > 0)
		return;
	free(connection->host);
	free(connection);
}

/* It is closed, or is going to be without our knowing. */
static void
connection_drop(Connections *connections, Connection *connection)
{
	dlist_delete(&connection->node);
	connection->fd = -1;
	connection->opener = NULL;
	connections->count--;
	connection_free_if_over(connection);
}

/* The connection with this descriptor, of which there is one at most; or NULL. */
static Connection *
connection_of(Connections *connections, int fd)
{
	dlist_iter iter;

	dlist_foreach (iter, &connections->list)
	{
		Connection *connection = dlist_container(Connection, node, iter.cur);

		if (connection->fd == fd)
			return connection;
	}
	return NULL;
}

/* No connection has this descriptor any more. */
static void
drop_descriptor(Connections *connections, int fd)
{
	Connection *connection = connection_of(connections, fd);

	if (connection)
		connection_drop(connections, connection);
}

/* See connection.h. */
Connection *
connection_open(Connections *connections, const struct curl_sockaddr *address,
				const char *host, void *opener)
{
	Connection *connection = calloc(1, sizeof(Connection));
	int			buffer = RECEIVE_BUFFER;

	if (connection == NULL || (connection->host = strdup(host)) == NULL)
	{
		free(connection);
		return NULL;
	}
	connection->fd =
		socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (connection->fd < 0)
	{
		free(connection->host);
		free(connection);
		return NULL;
	}
	/* whoever had that number is closed: libcurl 7.88 does not say so of those still connecting */
	drop_descriptor(connections, connection->fd);
	(void) setsockopt(connection->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	connection->tls.on_record = on_record;
	connection->opener = opener;
	note_peer(connection, &address->addr);
	dlist_push_head(&connections->list, &connection->node);
	connections->count++;
	return connection;
}

/*
 * See connection.h.  Of a host with several addresses libcurl may have tried some at the
 * same time; it has closed those by now that it does not want.
 */
Connection *
connection_opened_by(Connections *connections, void *opener)
{
	struct sockaddr_storage address = { 0 };
	dlist_iter				iter;

	dlist_foreach (iter, &connections->list)
	{
		Connection *connection = dlist_container(Connection, node, iter.cur);
		socklen_t	length = sizeof(address);

		if (connection->opener != opener ||
			getpeername(connection->fd, (struct sockaddr *) &address, &length) != 0)
			continue;
		connection->opener = NULL;
		return connection;
	}
	return NULL;
}

/* See connection.h. */
int
connection_on_close(void *connections_pointer, curl_socket_t fd)
{
	guard_forget(fd);
	drop_descriptor(connections_pointer, fd);
	return close(fd);
}

/* See connection.h. */
void
connections_forget(Connections *connections, void *opener)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify (iter, &connections->list)
	{
		Connection *connection = dlist_container(Connection, node, iter.cur);

		if (connection->opener == opener)
			connection_drop(connections, connection);
	}
}

/* The local port of a connected socket; 0 if it is none. */
static int
local_port_of(int fd)
{
	union
	{
		struct sockaddr		any;
		struct sockaddr_in	v4;
		struct sockaddr_in6 v6;
	} address;
	socklen_t length = sizeof(address);

	memset(&address, 0, sizeof(address));
	if (getsockname(fd, &address.any, &length) != 0)
		return 0;
	return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port
												   : address.v4.sin_port);
}

/* See connection.h.  What is used often stays in front. */
Connection *
connection_find(Connections *connections, const char *peer_address, int peer_port,
				int local_port)
{
	dlist_iter iter;

	dlist_foreach (iter, &connections->list)
	{
		Connection *connection = dlist_container(Connection, node, iter.cur);

		if (connection->local_port == 0)
			connection->local_port = local_port_of(connection->fd);
		if (connection->local_port != local_port || connection->peer_port != peer_port ||
			strcmp(connection->peer_address, peer_address) != 0)
			continue;
		dlist_move_head(&connections->list, &connection->node);
		return connection;
	}
	return NULL;
}

/* See connection.h. */
void
connection_use(Connection *connection)
{
	connection->n_requests++;
	connection->received = 0;
}

/* See connection.h. */
void
connection_leave(Connection *connection)
{
	Assert(connection->n_requests > 0);
	connection->n_requests--;
	connection->received = 0;
	connection_free_if_over(connection);
}

/* See connection.h. */
void
connections_cut_idle(Connections *connections, const char *host)
{
	dlist_iter iter;

	dlist_foreach (iter, &connections->list)
	{
		Connection *connection = dlist_container(Connection, node, iter.cur);

		if (connection->has_answered && connection->n_requests == 0 &&
			strcmp(connection->host, host) == 0)
			shut_down(connection);
	}
}

/* See connection.h. */
void
connections_note_cuts(Connections *connections, const int *cuts, int n_cuts)
{
	dlist_iter iter;

	dlist_foreach (iter, &connections->list)
	{
		Connection *connection = dlist_container(Connection, node, iter.cur);

		for (int i = 0; i < n_cuts; i++)
			if (connection->fd == cuts[i])
				connection->was_busy = true;
	}
}
