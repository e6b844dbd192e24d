/*
 * pool.h
 *		Which requests share connections, and for how long.
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
#include <signal.h>
#include <signal.h>

#include "lib/ilist.h"

#include "base/clock.h"
#include "network/connection.h"

typedef struct Pools Pools;
typedef struct Pool	 Pool;

/* All signals but the guard's blocked: libcurl's resolver threads inherit that. */
extern void network_block_signals(sigset_t *saved);
extern void network_restore_signals(const sigset_t *saved);

/* NULL, with errno set, if there is no memory or no descriptor. */
extern Pools *pools_create(void);

/* The caller has taken all requests out.  Closes all connections. */
extern void pools_destroy(Pools *pools);

extern int			pools_descriptor(Pools *pools); /* epoll's */
extern Connections *pools_connections(Pools *pools);

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

#endif /* FEATUL_POOL_H */
