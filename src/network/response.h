/*
 * response.h
 *		What comes back: libcurl's callbacks that read a response, within bounds.
 *
 * Private to src/network.  Nothing here calls ereport or palloc.
 */
#ifndef FEATUL_RESPONSE_H
#define FEATUL_RESPONSE_H

#include <curl/curl.h>

#include "network/http.h"

/* Headers and trailers (ours). */
#define MAX_HEADER_BYTES 65536

typedef enum ResponseStop
{
	RESPONSE_GOES_ON,
	RESPONSE_BODY_FULL, /* read enough */
	RESPONSE_HEADERS_TOO_LARGE,
	RESPONSE_NO_MEMORY
} ResponseStop;

typedef struct Response
{
	HttpResult	 result; /* first: http_release() is given its address */
	size_t		 body_room;
	size_t		 header_bytes; /* of all headers and trailers */
	int			 encodings;	   /* of the body, one upon another */
	int			 status;	   /* of the last header block that has begun */
	bool		 answered;	   /* the headers of a final answer are complete */
	ResponseStop stop;		   /* why a callback ended the transfer */
} Response;

/* An empty response, to keep these headers; false if there is no memory. */
extern bool response_begin(Response *response, const char *const *wanted_headers);

/* Frees what a response holds. */
extern void response_free(Response *response);

/* Makes the callbacks of this handle fill it in. */
extern void response_set_options(Response *response, CURL *easy);

#endif /* FEATUL_RESPONSE_H */
