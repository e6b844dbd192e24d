/*
 * channel.c
 *		What the kinds of integration have in common: the request around a body,
 *		the signature, the judgement of a response.
 *
 * Also runs in the worker: nothing here trusts a response, and nothing raises
 * an error on account of one.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <math.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <time.h>

#include "common/base64.h"
#include "miscadmin.h"

#include "channel/channel.h"
#include "base/compat.h"
#include "base/settings.h"
#include "base/text.h"

/*
 * How long a response may hold a lane: at most an hour (docs/receivers.md); and at
 * least a moment, lest an endpoint that says 0.001 is asked all the time (ours).
 */
#define HOLD_MIN_MS 250

/* Standard Webhooks: how a secret is marked, and its size (24 to 64 bytes). */
#define SECRET_PREFIX "whsec_"
#define SECRET_BYTES 32

/* HMAC-SHA256 */
#define SIGNATURE_BYTES 32

static const Channel *const channels[] = { &slack_channel, &discord_channel,
										   &teams_channel, &webhook_channel };

/* See channel.h. */
const Channel *
channel_at(int i)
{
	return i < lengthof(channels) ? channels[i] : NULL;
}

/* See channel.h. */
const Channel *
channel_find(const char *type)
{
	for (int i = 0; i < lengthof(channels); i++)
		if (strcmp(channels[i]->type, type) == 0)
			return channels[i];
	return NULL;
}

/* See channel.h. */
const char *
channel_types(void)
{
	static char types[100];

	types[0] = '\0';
	for (int i = 0; i < lengthof(channels); i++)
	{
		if (i > 0)
			strlcat(types, ", ", sizeof(types));
		strlcat(types, channels[i]->type, sizeof(types));
	}
	return types;
}

/* ------------------------------------------------------------------------
 * Requests
 * ------------------------------------------------------------------------ */

/* See channel.h. */
char *
channel_new_secret(void)
{
	uint8 bytes[SECRET_BYTES];
	int	  room = pg_b64_enc_len(SECRET_BYTES) + 1;
	char *secret = palloc0(strlen(SECRET_PREFIX) + room);

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not generate a random secret")));
	strcpy(secret, SECRET_PREFIX);
	compat_base64_encode(bytes, sizeof(bytes), secret + strlen(SECRET_PREFIX), room);
	return secret;
}

/*
 * HMAC-SHA256 of the content into mac (32 bytes).  OpenSSL's one-shot HMAC()
 * looks its algorithms up by name each time, which takes as long as the rest;
 * so one context stays for the life of the process.
 */
static void
sign(const uint8 *key, size_t key_length, const StringInfo content, uint8 *mac)
{
	static EVP_MAC_CTX *context = NULL;
	OSSL_PARAM parameters[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
																 "SHA256", 0),
								OSSL_PARAM_construct_end() };
	size_t	   length;

	if (context == NULL)
	{
		EVP_MAC *algorithm = EVP_MAC_fetch(NULL, "HMAC", NULL);

		context = algorithm ? EVP_MAC_CTX_new(algorithm) : NULL;
		EVP_MAC_free(algorithm);
		if (context && !EVP_MAC_CTX_set_params(context, parameters))
		{
			EVP_MAC_CTX_free(context);
			context = NULL;
		}
	}
	if (context == NULL || !EVP_MAC_init(context, key, key_length, NULL) ||
		!EVP_MAC_update(context, (uint8 *) content->data, content->len) ||
		!EVP_MAC_final(context, mac, &length, SIGNATURE_BYTES))
		elog(ERROR, "could not compute a signature");
}

/*
 * Appends " v1,BASE64" to the header: HMAC-SHA256 over the content, keyed with
 * what the secret's base64 stands for (or its bytes where it is none).
 */
static void
append_signature(StringInfo header, const char *secret, const StringInfo content)
{
	int	   key_room;
	int	   key_length;
	uint8 *key;
	uint8  mac[SIGNATURE_BYTES];
	char   encoded[2 * SIGNATURE_BYTES] = { 0 };

	if (strncmp(secret, SECRET_PREFIX, strlen(SECRET_PREFIX)) == 0)
		secret += strlen(SECRET_PREFIX);
	key_room = pg_b64_dec_len(strlen(secret)) + 1;
	key = palloc(key_room);
	key_length = compat_base64_decode(secret, strlen(secret), key, key_room);
	if (key_length < 0)
	{
		key = (uint8 *) pstrdup(secret);
		key_length = strlen(secret);
	}
	sign(key, key_length, content, mac);
	compat_base64_encode(mac, sizeof(mac), encoded, sizeof(encoded) - 1);
	appendStringInfo(header, " v1,%s", encoded);
}

/* The headers of https://www.standardwebhooks.com for a body that is final. */
static List *
signature_headers(const Endpoint *endpoint, const Event *event, const StringInfo body)
{
	StringInfoData content;
	StringInfoData signature;
	char		  *timestamp = psprintf(INT64_FORMAT, (int64) time(NULL));

	initStringInfo(&content);
	appendStringInfo(&content, "%s.%s.", event->webhook_id, timestamp);
	appendBinaryStringInfo(&content, body->data, body->len);

	initStringInfo(&signature);
	appendStringInfoString(&signature, "webhook-signature:");
	append_signature(&signature, endpoint->secret, &content);
	if (endpoint->previous_secret)
		append_signature(&signature, endpoint->previous_secret, &content);
	pfree(content.data);
	return list_make3(psprintf("webhook-id: %s", event->webhook_id),
					  psprintf("webhook-timestamp: %s", timestamp), signature.data);
}

/* The header that any service may answer with. */
static const char *const retry_after[] = { "Retry-After", NULL };

/* See channel.h. */
void
channel_request(const Endpoint *endpoint, const Event *event, HttpRequest *request)
{
	StringInfoData body;

	initStringInfo(&body);
	endpoint->channel->render(event, &body);

	request->url = endpoint->url;
	request->body = body.data;
	request->body_length = body.len;
	request->timeout_ms = setting_request_timeout;
	request->wanted_headers =
		endpoint->channel->headers ? endpoint->channel->headers : retry_after;
	request->http2 = endpoint->channel->fixed_hosts;
	request->tag = NULL;
	request->headers =
		list_make2(pstrdup("Content-Type: application/json"),
				   psprintf("User-Agent: %s", endpoint->channel->user_agent));
	if (event->traceparent)
		request->headers =
			lappend(request->headers, psprintf("traceparent: %s", event->traceparent));
	if (endpoint->secret)
		request->headers =
			list_concat(request->headers, signature_headers(endpoint, event, &body));
}

/* ------------------------------------------------------------------------
 * Responses
 * ------------------------------------------------------------------------ */

/* Within the bounds of a hold; -1 if there is nothing to wait for. */
static int64
bounded_hold(double ms)
{
	if (!(ms > 0))
		return -1;
	return (int64) Min(Max(ceil(ms), HOLD_MIN_MS), CHANNEL_MAX_HOLD_MS);
}

/* See channel.h. */
int64
channel_seconds_to_ms(const char *seconds)
{
	char  *end;
	double value;

	/* strtod() alone would also take inf, nan, hexadecimal and signs */
	if (*seconds == '\0' || seconds[strspn(seconds, "0123456789.")] != '\0')
		return -1;
	value = strtod(seconds, &end);
	return *end == '\0' ? bounded_hold(value * 1000.0) : -1;
}

/* RFC 9110, 10.2.3: a number of seconds (fractions too, as Discord writes them) or a date. */
static int64
retry_after_ms(const char *retry_after)
{
	time_t date;

	if (retry_after == NULL)
		return -1;
	if (*retry_after >= '0' && *retry_after <= '9')
		return channel_seconds_to_ms(retry_after);
	date = curl_getdate(retry_after, NULL);
	return date == -1 ? -1 : bounded_hold(difftime(date, time(NULL)) * 1000.0);
}

/* Whether the answer asks the whole integration to wait. */
static bool
holds(const HttpResult *result)
{
	return result->status == 429 ||
		   (result->status == 503 && http_header(result, "Retry-After") != NULL);
}

/* Whether a status speaks about the message (docs/receivers.md). */
static bool
is_about_message(int status)
{
	return status == 400 || status == 413 || status == 415 || status == 422;
}

/* The words for a hold, with how long where that was said. */
static char *
hold_error(int status, int64 hold_ms)
{
	if (hold_ms < 0)
		return psprintf("HTTP %d: asked to wait", status);
	return psprintf("HTTP %d: asked to wait %g s", status, hold_ms / 1000.0);
}

/* A response that neither succeeded nor carried a code of the service: tried again, unless set otherwise. */
static void
judge_status(const HttpResult *result, Verdict *verdict)
{
	if (result->status == 410) /* RFC 9110, 15.5.11 */
	{
		verdict->kind = VERDICT_GONE;
		verdict->error = pstrdup("HTTP 410: gone");
		verdict->reason =
			pstrdup("The endpoint says that it is gone for good (HTTP 410).");
	}
	else if (holds(result))
	{
		verdict->kind = VERDICT_HOLD;
		verdict->error = hold_error(result->status, verdict->hold_ms);
	}
	else if (result->status / 100 == 3)
	{
		verdict->error = psprintf("HTTP %d: redirects are not followed", result->status);
		verdict->hint = "Connect the URL that it redirects to.";
	}
	else
	{
		verdict->error = psprintf("HTTP %d", result->status);
		verdict->hint = "That is the endpoint's own answer: look there for the reason.";
	}
}

/* See channel.h. */
Verdict
channel_judge(const Channel *channel, const HttpResult *result)
{
	Verdict verdict = { .kind = VERDICT_RETRY, .hold_ms = -1 };
	bool	decided;

	verdict.pace_ms = channel->pace_ms;
	if (result->outcome != HTTP_RESPONSE)
	{
		verdict.error = pstrdup(*result->error ? result->error : "the request failed");
		verdict.hint = result->hint;
		return verdict;
	}
	verdict.about_message = is_about_message(result->status);
	if (holds(result))
		verdict.hold_ms = retry_after_ms(http_header(result, "Retry-After"));
	decided = channel->judge && channel->judge(result, &verdict);
	if (result->status / 100 == 2)
		verdict.kind = VERDICT_DELIVERED;
	else if (!decided || (result->status == 410 && verdict.kind != VERDICT_GONE))
		judge_status(result, &verdict);
	return verdict;
}

/* See channel.h. */
char *
channel_response_excerpt(const HttpResult *result, int max_characters)
{
	return text_from_foreign(result->body, result->body_length, max_characters);
}
