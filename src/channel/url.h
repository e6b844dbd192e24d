/*
 * url.h
 *		Webhook URLs as users type them.
 */
#ifndef FEATUL_URL_H
#define FEATUL_URL_H

#include "base/compat.h"

/* A URL's parts, palloc'd. */
typedef struct WebhookUrl
{
	char *host;	 /* lower case */
	char *path;	 /* as written, starts with a slash */
	char *query; /* without the question mark; NULL: none at all */
	bool  default_port;
} WebhookUrl;

/*
 * Parses what any webhook URL must be: https, at most 2,048 bytes of ASCII, no
 * user info, no fragment, no control characters or spaces, and a host that is
 * no address literal we would never dial.  Raises PT400 with this hint
 * otherwise; the message never holds a part of the URL.
 */
extern void url_parse(const char *url, const char *hint, WebhookUrl *parts);

/* Raises PT400: the URL is not the kind that the hint asks for. */
pg_noreturn extern void url_refuse(const char *message, const char *hint);

/*
 * Steps over one path segment of letters, digits, - and _ and returns where it
 * ends; NULL if there is none.
 */
extern const char *url_skip_segment(const char *path);

#endif /* FEATUL_URL_H */
