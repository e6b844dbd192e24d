/*
 * http.h
 *		HTTPS requests through libcurl.
 *
 * Knows no tables and no channels.  A client is a set of running requests behind
 * one epoll descriptor that a WaitEventSet can wait on beside a latch.  Nothing
 * here calls ereport or palloc from inside libcurl's callbacks; memory of running
 * requests and results is malloc'd, so that an error elsewhere leaks nothing
 * that http_destroy() would not free.
 */
#ifndef FEATUL_HTTP_H
#define FEATUL_HTTP_H

#include "nodes/pg_list.h"

typedef struct HttpClient HttpClient;

/* Headers of a response that a request can want. */
#define HTTP_MAX_HEADERS 4

/* One POST.  The client copies all of it. */
typedef struct HttpRequest
{
	const char *url;
	List	   *headers;	 /* of char *, "Name: value" */
	const char *body;		 /* UTF-8 */
	size_t		body_length; /* bytes */
	int			timeout_ms;	 /* the whole request */
	/* names of the response's headers that are wanted, NULL at the end; not copied */
	const char *const *wanted_headers;
	bool  http2; /* may be offered: the host is one that can be trusted so far */
	void *tag;	 /* comes back in the result */
} HttpRequest;

typedef enum HttpOutcome
{
	HTTP_RESPONSE, /* a whole response (or its first 64 KiB) */
	HTTP_TIMED_OUT,
	HTTP_REFUSED_ADDRESS, /* the address filter refused it */
	HTTP_FAILED			  /* DNS, connect, TLS, reset, garbage, ... */
} HttpOutcome;

typedef struct HttpResult
{
	void	   *tag;
	HttpOutcome outcome;
	int			status;		/* 0 unless HTTP_RESPONSE */
	char		error[256]; /* in words a user understands; "" with HTTP_RESPONSE */
	const char *hint;		/* what to do about it, or NULL */
	char	   *body;		/* NUL-terminated raw bytes, decompressed, never NULL */
	size_t		body_length;
	const char *const *wanted_headers; /* of the request */
	char *headers[HTTP_MAX_HEADERS];   /* as received, in that order; see http_header() */
	int	  duration_ms;
} HttpResult;

/* A header's value as received; NULL if there is none, or it was not wanted. */
extern const char *http_header(const HttpResult *result, const char *name);

/* Takes over the settings as they are.  Raises an error only without memory. */
extern HttpClient *http_create(void);
extern void		   http_destroy(HttpClient *client); /* aborts what runs */

/*
 * The settings have changed, or files that they name: they hold for the requests
 * started from now on, and so do new connections.
 */
extern void http_reconfigure(HttpClient *client);

/*
 * Why nothing may be dialled, as a sentence that lives until the next
 * http_reconfigure(): the CA certificates cannot be had, or a setting could not be
 * understood.  NULL if all is well.
 * Requests that are started all the same fail with it.
 */
extern const char *http_problem(HttpClient *client);

/* The epoll descriptor: readable when http_work() has something to do. */
extern int http_descriptor(HttpClient *client);

/* Milliseconds until http_work() is due in any case; -1: not at all. */
extern long http_timeout(HttpClient *client);

/* Open connections are used again, if they can be trusted. */
extern void http_start(HttpClient *client, const HttpRequest *request);
extern void http_work(HttpClient *client);

/* Aborts the transfers with this tag, the finished too; they give no result. */
extern void http_abort(HttpClient *client, void *tag);

/*
 * Takes one finished transfer; NULL when there is none.  The caller gives it
 * back with http_release(), after which its pointers are gone.
 */
extern HttpResult *http_next_result(HttpClient *client);
extern void		   http_release(HttpClient *client, HttpResult *result);

/* True if http_next_result() has one. */
extern bool http_has_result(HttpClient *client);

/* Connections that are open, idle ones too. */
extern int http_connections(HttpClient *client);

/*
 * One request, in this session: waits on the latch, the network and
 * interrupts, then calls take() with the result, which may raise an error.
 * Cleans up in any case.
 */
extern void http_perform(const HttpRequest *request,
						 void (*take)(const HttpResult *result, void *argument),
						 void *argument);

#endif /* FEATUL_HTTP_H */
