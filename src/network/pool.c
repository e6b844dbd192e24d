/*
 * pool.c
 *		Which requests share connections, and for how long.
 *
 * Also where libcurl is moved along: by epoll's events and by its timers, a moment
 * at a time and under the guard.
 */
#include "postgres.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "base/fault.h"
#include "network/guard.h"
#include "network/pool.h"

/* How long a pool takes requests (s): DNS and certificates change (docs/reliability.md). */
#define MAX_POOL_AGE 300

/* Connections kept open for reuse in a pool, over all hosts. */
#define MAX_IDLE_CONNECTIONS 256

/* Descriptors handled in one turn, and how long a turn may last (us). */
#define EPOLL_BATCH 64
#define MAX_TURN 20000

struct Pool
{
	dlist_node node;
	Pools	  *owner;
	CURLM	  *multi;
	char	  *host;   /* NULL: all of HTTP/1.1 */
	uint32	   number; /* what epoll's events name it by */
	Moment	   opened_at;
	Moment	   deadline; /* of libcurl's timer; 0: none */
	int		   n_requests;
	bool	   retired;
};

struct Pools
{
	int			epoll;
	uint32		last_number;
	dlist_head	pools;
	Connections connections;

	/* taken from epoll: those from next_event on are left for the next turn */
	struct epoll_event events[EPOLL_BATCH];
	int				   n_events;
	int				   next_event;
};

/* See pool.h. */
void
network_block_signals(sigset_t *saved)
{
	sigset_t all;

	sigfillset(&all);
	guard_leave_unblocked(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

/* See pool.h. */
void
network_restore_signals(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

/* ------------------------------------------------------------------------
 * Pools
 * ------------------------------------------------------------------------ */

/* CURLMOPT_SOCKETFUNCTION: keeps the epoll set as libcurl wants it. */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *pool_pointer, void *known)
{
	Pool			  *pool = pool_pointer;
	int				   epoll = pool->owner->epoll;
	struct epoll_event event = { 0 };

	event.data.u64 = (uint64) pool->number << 32 | (uint32) fd;
	if (what == CURL_POLL_REMOVE)
	{
		epoll_ctl(epoll, EPOLL_CTL_DEL, fd, &event);
		return 0;
	}
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	/* a descriptor number can come back for a new socket without a REMOVE */
	if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) != 0)
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	return 0;
}

/* CURLMOPT_TIMERFUNCTION */
static int
on_timer(CURLM *multi, long timeout_ms, void *pool_pointer)
{
	Pool *pool = pool_pointer;

	pool->deadline = timeout_ms < 0 ? 0 : clock_after_ms(clock_now(), timeout_ms);
	return 0;
}

/* A new pool; NULL if there is no memory. */
static Pool *
pool_create(Pools *pools, const char *host)
{
	Pool *pool = calloc(1, sizeof(Pool));

	if (pool == NULL || (pool->multi = curl_multi_init()) == NULL ||
		(host && (pool->host = strdup(host)) == NULL))
	{
		if (pool)
			curl_multi_cleanup(pool->multi);
		free(pool);
		return NULL;
	}
	pool->owner = pools;
	pool->number = ++pools->last_number;
	pool->opened_at = clock_now();
	curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool);
	curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(pool->multi, CURLMOPT_TIMERDATA, pool);
	curl_multi_setopt(pool->multi, CURLMOPT_PIPELINING, (long) CURLPIPE_MULTIPLEX);
	curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, (long) MAX_IDLE_CONNECTIONS);
	dlist_push_tail(&pools->pools, &pool->node);
	return pool;
}

/* Closes the connections of a pool that has no requests. */
static void
pool_destroy(Pool *pool)
{
	Assert(pool->n_requests == 0);
	dlist_delete(&pool->node);
	curl_multi_cleanup(pool->multi);
	free(pool->host);
	free(pool);
}

/* True if the pool is for that host (NULL: all of HTTP/1.1). */
static bool
pool_serves(const Pool *pool, const char *host)
{
	if (pool->host == NULL || host == NULL)
		return pool->host == host;
	return strcmp(pool->host, host) == 0;
}

/* Ends the retired pools whose last request is over.  Not from within libcurl. */
static void
sweep(Pools *pools)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify (iter, &pools->pools)
	{
		Pool *pool = dlist_container(Pool, node, iter.cur);

		if (pool->retired && pool->n_requests == 0)
			pool_destroy(pool);
	}
}

/* See pool.h. */
Pool *
pools_for(Pools *pools, const char *host, bool http2)
{
	Moment	   now = clock_now();
	dlist_iter iter;

	if (!http2)
		host = NULL;
	dlist_foreach (iter, &pools->pools)
	{
		Pool *pool = dlist_container(Pool, node, iter.cur);

		if (pool->retired || !pool_serves(pool, host))
			continue;
		if (now - pool->opened_at < fault_bound("pool age", MAX_POOL_AGE) * USECS_PER_SEC)
			return pool;
		pool->retired = true;
	}
	return pool_create(pools, host);
}

/* See pool.h. */
bool
pool_add(Pool *pool, CURL *easy)
{
	if (curl_multi_add_handle(pool->multi, easy) != CURLM_OK)
		return false;
	pool->n_requests++;
	return true;
}

/* See pool.h. */
void
pool_remove(Pool *pool, CURL *easy)
{
	curl_multi_remove_handle(pool->multi, easy);
	pool->n_requests--;
}

/* See pool.h. */
void
pools_retire(Pools *pools)
{
	dlist_iter iter;

	dlist_foreach (iter, &pools->pools)
		dlist_container(Pool, node, iter.cur)->retired = true;
}

/*
 * See pool.h.  Of HTTP/1.1 it is the idle connections that are cut (libcurl finds
 * that out before it uses one again): those with a request have yet to answer, and
 * libcurl itself closes the one that has failed.
 */
void
pool_distrust(Pool *pool, const char *host)
{
	if (pool->host)
		pool->retired = true;
	else
		connections_cut_idle(&pool->owner->connections, host);
}

/* ------------------------------------------------------------------------
 * All of them
 * ------------------------------------------------------------------------ */

/* See pool.h. */
Pools *
pools_create(void)
{
	Pools *pools = calloc(1, sizeof(Pools));

	if (pools == NULL || (pools->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
	{
		free(pools);
		return NULL;
	}
	dlist_init(&pools->pools);
	dlist_init(&pools->connections.list);
	return pools;
}

/* See pool.h. */
void
pools_destroy(Pools *pools)
{
	pools_retire(pools);
	sweep(pools);
	Assert(dlist_is_empty(&pools->pools) && pools->connections.count == 0);
	close(pools->epoll);
	free(pools);
}

/* See pool.h. */
int
pools_descriptor(Pools *pools)
{
	return pools->epoll;
}

/* See pool.h. */
Connections *
pools_connections(Pools *pools)
{
	return &pools->connections;
}

/* See pool.h. */
Moment
pools_due(Pools *pools)
{
	Moment	   due = 0;
	dlist_iter iter;

	if (pools->next_event < pools->n_events)
		return clock_now();
	dlist_foreach (iter, &pools->pools)
		due = clock_earlier(due, dlist_container(Pool, node, iter.cur)->deadline);
	return due;
}

/* Passes one event of epoll on to libcurl. */
static void
pass_event(Pools *pools, const struct epoll_event *event)
{
	int		   fd = (int) (uint32) event->data.u64;
	int		   what = 0;
	int		   running;
	dlist_iter iter;

	if (event->events & (EPOLLIN | EPOLLHUP))
		what |= CURL_CSELECT_IN;
	if (event->events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (event->events & EPOLLERR)
		what |= CURL_CSELECT_ERR;
	guard_watch(fd);
	dlist_foreach (iter, &pools->pools)
	{
		Pool *pool = dlist_container(Pool, node, iter.cur);

		if (pool->number == event->data.u64 >> 32)
		{
			curl_multi_socket_action(pool->multi, fd, what, &running);
			break;
		}
	}
	guard_watch(-1);
}

/* The pools' own timers. */
static void
take_timers(Pools *pools)
{
	dlist_iter iter;
	int		   running;

	dlist_foreach (iter, &pools->pools)
	{
		Pool *pool = dlist_container(Pool, node, iter.cur);

		if (pool->deadline == 0 || pool->deadline > clock_now())
			continue;
		pool->deadline = 0;
		curl_multi_socket_action(pool->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
}

/* Takes finished requests out of a pool. */
static void
take_finished(Pool *pool, PoolDone done, void *argument)
{
	CURLMsg *message;
	int		 left;

	while ((message = curl_multi_info_read(pool->multi, &left)) != NULL)
	{
		CURL	*easy = message->easy_handle;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		pool_remove(pool, easy);
		done(easy, code, argument);
	}
}

/*
 * Passes on what epoll has.  That ends after a moment, whatever is left: first the
 * events already taken, then epoll's in their order, so that each has its turn.
 */
static void
take_events(Pools *pools)
{
	Moment end = clock_now() + MAX_TURN;
	bool   more;

	do
	{
		if (pools->next_event >= pools->n_events)
		{
			pools->next_event = 0;
			pools->n_events = epoll_wait(pools->epoll, pools->events, EPOLL_BATCH, 0);
		}
		more = pools->n_events == EPOLL_BATCH;
		while (pools->next_event < pools->n_events && clock_now() < end)
			pass_event(pools, &pools->events[pools->next_event++]);
	} while (more && clock_now() < end);
}

/* See pool.h. */
void
pools_work(Pools *pools, PoolDone done, void *argument)
{
	int				   cuts[GUARD_MAX_CUTS];
	dlist_mutable_iter iter;

	guard_raise();
	take_events(pools);
	take_timers(pools);
	connections_note_cuts(&pools->connections, cuts, guard_lower(cuts));
	dlist_foreach_modify (iter, &pools->pools)
		take_finished(dlist_container(Pool, node, iter.cur), done, argument);
	sweep(pools);
}
