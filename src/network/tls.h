/*
 * tls.h
 *		Whom we trust, and what a TLS peer may cost us.
 *
 * Certificates are loaded once and shared by all connections: libcurl by itself
 * would parse the system's bundle for each.  Nothing here raises an error or
 * pallocs: it runs inside libcurl's callbacks.
 */
#ifndef FEATUL_TLS_H
#define FEATUL_TLS_H

/* The certificates that a server's must lead to. */
typedef struct TlsTrust TlsTrust;

/* The TLS side of one connection; has to stay as long as its socket is open. */
typedef struct TlsPeer
{
	/* called with the bytes of each record that comes in */
	void (*on_record)(struct TlsPeer *peer, size_t bytes);
	/* words for the bound that the peer's certificates broke; or NULL */
	const char *refusal;
	bool		set_up; /* its outermost TLS is: within a proxy's there is another */
} TlsPeer;

/* For CURLOPT_SSL_CIPHER_LIST: TLS 1.2 without finite-field Diffie-Hellman. */
extern const char *const tls_ciphers;

/*
 * Loads the certificates of a file, or with NULL or an empty string of what
 * libcurl would take.  old (or NULL) is what was loaded before: it is returned if
 * its file is still the same, else freed.  NULL if they cannot be had: then problem
 * is a sentence that says why.
 */
extern TlsTrust *tls_load_trust(TlsTrust *old, const char *path, char *problem,
								size_t problem_size);
extern void		 tls_free_trust(TlsTrust *trust); /* NULL is fine */

/*
 * For CURLOPT_CAINFO_BLOB: one certificate of those trusted, so that libcurl has
 * something of its own to load: newer ones otherwise load their built-in bundle for each
 * connection, and fail where there is none.  Of length 0 where it is not needed.
 */
extern struct curl_blob tls_one_certificate(const TlsTrust *trust);

/*
 * For CURLOPT_SSL_CTX_FUNCTION: gives the SSL_CTX of a connection this trust and
 * our bounds.  False if that cannot be done.
 */
extern bool tls_set_up(void *ssl_context, TlsTrust *trust, TlsPeer *peer);

/* Whether libcurl's TLS is the library that this one was built with. */
extern bool tls_is_openssl(void);

#endif /* FEATUL_TLS_H */
