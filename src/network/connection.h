/*
 * connection.h
 *		The open sockets: what comes in on each, whether it is trusted.
 *
 * A connection may bring in so much for each request that goes on on it and no
 * more: OpenSSL tells of each record, and beyond that the socket is shut down.
 * Together with a small receive buffer that bounds what any peer can make
 * libcurl read, whatever the protocol on top.
 *
 * Nothing here calls ereport or palloc.
 */
#ifndef FEATUL_CONNECTION_H
#define FEATUL_CONNECTION_H

#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "lib/ilist.h"

#include "network/tls.h"

/* Those of a client, in whichever pool. */
typedef struct Connections
{
	dlist_head list; /* of Connection, open ones */
	int		   count;
} Connections;

/* One socket to an endpoint or proxy.  Freed when it is closed and no request refers to it. */
typedef struct Connection
{
	TlsPeer	   tls; /* first: on_record() gets its address */
	dlist_node node;
	int		   fd; /* -1: closed */
	char	  *host;
	char	   peer_address[INET6_ADDRSTRLEN];
	int		   peer_port;
	int		   local_port;	 /* 0: not looked up yet */
	void	  *opener;		 /* what connection_open() was called for, until found */
	bool	   has_answered; /* a request: it is trusted */
	int		   n_requests;	 /* that are going on here */
	size_t	   received;	 /* bytes on the wire since a request began or ended */
	bool	   overflowed;	 /* more than its requests may receive: cut */
	bool	   was_busy;	 /* kept the process for too long: cut */
} Connection;

/* A socket as libcurl wants one for this host; NULL if there is none to be had. */
extern Connection *connection_open(Connections				  *connections,
								   const struct curl_sockaddr *address, const char *host,
								   void *opener);

/* The connected one that was opened for this, the first time it is asked for; or NULL. */
extern Connection *connection_opened_by(Connections *connections, void *opener);

/*
 * For CURLOPT_CLOSESOCKETFUNCTION, with the connections as its data; and what that was
 * opened for is over: those that were never found are closed too (libcurl 7.88 does not call
 * it for a socket that was still connecting).
 */
extern int	connection_on_close(void *connections, curl_socket_t fd);
extern void connections_forget(Connections *connections, void *opener);

/* The connection between these; NULL if it is not known. */
extern Connection *connection_find(Connections *connections, const char *peer_address,
								   int peer_port, int local_port);

/* A request goes on here, ... and is over. */
extern void connection_use(Connection *connection);
extern void connection_leave(Connection *connection);

/* Cuts those to a host that have answered before and are not in use. */
extern void connections_cut_idle(Connections *connections, const char *host);

/* Notes which ones the guard has cut. */
extern void connections_note_cuts(Connections *connections, const int *cuts, int n_cuts);

#endif /* FEATUL_CONNECTION_H */
