/*
 * tls.c
 *		Whom we trust, and what a TLS peer may cost us.
 *
 * libcurl leaves the OpenSSL context of each connection to us before the
 * handshake.  It gets one shared store of certificates, and bounds on what a
 * hostile server can make us compute: no finite-field Diffie-Hellman, whose
 * parameters the server chooses (0.3 to 0.8 s for 8,192 bits and more), short
 * chains, keys of ordinary size, no renegotiation.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "base/file_stamp.h"
#include "network/tls.h"

/*
 * Bounds of what a server sends (ours).  Public CAs issue RSA keys of 2,048 to
 * 4,096 bits with the exponent 65,537 under one or two intermediates.
 */
#define MAX_CHAIN_BYTES 65536
#define MAX_CHAIN_CERTIFICATES 10
#define MAX_KEY_BITS 8192
#define MAX_EXPONENT_BITS 64

const char *const tls_ciphers = "DEFAULT:!kDHE:!PSK:!SRP";

/*
 * Key exchange of TLS 1.3, and curves of 1.2; with the hybrid of RFC 9794 where
 * this OpenSSL knows it.  Its own default has finite fields of 8,192 bits in it.
 */
static const char *const group_lists[] = { "X25519MLKEM768:X25519:P-256:P-384:P-521",
										   "X25519:P-256:P-384:P-521" };

/*
 * The last libcurl seen that loads nothing where CURLOPT_CAINFO is NULL (8.14.1; 8.22.0
 * loads its built-in bundle).  Giving it a certificate costs 0.1 ms a connection.
 */
#define LAST_TO_LOAD_NONE 0x080e01

struct TlsTrust
{
	X509_STORE *store;
	FileStamp	stamp; /* of the file it was read from */
	BIO		   *one;   /* of its certificates, in PEM; or NULL */
};

/* ------------------------------------------------------------------------
 * Trust
 * ------------------------------------------------------------------------ */

/* Adds the certificates of a file, or those of a directory as they are needed. */
static bool
load_into(X509_STORE *store, const char *file, const char *directory)
{
	if (file)
		return X509_STORE_load_file(store, file) == 1;
	if (directory)
		return X509_STORE_load_path(store, directory) == 1;
	return X509_STORE_set_default_paths(store) == 1;
}

/* One of the certificates, as PEM in memory; NULL if none is known beforehand. */
static BIO *
one_certificate(X509_STORE *store)
{
	STACK_OF(X509) *certificates = X509_STORE_get1_all_certs(store);
	BIO *pem =
		certificates && sk_X509_num(certificates) > 0 ? BIO_new(BIO_s_mem()) : NULL;

	if (pem && PEM_write_bio_X509(pem, sk_X509_value(certificates, 0)) != 1)
	{
		BIO_free(pem);
		pem = NULL;
	}
	sk_X509_pop_free(certificates, X509_free);
	return pem;
}

/* See tls.h. */
TlsTrust *
tls_load_trust(TlsTrust *old, const char *path, char *problem, size_t problem_size)
{
	const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);
	const char					 *file = path && *path ? path : curl->cainfo;
	FileStamp					  stamp = { 0 };
	TlsTrust					 *trust;

	if (file)
		stamp = file_stamp(file);
	if (old && file_stamp_same(&old->stamp, &stamp))
		return old;
	tls_free_trust(old);
	trust = calloc(1, sizeof(TlsTrust));
	ERR_clear_error();
	errno = 0;
	if (trust)
	{
		trust->stamp = stamp;
		trust->store = X509_STORE_new();
	}
	if (trust == NULL || trust->store == NULL)
	{
		snprintf(problem, problem_size, "out of memory");
		free(trust);
		return NULL;
	}
	if (load_into(trust->store, file, curl->capath))
	{
		if (curl->version_num > LAST_TO_LOAD_NONE)
			trust->one = one_certificate(trust->store);
		return trust;
	}

	/* errno is OpenSSL's last: where the file can be opened, its content is at fault */
	if (file && access(file, R_OK) != 0)
		snprintf(problem, problem_size, "the CA bundle \"%s\" cannot be read: %s", file,
				 strerror(errno));
	else
		snprintf(problem, problem_size, "\"%s\" holds no CA certificates in PEM format",
				 file ? file : "the system's default");
	ERR_clear_error();
	tls_free_trust(trust);
	return NULL;
}

/* See tls.h. */
void
tls_free_trust(TlsTrust *trust)
{
	if (trust == NULL)
		return;
	X509_STORE_free(trust->store);
	BIO_free(trust->one);
	free(trust);
}

/* See tls.h. */
struct curl_blob
tls_one_certificate(const TlsTrust *trust)
{
	struct curl_blob blob = { .flags = CURL_BLOB_COPY };
	char			*data = NULL;

	if (trust && trust->one)
	{
		blob.len = BIO_get_mem_data(trust->one, &data);
		blob.data = data;
	}
	return blob;
}

/* ------------------------------------------------------------------------
 * Bounds
 * ------------------------------------------------------------------------ */

/* Words for what is out of bounds about a certificate's key, NULL if nothing is. */
static const char *
key_refusal(X509 *certificate)
{
	EVP_PKEY   *key = X509_get0_pubkey(certificate);
	BIGNUM	   *exponent = NULL;
	const char *refusal = NULL;

	if (key == NULL)
		return NULL; /* of a kind that OpenSSL does not know: not verified by it either */
	if (EVP_PKEY_get_bits(key) > MAX_KEY_BITS)
		return "a key in its certificate chain is longer than 8192 bits";
	if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) == 1 &&
		BN_num_bits(exponent) > MAX_EXPONENT_BITS)
		refusal = "an RSA exponent in its certificate chain is longer than 64 bits";
	BN_free(exponent);
	return refusal;
}

/* Words for what is out of bounds about what the peer has sent, NULL if nothing is. */
static const char *
chain_refusal(X509_STORE_CTX *context)
{
	STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(context);
	const char *refusal = NULL;

	if (sk_X509_num(sent) > MAX_CHAIN_CERTIFICATES)
		return "its certificate chain is longer than 10 certificates";
	for (int i = 0; i < sk_X509_num(sent) && refusal == NULL; i++)
		refusal = key_refusal(sk_X509_value(sent, i));
	ERR_clear_error();
	return refusal;
}

/* SSL_CTX_set_cert_verify_callback(): looks at sizes first, then verifies. */
static int
verify_chain(X509_STORE_CTX *context, void *peer_pointer)
{
	TlsPeer *peer = peer_pointer;

	peer->refusal = chain_refusal(context);
	if (peer->refusal == NULL)
		return X509_verify_cert(context);
	X509_STORE_CTX_set_error(context, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

/* SSL_CTX_set_msg_callback(): sees the header of each record, as it came. */
static void
on_message(int is_sent, int version, int content_type, const void *data, size_t length,
		   SSL *ssl, void *peer_pointer)
{
	const unsigned char *header = data;
	TlsPeer				*peer = peer_pointer;

	/* RFC 8446, 5.1: type, version, length */
	if (!is_sent && content_type == SSL3_RT_HEADER && length == SSL3_RT_HEADER_LENGTH)
		peer->on_record(peer,
						SSL3_RT_HEADER_LENGTH + ((size_t) header[3] << 8) + header[4]);
}

/* The first list of groups that this OpenSSL knows all of. */
static bool
set_groups(SSL_CTX *context)
{
	for (int i = 0; i < lengthof(group_lists); i++)
		if (SSL_CTX_set1_groups_list(context, group_lists[i]) == 1)
			return true;
	return false;
}

/* See tls.h. */
bool
tls_set_up(void *ssl_context, TlsTrust *trust, TlsPeer *peer)
{
	SSL_CTX *context = ssl_context;
	bool	 is_set;

	SSL_CTX_set1_cert_store(context, trust->store);
	SSL_CTX_set_cert_verify_callback(context, verify_chain, peer);
	SSL_CTX_set_max_cert_list(context, MAX_CHAIN_BYTES);
	SSL_CTX_set_verify_depth(context, MAX_CHAIN_CERTIFICATES);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
	is_set = set_groups(context);
	ERR_clear_error();
	if (!peer->set_up)
	{
		SSL_CTX_set_msg_callback(context, on_message);
		SSL_CTX_set_msg_callback_arg(context, peer);
	}
	peer->set_up = true;
	return is_set;
}

/* See tls.h. */
bool
tls_is_openssl(void)
{
	const char *version = curl_version_info(CURLVERSION_NOW)->ssl_version;
	char		ours[32];

	/* "OpenSSL/3.0.19" */
	snprintf(ours, sizeof(ours), "OpenSSL/%d.", OPENSSL_VERSION_MAJOR);
	return version && strncmp(version, ours, strlen(ours)) == 0;
}
