/*
 * http.c
 *		HTTPS requests through one libcurl multi handle on an epoll descriptor.
 *
 * Knows no tables and no channels.  libcurl's callbacks only touch malloc'd
 * memory and flags: no palloc, no ereport.  Signals are blocked while libcurl
 * runs, so that the resolver threads it starts never run PostgreSQL's handlers.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lib/ilist.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "base/address.h"
#include "base/compat.h"
#include "network/http.h"
#include "base/settings.h"

/* Bounds of a response, decompressed (design 5); headers have no contract. */
#define MAX_BODY_BYTES 65536
#define MAX_HEADER_BYTES 65536

/* Connections kept open for reuse, over all hosts. */
#define MAX_IDLE_CONNECTIONS 256

/* Descriptors handled in one turn. */
#define EPOLL_BATCH 64

typedef enum TransferStop
{
	STOP_NONE,
	STOP_BODY_FULL, /* read enough: the status decides */
	STOP_HEADERS_TOO_LARGE,
	STOP_ADDRESS, /* the filter refused the address */
	STOP_MEMORY
} TransferStop;

typedef struct Transfer
{
	dlist_node node; /* in client's running or finished list, or spare */

	/* kept from request to request: setting these anew costs as much as signing */
	CURL			  *easy;
	struct HttpClient *client;
	uint64 configuration; /* the client's when easy got its options; 0: none yet */
	bool   through_proxy;
	char  *url; /* that easy has, found acceptable; or NULL */
	struct curl_slist *connect_to;

	/* of this request */
	struct curl_slist *headers;
	char			  *request_body;
	size_t			   header_bytes;
	size_t			   body_room;
	int				   timeout_ms;
	TransferStop	   stop;
	char			   curl_error[CURL_ERROR_SIZE];
	HttpResult		   result;
} Transfer;

struct HttpClient
{
	CURLM	   *multi;
	int			epoll;
	TimestampTz deadline;	   /* of libcurl's timer; 0: none */
	uint64		configuration; /* counts http_reconfigure(), from 1 */
	int			n_connections;
	dlist_head	running;
	dlist_head	finished;
	dlist_head	taken; /* results given out, not yet given back */
	dlist_head	spare; /* transfers whose easy handle can be used again */
};

/* All signals blocked from here ... */
static void
block_signals(sigset_t *saved)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

/* ... to here. */
static void
restore_signals(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

/* libcurl's own set-up, once per process.  Raises an error if it fails. */
static void
http_global_init(void)
{
	static bool done = false;
	sigset_t	saved;
	CURLcode	code;

	if (done)
		return;
	block_signals(&saved);
	code = curl_global_init(CURL_GLOBAL_DEFAULT);
	restore_signals(&saved);
	if (code != CURLE_OK)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not initialize libcurl: %s", curl_easy_strerror(code))));
	done = true;
}

/* ------------------------------------------------------------------------
 * libcurl's callbacks
 * ------------------------------------------------------------------------ */

/* CURLMOPT_SOCKETFUNCTION: keeps the epoll set as libcurl wants it. */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *client_pointer, void *known)
{
	HttpClient		  *client = client_pointer;
	struct epoll_event event = { 0 };

	event.data.fd = fd;
	if (what == CURL_POLL_REMOVE)
	{
		epoll_ctl(client->epoll, EPOLL_CTL_DEL, fd, &event);
		return 0;
	}
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	/* a descriptor number can come back for a new socket without a REMOVE */
	if (epoll_ctl(client->epoll, EPOLL_CTL_MOD, fd, &event) != 0)
		epoll_ctl(client->epoll, EPOLL_CTL_ADD, fd, &event);
	return 0;
}

/* CURLMOPT_TIMERFUNCTION */
static int
on_timer(CURLM *multi, long timeout_ms, void *client_pointer)
{
	HttpClient *client = client_pointer;

	client->deadline =
		timeout_ms < 0 ? 0 : GetCurrentTimestamp() + (int64) timeout_ms * 1000;
	return 0;
}

/*
 * CURLOPT_OPENSOCKETFUNCTION: judges the address that is really dialled, so
 * that a name which resolves to something else than before gets nowhere.
 */
static curl_socket_t
on_open_socket(void *transfer_pointer, curlsocktype purpose,
			   struct curl_sockaddr *address)
{
	Transfer	 *transfer = transfer_pointer;
	curl_socket_t fd;

	if (!transfer->through_proxy && !address_allowed(&address->addr))
	{
		transfer->stop = STOP_ADDRESS;
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd >= 0)
		transfer->client->n_connections++;
	return fd;
}

/* CURLOPT_CLOSESOCKETFUNCTION: a connection can outlive the transfer it was made for. */
static int
on_close_socket(void *client_pointer, curl_socket_t fd)
{
	HttpClient *client = client_pointer;

	Assert(client->n_connections > 0);
	client->n_connections--;
	return close(fd);
}

/*
 * CURLOPT_PREREQFUNCTION, called before a request goes out on a connection: a
 * reused one was opened under the settings of its time, so it is judged again.
 */
static int
on_connected(void *transfer_pointer, char *address, char *local, int port, int local_port)
{
	Transfer *transfer = transfer_pointer;

	if (transfer->through_proxy || !address_host_refused(address))
		return CURL_PREREQFUNC_OK;
	transfer->stop = STOP_ADDRESS;
	return CURL_PREREQFUNC_ABORT;
}

/* CURLOPT_WRITEFUNCTION: decompressed bytes, kept up to the bound. */
static size_t
on_body(char *data, size_t size, size_t count, void *transfer_pointer)
{
	Transfer   *transfer = transfer_pointer;
	HttpResult *result = &transfer->result;
	size_t		length = size * count;
	size_t		keep = Min(length, MAX_BODY_BYTES - result->body_length);

	Assert(result->body_length <= MAX_BODY_BYTES);
	if (result->body_length + keep + 1 > transfer->body_room)
	{
		size_t room = Max(1024, 2 * (result->body_length + keep + 1));
		char  *larger = realloc(result->body, room);

		if (larger == NULL)
		{
			transfer->stop = STOP_MEMORY;
			return CURL_WRITEFUNC_PAUSE + 1;
		}
		result->body = larger;
		transfer->body_room = room;
	}
	memcpy(result->body + result->body_length, data, keep);
	result->body_length += keep;
	result->body[result->body_length] = '\0';
	if (result->body_length == MAX_BODY_BYTES && keep < length)
	{
		transfer->stop = STOP_BODY_FULL;
		return 0;
	}
	return length;
}

/* Copies a header's value if it is the one named; at most 128 bytes of it. */
static void
take_header(const char *line, size_t length, const char *name, char **value)
{
	size_t name_length = strlen(name);

	if (length <= name_length || line[name_length] != ':' ||
		pg_strncasecmp(line, name, name_length) != 0)
		return;
	line += name_length + 1;
	length -= name_length + 1;
	while (length > 0 && (*line == ' ' || *line == '\t'))
		line++, length--;
	while (length > 0 && (line[length - 1] == '\r' || line[length - 1] == '\n' ||
						  line[length - 1] == ' '))
		length--;
	free(*value);
	*value = strndup(line, Min(length, 128));
}

/* CURLOPT_HEADERFUNCTION */
static size_t
on_header(char *line, size_t size, size_t count, void *transfer_pointer)
{
	Transfer *transfer = transfer_pointer;
	size_t	  length = size * count;

	transfer->header_bytes += length;
	if (transfer->header_bytes > MAX_HEADER_BYTES)
	{
		transfer->stop = STOP_HEADERS_TOO_LARGE;
		return 0;
	}
	take_header(line, length, "Retry-After", &transfer->result.retry_after);
	take_header(line, length, "X-RateLimit-Remaining",
				&transfer->result.ratelimit_remaining);
	take_header(line, length, "X-RateLimit-Reset-After",
				&transfer->result.ratelimit_reset_after);
	return length;
}

/* ------------------------------------------------------------------------
 * Transfers
 * ------------------------------------------------------------------------ */

/* Forgets a transfer's request and result, keeps its easy handle and its options. */
static void
transfer_clear(Transfer *transfer)
{
	Transfer kept = { .easy = transfer->easy,
					  .client = transfer->client,
					  .configuration = transfer->configuration,
					  .through_proxy = transfer->through_proxy,
					  .url = transfer->url,
					  .connect_to = transfer->connect_to };

	curl_slist_free_all(transfer->headers);
	free(transfer->request_body);
	free(transfer->result.body);
	free(transfer->result.retry_after);
	free(transfer->result.ratelimit_remaining);
	free(transfer->result.ratelimit_reset_after);
	*transfer = kept;
}

static void
transfer_free(Transfer *transfer)
{
	transfer_clear(transfer);
	curl_easy_cleanup(transfer->easy);
	curl_slist_free_all(transfer->connect_to);
	free(transfer->url);
	free(transfer);
}

/* A spare transfer, or a new one; NULL when out of memory. */
static Transfer *
transfer_get(HttpClient *client)
{
	Transfer *transfer;

	if (!dlist_is_empty(&client->spare))
		return dlist_container(Transfer, node, dlist_pop_head_node(&client->spare));
	transfer = calloc(1, sizeof(Transfer));
	if (transfer == NULL)
		return NULL;
	transfer->client = client;
	transfer->easy = curl_easy_init();
	if (transfer->easy == NULL)
	{
		free(transfer);
		return NULL;
	}
	return transfer;
}

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

/* What holds for every request until the settings change. */
static void
set_common_options(Transfer *transfer)
{
	CURL *easy = transfer->easy;
	bool  proxied = setting_proxy && *setting_proxy;

	curl_easy_reset(easy); /* keeps live connections */
	curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->curl_error);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	if (setting_ca_file && *setting_ca_file)
	{
		curl_easy_setopt(easy, CURLOPT_CAINFO, setting_ca_file);
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	/* an empty string, unlike NULL, also switches off the environment's */
	curl_easy_setopt(easy, CURLOPT_PROXY, proxied ? setting_proxy : "");
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, transfer->client);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	transfer->through_proxy = proxied;
	curl_slist_free_all(transfer->connect_to);
	transfer->connect_to = connect_to_list();
	curl_easy_setopt(easy, CURLOPT_CONNECT_TO, transfer->connect_to);
}

/* Moves a transfer to the finished ones. */
static void
transfer_finish(HttpClient *client, Transfer *transfer, HttpOutcome outcome,
				const char *error)
{
	transfer->result.outcome = outcome;
	strlcpy(transfer->result.error, error, sizeof(transfer->result.error));
	dlist_push_tail(&client->finished, &transfer->node);
}

/* True if the URL's host is a literal (or localhost) that may not be reached. */
static bool
url_refused(const char *url)
{
	CURLU *parsed = curl_url();
	char  *host = NULL;
	bool   refused = true;

	if (parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK)
		refused = address_host_refused(host);
	curl_free(host);
	curl_url_cleanup(parsed);
	return refused;
}

/*
 * Gives the easy handle what is the same for all requests to this URL, unless
 * it has it already.  False if the URL may not be reached.
 */
static bool
configure(HttpClient *client, Transfer *transfer, const char *url)
{
	if (transfer->configuration == client->configuration && transfer->url &&
		strcmp(transfer->url, url) == 0)
		return true;
	if (transfer->configuration != client->configuration)
		set_common_options(transfer);
	transfer->configuration = client->configuration;
	free(transfer->url);
	transfer->url = NULL;
	curl_easy_setopt(transfer->easy, CURLOPT_URL, url);
	if (url_refused(url))
		return false;
	transfer->url = strdup(url);
	return true;
}

/* See http.h.  Raises an error only when there is no memory at all. */
void
http_start(HttpClient *client, const HttpRequest *request)
{
	Transfer *transfer = transfer_get(client);
	ListCell *cell;
	sigset_t  saved;

	if (transfer == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	transfer->result.tag = request->tag;
	foreach (cell, request->headers)
		transfer->headers = curl_slist_append(transfer->headers, lfirst(cell));
	/* no "Expect: 100-continue": it costs a round trip for nothing */
	transfer->headers = curl_slist_append(transfer->headers, "Expect:");
	transfer->request_body = malloc(request->body_length + 1);
	transfer->result.body = calloc(1, 1);
	transfer->body_room = 1;
	if (transfer->request_body == NULL || transfer->result.body == NULL)
	{
		transfer_free(transfer);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	memcpy(transfer->request_body, request->body, request->body_length);
	if (!configure(client, transfer, request->url))
	{
		transfer_finish(client, transfer, HTTP_REFUSED_ADDRESS,
						"the address is not public");
		return;
	}
	transfer->timeout_ms = request->timeout_ms;
	curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, (long) request->timeout_ms);
	curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
	curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDS, transfer->request_body);
	curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDSIZE_LARGE,
					 (curl_off_t) request->body_length);
	block_signals(&saved);
	if (curl_multi_add_handle(client->multi, transfer->easy) == CURLM_OK)
		dlist_push_tail(&client->running, &transfer->node);
	else
		transfer_finish(client, transfer, HTTP_FAILED,
						"the request could not be started");
	restore_signals(&saved);
}

/* One printable ASCII line out of what libcurl or OpenSSL says. */
static void
copy_plain(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && n + 1 < size; text++)
		out[n++] = (*text >= ' ' && *text < 0x7F) ? *text : ' ';
	out[n] = '\0';
}

/* A failed transfer in words; libcurl's own words never hold a URL's path. */
static void
describe_failure(Transfer *transfer, CURLcode code, char *out, size_t size)
{
	const char *detail = transfer->curl_error;

	switch (code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_RESOLVE_PROXY:
			strlcpy(out, "the host name could not be resolved", size);
			break;
		case CURLE_COULDNT_CONNECT:
			strlcpy(out, "could not connect", size);
			break;
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CIPHER:
			snprintf(out, size, "TLS: ");
			copy_plain(out + 5, Min(size, 200) - 5,
					   *detail ? detail : curl_easy_strerror(code));
			break;
		case CURLE_GOT_NOTHING:
			strlcpy(out, "the connection was closed without an answer", size);
			break;
		case CURLE_SEND_ERROR:
		case CURLE_RECV_ERROR:
			strlcpy(out, "the connection broke", size);
			break;
		default:
			copy_plain(out, size, curl_easy_strerror(code));
			break;
	}
}

/* Turns libcurl's verdict on a finished transfer into ours. */
static void
transfer_done(HttpClient *client, Transfer *transfer, CURLcode code)
{
	long	   status = 0;
	curl_off_t micros = 0;
	char	   error[256];

	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &micros);
	transfer->result.duration_ms = (int) (micros / 1000);

	if (code == CURLE_OK ||
		(code == CURLE_WRITE_ERROR && transfer->stop == STOP_BODY_FULL))
	{
		transfer->result.status = (int) status;
		transfer_finish(client, transfer, HTTP_RESPONSE, "");
		return;
	}
	if (transfer->stop == STOP_ADDRESS)
		transfer_finish(client, transfer, HTTP_REFUSED_ADDRESS,
						"the address is not public");
	else if (transfer->stop == STOP_HEADERS_TOO_LARGE)
		transfer_finish(client, transfer, HTTP_FAILED,
						"the response's headers are too large");
	else if (transfer->stop == STOP_MEMORY)
		transfer_finish(client, transfer, HTTP_FAILED, "out of memory");
	else if (code == CURLE_OPERATION_TIMEDOUT)
	{
		snprintf(error, sizeof(error), "no complete response within %g s",
				 transfer->timeout_ms / 1000.0);
		transfer_finish(client, transfer, HTTP_TIMED_OUT, error);
	}
	else
	{
		describe_failure(transfer, code, error, sizeof(error));
		transfer_finish(client, transfer, HTTP_FAILED, error);
	}
}

static void
collect_finished(HttpClient *client)
{
	CURLMsg *message;
	int		 left;

	while ((message = curl_multi_info_read(client->multi, &left)) != NULL)
	{
		Transfer *transfer;
		CURLcode  code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &transfer);
		Assert(transfer->easy == message->easy_handle && transfer->client == client);
		curl_multi_remove_handle(client->multi, transfer->easy);
		dlist_delete(&transfer->node);
		transfer_done(client, transfer, code);
	}
}

/* ------------------------------------------------------------------------
 * The client
 * ------------------------------------------------------------------------ */

/* See http.h. */
HttpClient *
http_create(void)
{
	HttpClient *client;

	http_global_init();
	client = calloc(1, sizeof(HttpClient));
	if (client)
		client->epoll = -1;
	if (client == NULL || (client->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
		(client->multi = curl_multi_init()) == NULL)
	{
		if (client && client->epoll >= 0)
			close(client->epoll);
		free(client);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("could not create an HTTP client")));
	}
	client->configuration = 1;
	dlist_init(&client->running);
	dlist_init(&client->finished);
	dlist_init(&client->taken);
	dlist_init(&client->spare);
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, (long) CURLPIPE_MULTIPLEX);
	curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long) MAX_IDLE_CONNECTIONS);
	return client;
}

/* Frees the transfers of a list, which is not to be used again. */
static void
free_all(HttpClient *client, dlist_head *list)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify (iter, list)
	{
		Transfer *transfer = dlist_container(Transfer, node, iter.cur);

		if (list == &client->running)
			curl_multi_remove_handle(client->multi, transfer->easy);
		transfer_free(transfer);
	}
}

/* See http.h. */
void
http_destroy(HttpClient *client)
{
	sigset_t saved;

	block_signals(&saved);
	free_all(client, &client->running);
	free_all(client, &client->finished);
	free_all(client, &client->taken);
	free_all(client, &client->spare);
	curl_multi_cleanup(client->multi);
	Assert(client->n_connections == 0);
	close(client->epoll);
	free(client);
	restore_signals(&saved);
}

/* See http.h. */
void
http_reconfigure(HttpClient *client)
{
	client->configuration++;
}

/* See http.h. */
int
http_descriptor(HttpClient *client)
{
	return client->epoll;
}

/* See http.h. */
long
http_timeout(HttpClient *client)
{
	int64 left;

	if (!dlist_is_empty(&client->finished))
		return 0;
	if (client->deadline == 0)
		return -1;
	left = client->deadline - GetCurrentTimestamp();
	return left <= 0 ? 0 : (long) ((left + 999) / 1000);
}

/* See http.h. */
void
http_work(HttpClient *client)
{
	struct epoll_event events[EPOLL_BATCH];
	sigset_t		   saved;
	int				   running;
	int				   n;

	block_signals(&saved);
	do
	{
		n = epoll_wait(client->epoll, events, EPOLL_BATCH, 0);
		for (int i = 0; i < n; i++)
		{
			int what = 0;

			if (events[i].events & (EPOLLIN | EPOLLHUP))
				what |= CURL_CSELECT_IN;
			if (events[i].events & EPOLLOUT)
				what |= CURL_CSELECT_OUT;
			if (events[i].events & EPOLLERR)
				what |= CURL_CSELECT_ERR;
			curl_multi_socket_action(client->multi, events[i].data.fd, what, &running);
		}
	} while (n == EPOLL_BATCH);
	if (client->deadline != 0 && client->deadline <= GetCurrentTimestamp())
	{
		client->deadline = 0;
		curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	collect_finished(client);
	restore_signals(&saved);
}

/* See http.h. */
void
http_abort(HttpClient *client, void *tag)
{
	dlist_mutable_iter iter;
	sigset_t		   saved;

	block_signals(&saved);
	dlist_foreach_modify (iter, &client->running)
	{
		Transfer *transfer = dlist_container(Transfer, node, iter.cur);

		if (transfer->result.tag != tag)
			continue;
		curl_multi_remove_handle(client->multi, transfer->easy);
		dlist_delete(&transfer->node);
		transfer_free(transfer);
	}
	restore_signals(&saved);
	dlist_foreach_modify (iter, &client->finished)
	{
		Transfer *transfer = dlist_container(Transfer, node, iter.cur);

		if (transfer->result.tag != tag)
			continue;
		dlist_delete(&transfer->node);
		transfer_free(transfer);
	}
}

/* See http.h. */
HttpResult *
http_next_result(HttpClient *client)
{
	Transfer *transfer;

	if (dlist_is_empty(&client->finished))
		return NULL;
	transfer = dlist_container(Transfer, node, dlist_pop_head_node(&client->finished));
	dlist_push_tail(&client->taken, &transfer->node);
	return &transfer->result;
}

/* See http.h. */
void
http_release(HttpClient *client, HttpResult *result)
{
	Transfer *transfer = (Transfer *) ((char *) result - offsetof(Transfer, result));

	dlist_delete(&transfer->node);
	transfer_clear(transfer);
	dlist_push_head(&client->spare, &transfer->node);
}

/* See http.h. */
bool
http_has_result(HttpClient *client)
{
	return !dlist_is_empty(&client->finished);
}

/* See http.h. */
int
http_connections(HttpClient *client)
{
	return client->n_connections;
}

/* Waits until the network, the timer or an interrupt has something for us. */
static void
wait_for_network(HttpClient *client)
{
	int events;

	events = WaitLatchOrSocket(
		MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | WL_SOCKET_READABLE | WL_TIMEOUT,
		http_descriptor(client), Min(Max(http_timeout(client), 0), 1000),
		PG_WAIT_EXTENSION);
	if (events & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* See http.h. */
void
http_perform(const HttpRequest *request, void (*take)(const HttpResult *, void *),
			 void			   *argument)
{
	HttpClient *client = http_create();

	PG_TRY();
	{
		HttpResult *result;

		http_start(client, request);
		while ((result = http_next_result(client)) == NULL)
		{
			wait_for_network(client);
			http_work(client);
		}
		take(result, argument);
	}
	PG_FINALLY();
	{
		http_destroy(client);
	}
	PG_END_TRY();
}
