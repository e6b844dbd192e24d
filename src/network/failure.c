/*
 * failure.c
 *		A request that got no response, in words that users understand.
 */
#include "postgres.h"

#include <openssl/x509_vfy.h>

#include "network/failure.h"

/* Longest part of libcurl's or OpenSSL's own words that is kept. */
#define MAX_DETAIL 195

/* One printable ASCII line out of what libcurl or OpenSSL says. */
static void
copy_plain(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && n + 1 < size; text++)
		out[n++] = (*text >= ' ' && *text < 0x7F) ? *text : ' ';
	out[n] = '\0';
}

/* True if the TLS handshake failed, or the certificate. */
static bool
is_tls_failure(CURLcode code)
{
	return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR ||
		   code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CIPHER;
}

/* True if it was the proxy that did not let us through. */
static bool
is_proxy_failure(const Failure *failure)
{
	return failure->proxied &&
		   (failure->code == CURLE_COULDNT_RESOLVE_PROXY ||
			failure->code == CURLE_COULDNT_CONNECT || failure->code == CURLE_PROXY ||
			failure->connect_status / 100 > 2);
}

/* What the proxy did. */
static void
describe_proxy(const Failure *failure, char *out, size_t size)
{
	if (failure->connect_status > 0)
		snprintf(out, size, "the proxy answered HTTP %ld", failure->connect_status);
	else if (failure->code == CURLE_COULDNT_RESOLVE_PROXY)
		strlcpy(out, "the proxy's name could not be resolved", size);
	else
		strlcpy(out, "could not connect through the proxy", size);
}

/* See failure.h. */
void
failure_describe(const Failure *failure, char *out, size_t size)
{
	const char *detail =
		*failure->detail ? failure->detail : curl_easy_strerror(failure->code);

	if (is_proxy_failure(failure))
		describe_proxy(failure, out, size);
	else if (is_tls_failure(failure->code))
	{
		strlcpy(out, "TLS: ", size);
		copy_plain(out + 5, Min(size - 5, MAX_DETAIL), detail);
	}
	else if (failure->code == CURLE_OPERATION_TIMEDOUT)
		snprintf(out, size, "no complete response within %g s",
				 failure->timeout_ms / 1000.0);
	else if (failure->code == CURLE_COULDNT_RESOLVE_HOST)
		strlcpy(out, "the host name could not be resolved", size);
	else if (failure->code == CURLE_COULDNT_CONNECT)
		strlcpy(out, "could not connect", size);
	else if (failure->code == CURLE_GOT_NOTHING)
		strlcpy(out, "the connection was closed without an answer", size);
	else if (failure->code == CURLE_SEND_ERROR || failure->code == CURLE_RECV_ERROR)
		strlcpy(out, "the connection broke", size);
	else
		copy_plain(out, size, curl_easy_strerror(failure->code));
}

/* What to do about a certificate that OpenSSL did not accept. */
static const char *
certificate_hint(long verify_result)
{
	switch (verify_result)
	{
		case X509_V_ERR_CERT_HAS_EXPIRED:
			return "The endpoint's certificate, or one that it was issued under, has to be renewed.";
		case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
		case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
		case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
			return "The endpoint has to send a certificate of a public CA, with the intermediate certificates; a private CA is trusted with featul_integrations.ca_file.";
		default:
			return "The endpoint has to speak TLS 1.2 or later at this port, with a certificate for this host name.";
	}
}

/* See failure.h. */
const char *
failure_hint(const Failure *failure)
{
	if (is_proxy_failure(failure))
		return "Check featul_integrations.proxy, and whether the proxy lets this server reach the endpoint.";
	if (is_tls_failure(failure->code))
		return certificate_hint(failure->verify_result);
	if (failure->code == CURLE_OPERATION_TIMEDOUT)
		return "The endpoint has to answer with a 2xx status first and do its work afterwards; if nothing reaches it, look for a firewall in between.";
	if (failure->code == CURLE_COULDNT_RESOLVE_HOST)
		return "Check the host name in the webhook's URL.";
	if (failure->code == CURLE_COULDNT_CONNECT)
		return "Check whether the endpoint is up and accepts connections from this server.";
	if (failure->code == CURLE_GOT_NOTHING || failure->code == CURLE_SEND_ERROR ||
		failure->code == CURLE_RECV_ERROR)
		return "Look into the endpoint's own log, and that of a proxy before it, for why it closed the connection.";
	return NULL;
}
