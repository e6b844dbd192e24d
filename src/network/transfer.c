/*
 * transfer.c
 *		One request and what becomes of it: libcurl's easy handle and its options.
 */
#include "postgres.h"

#include "base/address.h"
#include "base/settings.h"
#include "network/failure.h"
#include "network/guard.h"
#include "network/transfer.h"

/* CURLE_TOO_LARGE, which libcurl has from 8.6 on. */
#define TOO_LARGE 100

/* How often a request is sent again that the server has not processed. */
#define MAX_RESENT 2

/* ------------------------------------------------------------------------
 * Connections
 * ------------------------------------------------------------------------ */

/* The request goes on on this connection now. */
static void
use_connection(Transfer *transfer, Connection *connection)
{
	if (connection == transfer->connection)
		return;
	if (transfer->connection)
		connection_leave(transfer->connection);
	transfer->connection = connection;
	transfer->kept_alive = false;
	if (connection)
	{
		transfer->kept_alive = connection->has_answered;
		connection_use(connection);
	}
}

/* libcurl is done with the request, for now: so are the connections. */
static void
leave_connections(Transfer *transfer)
{
	use_connection(transfer, NULL);
	if (transfer->n_opened > 0)
		connections_forget(transfer->context->connections, transfer);
	transfer->n_opened = 0;
}

/*
 * CURLOPT_OPENSOCKETFUNCTION: judges the address that is really dialled, so
 * that a name which resolves to something else than before gets nowhere.
 */
static curl_socket_t
on_open_socket(void *transfer_pointer, curlsocktype purpose,
			   struct curl_sockaddr *address)
{
	Transfer   *transfer = transfer_pointer;
	Connection *connection;

	if (!transfer->through_proxy && !address_allowed(&address->addr))
	{
		transfer->n_refused++;
		return CURL_SOCKET_BAD;
	}
	connection = connection_open(transfer->context->connections, address, transfer->host,
								 transfer);
	if (connection == NULL)
		return CURL_SOCKET_BAD;
	transfer->n_opened++;
	return connection->fd;
}

/* CURLOPT_SSL_CTX_FUNCTION: a connection of this request is about to speak TLS. */
static CURLcode
on_ssl_context(CURL *easy, void *ssl_context, void *transfer_pointer)
{
	Transfer   *transfer = transfer_pointer;
	Connection *connection =
		connection_opened_by(transfer->context->connections, transfer);

	if (connection)
		use_connection(transfer, connection);
	if (transfer->connection == NULL || transfer->context->trust == NULL ||
		!tls_set_up(ssl_context, transfer->context->trust, &transfer->connection->tls))
		return CURLE_SSL_CONNECT_ERROR;
	return CURLE_OK;
}

/* CURLOPT_PREREQFUNCTION, called before a request goes out on a connection. */
static int
on_connected(void *transfer_pointer, char *address, char *local, int port, int local_port)
{
	Transfer *transfer = transfer_pointer;

	use_connection(transfer, connection_find(transfer->context->connections, address,
											 port, local_port));
	return CURL_PREREQFUNC_OK;
}

/* ------------------------------------------------------------------------
 * Options
 * ------------------------------------------------------------------------ */

/* The setting featul_integrations.connect_to as curl wants it. */
static struct curl_slist *
connect_to_list(void)
{
	struct curl_slist *list = NULL;
	const char		  *p = setting_connect_to;

	while (p && *p)
	{
		size_t length = strcspn(p, ",");
		char   element[1024];

		snprintf(element, sizeof(element), "%.*s", (int) length, p);
		list = curl_slist_append(list, element + strspn(element, " "));
		p += length;
		if (*p == ',')
			p++;
	}
	return list;
}

/* What keeps us from being talked into something. */
static void
set_safe_options(CURL *easy, const TlsTrust *trust)
{
	struct curl_blob one_certificate = tls_one_certificate(trust);

	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_SSL_CIPHER_LIST, tls_ciphers);
	/* certificates come with on_ssl_context(): libcurl is to load as good as none, and keep none */
	curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
	curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
	if (one_certificate.len > 0)
	{
		curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &one_certificate);
		curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO_BLOB, &one_certificate);
	}
}

/* What the settings say. */
static void
set_routes(Transfer *transfer)
{
	CURL *easy = transfer->easy;

	transfer->through_proxy = setting_proxy && *setting_proxy;
	/* an empty string, unlike NULL, also switches off the environment's */
	curl_easy_setopt(easy, CURLOPT_PROXY, transfer->through_proxy ? setting_proxy : "");
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
	curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, NULL);
	curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL);
	transfer->connect_to = connect_to_list();
	curl_easy_setopt(easy, CURLOPT_CONNECT_TO, transfer->connect_to);
}

/* The callbacks of this file. */
static void
set_callbacks(Transfer *transfer)
{
	CURL *easy = transfer->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->curl_error);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, connection_on_close);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, transfer->context->connections);
	curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_ssl_context);
	curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, transfer);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
}

/* See transfer.h. */
Transfer *
transfer_create(TransferContext *context)
{
	Transfer *transfer = calloc(1, sizeof(Transfer));

	if (transfer == NULL || (transfer->easy = curl_easy_init()) == NULL)
	{
		free(transfer);
		return NULL;
	}
	transfer->context = context;
	transfer->configuration = context->configuration;
	set_safe_options(transfer->easy, context->trust);
	set_routes(transfer);
	set_callbacks(transfer);
	response_set_options(&transfer->response, transfer->easy);
	return transfer;
}

/* A host's name in the form in which libcurl shares its connections. */
static void
normalize_host(char *host)
{
	size_t length = strlen(host);

	if (length > 0 && host[length - 1] == '.')
		host[length - 1] = '\0';
	for (char *c = host; *c; c++)
		*c = pg_ascii_tolower((unsigned char) *c);
}

/* The host of a URL (malloc'd) unless it is an address, or localhost, that may not be reached. */
static char *
allowed_host(const char *url)
{
	CURLU *parsed = curl_url();
	char  *host = NULL;
	char  *copy = NULL;

	if (parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		!address_host_refused(host) && (copy = strdup(host)) != NULL)
		normalize_host(copy);
	curl_free(host);
	curl_url_cleanup(parsed);
	return copy;
}

/* Gives the easy handle what is the same for all requests to this URL, unless it has it. */
static void
set_url(Transfer *transfer, const char *url, bool http2)
{
	if (transfer->url && transfer->http2 == http2 && strcmp(transfer->url, url) == 0)
		return;
	free(transfer->url);
	free(transfer->host);
	transfer->url = strdup(url);
	transfer->host = allowed_host(url);
	transfer->http2 = http2;
	curl_easy_setopt(transfer->easy, CURLOPT_URL, url);
	curl_easy_setopt(transfer->easy, CURLOPT_HTTP_VERSION,
					 (long) (http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
}

/* ------------------------------------------------------------------------
 * A request's way
 * ------------------------------------------------------------------------ */

/* See transfer.h. */
void
transfer_clear(Transfer *transfer)
{
	Transfer kept = { .easy = transfer->easy,
					  .context = transfer->context,
					  .configuration = transfer->configuration,
					  .through_proxy = transfer->through_proxy,
					  .http2 = transfer->http2,
					  .url = transfer->url,
					  .host = transfer->host,
					  .connect_to = transfer->connect_to };

	leave_connections(transfer);
	response_free(&transfer->response);
	curl_slist_free_all(transfer->headers);
	free(transfer->body);
	*transfer = kept;
}

/* See transfer.h. */
void
transfer_free(Transfer *transfer)
{
	transfer_clear(transfer);
	curl_easy_cleanup(transfer->easy);
	curl_slist_free_all(transfer->connect_to);
	free(transfer->url);
	free(transfer->host);
	free(transfer);
}

/* Ends a request that got no response. */
static void
fail(Transfer *transfer, HttpOutcome outcome, const char *error, const char *hint)
{
	HttpResult *result = &transfer->response.result;

	result->outcome = outcome;
	result->hint = hint;
	strlcpy(result->error, error, sizeof(result->error));
}

/* Likewise, because of where its host name leads. */
static void
refuse_address(Transfer *transfer)
{
	fail(
		transfer, HTTP_REFUSED_ADDRESS, "the address is not public",
		"The host name leads to a private network: featul_integrations.allowed_networks, if that is meant.");
}

/* Gives the request to libcurl; false if that cannot be done. */
static bool
send_request(Transfer *transfer, int timeout_ms)
{
	sigset_t saved;
	bool	 added;

	curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, (long) timeout_ms);
	curl_easy_setopt(transfer->easy, CURLOPT_FRESH_CONNECT,
					 (long) (transfer->n_resent > 0));
	network_block_signals(&saved);
	transfer->pool = pools_for(transfer->context->pools, transfer->host, transfer->http2);
	added = transfer->pool && pool_add(transfer->pool, transfer->easy);
	network_restore_signals(&saved);
	return added;
}

/* Copies headers and body; false without memory. */
static bool
copy_request(Transfer *transfer, const HttpRequest *request)
{
	ListCell *cell;

	foreach (cell, request->headers)
		transfer->headers = curl_slist_append(transfer->headers, lfirst(cell));
	/* no "Expect: 100-continue": it costs a round trip for nothing */
	transfer->headers = curl_slist_append(transfer->headers, "Expect:");
	transfer->body = malloc(request->body_length + 1);
	if (transfer->headers == NULL || transfer->body == NULL)
		return false;
	memcpy(transfer->body, request->body, request->body_length);
	curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
	curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDS, transfer->body);
	curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDSIZE_LARGE,
					 (curl_off_t) request->body_length);
	return true;
}

/* See transfer.h. */
bool
transfer_start(Transfer *transfer, const HttpRequest *request)
{
	transfer->response.result.tag = request->tag;
	transfer->timeout_ms = request->timeout_ms;
	transfer->started_at = clock_now();
	set_url(transfer, request->url, request->http2);
	if (transfer->host == NULL)
		refuse_address(transfer);
	else if (copy_request(transfer, request) &&
			 send_request(transfer, request->timeout_ms))
		return true;
	else
		fail(transfer, HTTP_FAILED, "the request could not be started", NULL);
	return false;
}

/*
 * True if the server has not processed a request, as it says (GOAWAY,
 * REFUSED_STREAM) or shows: it closed a connection that it had kept alive (RFC
 * 9110, 9.2.2 and 9112, 9.3.1).  libcurl sends most of these again by itself; it
 * counts how often for as long as a handle lives, and then gives up with
 * CURLE_SEND_ERROR.
 */
static bool
not_processed(const Transfer *transfer, CURLcode code)
{
	const Connection *connection = transfer->connection;

	if (connection == NULL || connection->overflowed || connection->was_busy ||
		transfer->response.header_bytes > 0)
		return false;
	switch (code)
	{
		case CURLE_SEND_ERROR:
			return transfer->kept_alive || transfer->http2;
		case CURLE_RECV_ERROR:
		case CURLE_GOT_NOTHING:
		case CURLE_HTTP2:
			return transfer->kept_alive;
		default:
			return false;
	}
}

/* Sends it again within the time that is left; false if it is not to be. */
static bool
resend(Transfer *transfer)
{
	int left = transfer->timeout_ms - (int) ((clock_now() - transfer->started_at) / 1000);

	if (left <= 0 || transfer->n_resent == MAX_RESENT)
		return false;
	transfer->n_resent++;
	leave_connections(transfer);
	transfer->n_refused = 0;
	transfer->curl_error[0] = '\0';
	return send_request(transfer, left);
}

/*
 * Words for a request whose response was too much for us, or for libcurl, which bounds
 * headers by itself and has an unlucky word for a line that is too long; NULL if it was not.
 */
static const char *
excess(const Transfer *transfer, CURLcode code)
{
	const Connection *connection = transfer->connection;

	if (transfer->response.stop == RESPONSE_NO_MEMORY)
		return "out of memory";
	if (transfer->response.stop == RESPONSE_HEADERS_TOO_LARGE ||
		(int) code == TOO_LARGE ||
		(code == CURLE_OUT_OF_MEMORY && connection &&
		 connection->received > MAX_HEADER_BYTES))
		return "the response's headers are too large";
	if (connection && connection->was_busy)
		return "the endpoint kept the connection busy without answering";
	if (connection && connection->overflowed)
		return "the response is too large";
	return NULL;
}

/* Whether a response is there, although the transfer was ended for what followed. */
static bool
status_decides(const Transfer *transfer)
{
	const Response *response = &transfer->response;

	return response->answered &&
		   (response->stop == RESPONSE_BODY_FULL ||
			response->stop == RESPONSE_HEADERS_TOO_LARGE ||
			(transfer->connection && transfer->connection->overflowed));
}

/* Puts a failure into words. */
static void
fail_with(Transfer *transfer, CURLcode code)
{
	Failure failure = { .code = code,
						.detail = transfer->curl_error,
						.proxied = transfer->through_proxy,
						.timeout_ms = transfer->timeout_ms };
	char	error[sizeof(transfer->response.result.error)];

	if (excess(transfer, code))
	{
		fail(transfer, HTTP_FAILED, excess(transfer, code), NULL);
		return;
	}
	if (code == CURLE_COULDNT_CONNECT && transfer->n_refused > 0 &&
		transfer->n_opened == 0)
	{
		refuse_address(transfer);
		return;
	}
	curl_easy_getinfo(transfer->easy, CURLINFO_SSL_VERIFYRESULT, &failure.verify_result);
	curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_CONNECTCODE, &failure.connect_status);
	if (transfer->connection && transfer->connection->tls.refusal)
		snprintf(error, sizeof(error), "TLS: %s", transfer->connection->tls.refusal);
	else
		failure_describe(&failure, error, sizeof(error));
	fail(transfer, code == CURLE_OPERATION_TIMEDOUT ? HTTP_TIMED_OUT : HTTP_FAILED, error,
		 failure_hint(&failure));
}

/* See transfer.h. */
bool
transfer_done(Transfer *transfer, CURLcode code)
{
	HttpResult *result = &transfer->response.result;
	Connection *connection = transfer->connection;
	long		status = 0;

	/* for libcurl a response may end in its headers */
	if (code == CURLE_OK && !transfer->response.answered)
		code = CURLE_GOT_NOTHING;
	if (code == CURLE_OK || status_decides(transfer))
	{
		curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
		result->outcome = HTTP_RESPONSE;
		result->status = (int) status;
		if (connection)
			connection->has_answered = true;
	}
	else
	{
		if (connection)
			pool_distrust(transfer->pool, transfer->host);
		if (not_processed(transfer, code) && resend(transfer))
			return false;
		fail_with(transfer, code);
	}
	result->duration_ms = (int) ((clock_now() - transfer->started_at) / 1000);
	leave_connections(transfer);
	return true;
}
