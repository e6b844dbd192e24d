/*
 * http.c
 *		HTTPS requests through libcurl: the client, and which of its requests are
 *		running, finished or taken.
 *
 * transfer.c has one request, response.c what comes back, pool.c the connections,
 * tls.c whom they trust, guard.c a bound on libcurl itself.  Signals are blocked
 * while libcurl runs, so that the resolver threads it starts never run
 * PostgreSQL's handlers.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <signal.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"

#include "base/compat.h"
#include "base/settings.h"
#include "network/guard.h"
#include "network/http.h"
#include "network/transfer.h"

/* Longest wait before interrupts are looked at again (ms). */
#define MAX_WAIT 1000

struct HttpClient
{
	TransferContext context;
	char			problem[512]; /* "" if there is none */
	dlist_head		running;
	dlist_head		finished;
	dlist_head		taken; /* results given out, not yet given back */
	dlist_head		spare; /* whose easy handle can be used again */
};

/* libcurl's own set-up, once per process.  Raises an error if it fails. */
static void
http_global_init(void)
{
	static bool done = false;
	sigset_t	saved;
	CURLcode	code;

	guard_init();
	if (done)
		return;
	network_block_signals(&saved);
	code = curl_global_init(CURL_GLOBAL_DEFAULT);
	network_restore_signals(&saved);
	if (code != CURLE_OK)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not initialize libcurl: %s", curl_easy_strerror(code))));
	if (!tls_is_openssl())
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("libcurl does not use the OpenSSL that this library was built with"),
			 errdetail("libcurl uses %s.",
					   curl_version_info(CURLVERSION_NOW)->ssl_version)));
	done = true;
}

/* Takes the settings over. */
static void
take_settings(HttpClient *client)
{
	const char *misunderstood = settings_misunderstood_route();

	client->problem[0] = '\0';
	client->context.configuration++;
	if (misunderstood)
	{
		snprintf(client->problem, sizeof(client->problem),
				 "%s cannot be used: the server log says why", misunderstood);
		tls_free_trust(client->context.trust);
		client->context.trust = NULL;
	}
	else
		client->context.trust = tls_load_trust(client->context.trust, setting_ca_file,
											   client->problem, sizeof(client->problem));
}

/* See http.h. */
HttpClient *
http_create(void)
{
	HttpClient *client;

	http_global_init();
	client = calloc(1, sizeof(HttpClient));
	if (client == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	client->context.pools = pools_create();
	if (client->context.pools == NULL)
	{
		free(client);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("could not create an HTTP client: %m")));
	}
	client->context.connections = pools_connections(client->context.pools);
	dlist_init(&client->running);
	dlist_init(&client->finished);
	dlist_init(&client->taken);
	dlist_init(&client->spare);
	take_settings(client);
	return client;
}

/* Frees the transfers of a list. */
static void
free_all(dlist_head *list)
{
	while (!dlist_is_empty(list))
		transfer_free(dlist_container(Transfer, node, dlist_pop_head_node(list)));
}

/* Takes running requests out of libcurl: all, or with tag those that have it. */
static void
abort_running(HttpClient *client, const void *tag)
{
	dlist_mutable_iter iter;
	sigset_t		   saved;

	network_block_signals(&saved);
	dlist_foreach_modify (iter, &client->running)
	{
		Transfer *transfer = dlist_container(Transfer, node, iter.cur);

		if (tag && transfer->response.result.tag != tag)
			continue;
		pool_remove(transfer->pool, transfer->easy);
		dlist_delete(&transfer->node);
		transfer_free(transfer);
	}
	network_restore_signals(&saved);
}

/* See http.h. */
void
http_destroy(HttpClient *client)
{
	sigset_t saved;

	abort_running(client, NULL);
	network_block_signals(&saved);
	free_all(&client->finished);
	free_all(&client->taken);
	free_all(&client->spare);
	pools_destroy(client->context.pools);
	tls_free_trust(client->context.trust);
	free(client);
	network_restore_signals(&saved);
}

/*
 * See http.h.  The spare handles go too: they remember TLS sessions, with which a
 * server would not have to show its certificate.
 */
void
http_reconfigure(HttpClient *client)
{
	sigset_t saved;

	network_block_signals(&saved);
	free_all(&client->spare);
	pools_retire(client->context.pools);
	network_restore_signals(&saved);
	take_settings(client);
}

/* See http.h. */
const char *
http_problem(HttpClient *client)
{
	return client->problem[0] ? client->problem : NULL;
}

/* See http.h. */
int
http_descriptor(HttpClient *client)
{
	return pools_descriptor(client->context.pools);
}

/* See http.h. */
long
http_timeout(HttpClient *client)
{
	Moment due = pools_due(client->context.pools);

	if (!dlist_is_empty(&client->finished))
		return 0;
	if (due == 0)
		return -1;
	return (long) ((Max(due - clock_now(), 0) + 999) / 1000);
}

/* A transfer for a new request; raises an error if there is no memory. */
static Transfer *
get_transfer(HttpClient *client, const char *const *wanted_headers)
{
	Transfer *transfer;

	if (dlist_is_empty(&client->spare))
		transfer = transfer_create(&client->context);
	else
		transfer = dlist_container(Transfer, node, dlist_pop_head_node(&client->spare));
	if (transfer == NULL || !response_begin(&transfer->response, wanted_headers))
	{
		if (transfer)
			transfer_free(transfer);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	return transfer;
}

/* See http.h.  Raises an error only when there is no memory at all. */
void
http_start(HttpClient *client, const HttpRequest *request)
{
	Transfer *transfer = get_transfer(client, request->wanted_headers);

	if (client->context.trust == NULL)
	{
		transfer->response.result.tag = request->tag;
		transfer->response.result.outcome = HTTP_FAILED;
		strlcpy(transfer->response.result.error, client->problem,
				sizeof(transfer->response.result.error));
		dlist_push_tail(&client->finished, &transfer->node);
	}
	else if (transfer_start(transfer, request))
		dlist_push_tail(&client->running, &transfer->node);
	else
		dlist_push_tail(&client->finished, &transfer->node);
}

/* pools_work() callback: a request is over, unless it has been sent again. */
static void
on_done(CURL *easy, CURLcode code, void *client_pointer)
{
	HttpClient *client = client_pointer;
	Transfer   *transfer;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &transfer);
	Assert(transfer->easy == easy && transfer->context == &client->context);
	if (!transfer_done(transfer, code))
		return;
	dlist_delete(&transfer->node);
	dlist_push_tail(&client->finished, &transfer->node);
}

/* See http.h. */
void
http_work(HttpClient *client)
{
	sigset_t saved;

	network_block_signals(&saved);
	pools_work(client->context.pools, on_done, client);
	network_restore_signals(&saved);
}

/* See http.h. */
void
http_abort(HttpClient *client, void *tag)
{
	dlist_mutable_iter iter;

	Assert(tag != NULL);
	abort_running(client, tag);
	dlist_foreach_modify (iter, &client->finished)
	{
		Transfer *transfer = dlist_container(Transfer, node, iter.cur);

		if (transfer->response.result.tag != tag)
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
	return &transfer->response.result;
}

/* See http.h.  A result is the first thing in a response, and that in a transfer. */
void
http_release(HttpClient *client, HttpResult *result)
{
	Transfer *transfer = (Transfer *) result;

	dlist_delete(&transfer->node);
	if (transfer->configuration != client->context.configuration)
	{
		transfer_free(transfer);
		return;
	}
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
	return client->context.connections->count;
}

/* Waits until the network, the timer or an interrupt has something for us. */
static void
wait_for_network(HttpClient *client)
{
	long timeout = http_timeout(client);
	int	 events;

	events = WaitLatchOrSocket(
		MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | WL_SOCKET_READABLE | WL_TIMEOUT,
		http_descriptor(client), timeout < 0 ? MAX_WAIT : Min(timeout, MAX_WAIT),
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
