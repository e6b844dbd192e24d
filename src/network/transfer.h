/*
 * transfer.h
 *		One request and what becomes of it: libcurl's easy handle and its options.
 *
 * Private to src/network.  Nothing here calls ereport or palloc; all memory is
 * malloc'd, so that an error elsewhere leaks nothing that http_destroy() would
 * not free.
 */
#ifndef FEATUL_TRANSFER_H
#define FEATUL_TRANSFER_H

#include "network/http.h"
#include "network/pool.h"
#include "network/response.h"
#include "network/tls.h"

/* What the requests of a client have in common. */
typedef struct TransferContext
{
	Pools		*pools;
	Connections *connections;	/* of the pools */
	TlsTrust	*trust;			/* NULL: nothing may be dialled */
	uint64		 configuration; /* counts changes of the settings */
} TransferContext;

typedef struct Transfer
{
	Response   response; /* first: http_release() is given its address */
	dlist_node node;

	/* kept from request to request: setting these anew costs as much as signing */
	CURL			  *easy;
	TransferContext	  *context;
	uint64			   configuration; /* the context's when easy got its options */
	bool			   through_proxy;
	bool			   http2; /* is offered */
	char			  *url;	  /* that easy has; or NULL */
	char			  *host;  /* of that URL; NULL if it may not be reached */
	struct curl_slist *connect_to;

	/* of this request */
	Pool			  *pool;
	Connection		  *connection; /* that it goes on on; NULL before */
	bool			   kept_alive; /* others have gone on on it before */
	struct curl_slist *headers;
	char			  *body;
	int				   n_refused; /* addresses of the host that the filter refused */
	int				   n_opened;  /* ... and let through */
	int				   timeout_ms;
	Moment			   started_at;
	int				   n_resent;
	char			   curl_error[CURL_ERROR_SIZE];
} Transfer;

/* A transfer with all options that hold for every request; NULL without memory. */
extern Transfer *transfer_create(TransferContext *context);

/* Forgets request and result, but for what the next request may need again. */
extern void transfer_clear(Transfer *transfer);

/* Also for one that has been taken out of its pool unfinished. */
extern void transfer_free(Transfer *transfer);

/*
 * Starts a request, of which it keeps copies.  False if that cannot be done: the
 * result says why.
 */
extern bool transfer_start(Transfer *transfer, const HttpRequest *request);

/*
 * libcurl has finished with it and it is in no pool any more.  True if the result
 * is there; false if the server has not processed the request, which has been sent
 * again.
 */
extern bool transfer_done(Transfer *transfer, CURLcode code);

#endif /* FEATUL_TRANSFER_H */
