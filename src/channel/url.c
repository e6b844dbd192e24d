/*
 * url.c
 *		Webhook URLs as users type them: what all kinds have in common.
 *
 * The parser is libcurl's, the one that will dial the URL, so that both see
 * the same host.  What it forgives (missing slashes, backslashes, encoded
 * hosts, other alphabets) is refused here instead of interpreted.
 */
#include "postgres.h"

#include <curl/curl.h>

#include "base/address.h"
#include "channel/url.h"
#include "base/errors.h"

/* docs/application.md */
#define URL_MAX_BYTES 2048

/* Copies a libcurl string into the current context and frees it; NULL stays NULL. */
static char *
taken(char *from_curl)
{
	char *copy = from_curl ? pstrdup(from_curl) : NULL;

	curl_free(from_curl);
	return copy;
}

/* See url.h. */
void
url_refuse(const char *message, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_FEATUL_BAD_ARGUMENT), errmsg("%s", message),
					errhint("%s", hint)));
}

/* What must hold for the bytes, before anything is parsed. */
static void
check_bytes(const char *url, const char *hint)
{
	size_t length = strlen(url);
	size_t authority;

	if (length == 0)
		url_refuse("Webhook URL is empty", hint);
	if (length > URL_MAX_BYTES)
		url_refuse("Webhook URL is longer than 2048 bytes", hint);
	for (const unsigned char *c = (const unsigned char *) url; *c; c++)
	{
		if (*c <= ' ' || *c == 0x7F)
			url_refuse("Webhook URL contains white space or control characters", hint);
		if (*c > 0x7F)
			url_refuse("Webhook URL contains other than ASCII characters",
					   "Write them percent-encoded, and a host name in its xn-- form.");
		if (*c == '\\')
			url_refuse("Webhook URL contains a backslash", hint);
	}
	if (pg_strncasecmp(url, "https://", 8) != 0)
		url_refuse("Webhook URL must start with https://", hint);
	if (strchr(url, '#'))
		url_refuse("Webhook URL must not have a fragment", hint);
	authority = strcspn(url + 8, "/?");
	if (memchr(url + 8, '@', authority))
		url_refuse("Webhook URL must not contain a user name or password", hint);
	if (authority == 0 || memchr(url + 8, '%', authority))
		url_refuse("Webhook URL has no valid host", hint);
}

/* See url.h. */
void
url_parse(const char *url, const char *hint, WebhookUrl *parts)
{
	CURLU	   *parsed;
	CURLUcode	code;
	char	   *host = NULL;
	char	   *port = NULL;
	const char *tail = url + 8;

	check_bytes(url, hint);
	parsed = curl_url();
	if (parsed == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	code = curl_url_set(parsed, CURLUPART_URL, url, CURLU_PATH_AS_IS);
	if (code == CURLUE_OK)
		code = curl_url_get(parsed, CURLUPART_HOST, &host, 0);
	if (code == CURLUE_OK)
		(void) curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
	curl_url_cleanup(parsed);
	if (code != CURLUE_OK || port == NULL || strcmp(port, "0") == 0)
	{
		curl_free(host);
		curl_free(port);
		url_refuse("Webhook URL is malformed", hint);
	}

	parts->default_port = strcmp(port, "443") == 0;
	curl_free(port);
	parts->host = taken(host);
	for (char *c = parts->host; *c; c++)
		*c = pg_ascii_tolower((unsigned char) *c);
	if (address_host_refused(parts->host))
		url_refuse("Webhook URL must not point to a private or local address",
				   "Use a host that is reachable from the internet.");

	tail += strcspn(tail, "/?");
	parts->path = *tail == '/' ? pnstrdup(tail, strcspn(tail, "?")) : pstrdup("/");
	tail = strchr(tail, '?');
	parts->query = tail ? pstrdup(tail + 1) : NULL;
}

/* See url.h. */
const char *
url_skip_segment(const char *path)
{
	size_t length = strspn(path, "abcdefghijklmnopqrstuvwxyz"
								 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

	return length > 0 ? path + length : NULL;
}
