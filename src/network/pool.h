/*
 * pool.h
 *		Connections: which are open, what comes in on them, which are trusted.
 *
 * A pool is one libcurl multi handle: its requests share its connections and no
 * others.  All pools of a client hang on one epoll descriptor.  HTTP/1.1 has one
 * pool for all hosts, HTTP/2 one for each host, as there a connection that has
 * gone silent takes every later request with it.  A pool can be retired: it
 * takes no new requests, and ends with the last of those it has.  So no
 * connection is older than a pool may get, and none outlives the settings it was
 * made under.
 *
 * Nothing here calls ereport or palloc.
 */
#ifndef FEATUL_POOL_H
#define FEATUL_POOL_H

#include <curl/curl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include "lib/ilist.h"

#include "base/clock.h"
#include "network/tls.h"

typedef struct Pools Pools;
typedef struct Pool	 Pool;

/* One socket to an endpoint or proxy.  Freed when it is closed and no request refers to it. */
typedef struct Connection
{
	TlsPeer	   tls; /* first: on_record() gets its address */
	dlist_node node;
	Pools	  *pools;
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

/* All signals but the guard's blocked: libcurl's resolver threads inherit that. */
extern void network_block_signals(sigset_t *saved);
extern void network_restore_signals(const sigset_t *saved);

/* NULL, with errno set, if there is no memory or no descriptor. */
extern Pools *pools_create(void);

/* The caller has taken all requests out.  Closes all connections. */
extern void pools_destroy(Pools *pools);

extern int pools_descriptor(Pools *pools); /* epoll's */
extern int pools_connections(Pools *pools);

/* When pools_work() is due in any case; 0: not at all. */
extern Moment pools_due(Pools *pools);

/*
 * Moves all requests along, for a moment at most; calls done() for each that is
 * finished, after it has left its pool.
 */
typedef void (*PoolDone)(CURL *easy, CURLcode code, void *argument);
extern void pools_work(Pools *pools, PoolDone done, void *argument);

/* The pool for a new request; NULL if there is no memory. */
extern Pool *pools_for(Pools *pools, const char *host, bool http2);

/* Starts a request in a pool, or takes an unfinished one out. */
extern bool pool_add(Pool *pool, CURL *easy);
extern void pool_remove(Pool *pool, CURL *easy);

/* New requests go out on new connections: all, or to this host. */
extern void pools_retire(Pools *pools);
extern void pool_distrust(Pool *pool, const char *host);

/* A socket as libcurl wants one for this host; NULL if there is none to be had. */
extern Connection *connection_open(Pools *pools, const struct curl_sockaddr *address,
								   const char *host, void *opener);

/* The connected one that was opened for this, the first time it is asked for; or NULL. */
extern Connection *connection_opened_by(Pools *pools, void *opener);

/* For CURLOPT_CLOSESOCKETFUNCTION, with the pools as its data. */
extern int connection_on_close(void *pools, curl_socket_t fd);

/* The connection between these; NULL if it is not known. */
extern Connection *connection_find(Pools *pools, const char *peer_address, int peer_port,
								   int local_port);

/* A request goes on here, ... and is over. */
extern void connection_use(Connection *connection);
extern void connection_leave(Connection *connection);

#endif /* FEATUL_POOL_H */
