/*
 * failure.h
 *		A request that got no response, in words that users understand.
 */
#ifndef FEATUL_FAILURE_H
#define FEATUL_FAILURE_H

#include <curl/curl.h>

/* What libcurl and we know of it. */
typedef struct Failure
{
	CURLcode	code;
	const char *detail; /* CURLOPT_ERRORBUFFER */
	long		verify_result;
	long		connect_status; /* of a proxy's answer to CONNECT; 0: none */
	bool		proxied;
	int			timeout_ms;
} Failure;

/* What happened, in one printable ASCII line; no URL, no secret. */
extern void failure_describe(const Failure *failure, char *out, size_t size);

/* What to do next; NULL if nothing in particular is known.  A constant. */
extern const char *failure_hint(const Failure *failure);

#endif /* FEATUL_FAILURE_H */
