/*
 * settings.c
 *		Definition of the settings; what they mean is in README.md.
 *
 * PostgreSQL refuses a bad value when it is set, but one that it finds when the
 * server starts it drops, with a WARNING, for the default: `delivery = 'disabled'`
 * would deliver, a proxy mistyped would be gone round.  So what could not be
 * understood then is remembered, until a value that can be has been assigned.
 */
#include "postgres.h"

#include <limits.h>
#include <sys/stat.h>

#include <curl/curl.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "access/parallel.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "base/address.h"
#include "base/compat.h"
#include "base/fault.h"
#include "base/file_stamp.h"
#include "base/settings.h"

/* Longest element of connect_to; http.c's buffer has room for it. */
#define CONNECT_TO_MAX_BYTES 1000

/* Longest proxy. */
#define PROXY_MAX_BYTES 2000

/* Longest post_url: with two slugs it should still be a URL that all accept. */
#define POST_URL_MAX_BYTES 1000

char *setting_user_id = NULL;
bool  setting_capture = true;
char *setting_traceparent = NULL;
bool  setting_operator = false;
bool  setting_delivery = true;
int	  setting_request_timeout = 10000;
int	  setting_max_attempts = 3;
int	  setting_retry_delay = 10000;
int	  setting_max_in_flight = 256;
int	  setting_max_in_flight_per_integration = 8;
int	  setting_retention = 7 * 86400;
int	  setting_workers = 1;
char *setting_allowed_networks = NULL;
char *setting_connect_to = NULL;
char *setting_ca_file = NULL;
char *setting_proxy = NULL;
char *setting_post_url = NULL;

/* ------------------------------------------------------------------------
 * What could not be understood
 * ------------------------------------------------------------------------ */

/* The settings that delivery depends on; those from ROUTES on decide what is dialled. */
typedef enum Guarded
{
	GUARDED_delivery,
	GUARDED_request_timeout,
	GUARDED_max_attempts,
	GUARDED_retry_delay,
	GUARDED_max_in_flight,
	GUARDED_max_in_flight_per_integration,
	GUARDED_retention,
	GUARDED_workers,
	GUARDED_post_url,
	GUARDED_ROUTES,
	GUARDED_allowed_networks = GUARDED_ROUTES,
	GUARDED_connect_to,
	GUARDED_ca_file,
	GUARDED_proxy,
	GUARDED_COUNT
} Guarded;

static const char *const guarded_names[GUARDED_COUNT] = {
	"featul_integrations.delivery",
	"featul_integrations.request_timeout",
	"featul_integrations.max_attempts",
	"featul_integrations.retry_delay",
	"featul_integrations.max_in_flight",
	"featul_integrations.max_in_flight_per_integration",
	"featul_integrations.retention",
	"featul_integrations.workers",
	"featul_integrations.post_url",
	"featul_integrations.allowed_networks",
	"featul_integrations.connect_to",
	"featul_integrations.ca_file",
	"featul_integrations.proxy",
};

/* Set when the server starts, inherited by its processes. */
static bool misunderstood[GUARDED_COUNT];

/* See settings_hold_delivery(). */
static bool delivery_held = false;

/* The assign hook of a guarded setting: what is assigned has been understood. */
#define DEFINE_ASSIGN(name, type)                                                        \
	static void assign_##name(type newval, void *extra)                                  \
	{                                                                                    \
		misunderstood[GUARDED_##name] = false;                                           \
	}

DEFINE_ASSIGN(delivery, bool)
DEFINE_ASSIGN(request_timeout, int)
DEFINE_ASSIGN(max_attempts, int)
DEFINE_ASSIGN(retry_delay, int)
DEFINE_ASSIGN(max_in_flight, int)
DEFINE_ASSIGN(max_in_flight_per_integration, int)
DEFINE_ASSIGN(retention, int)
DEFINE_ASSIGN(workers, int)
DEFINE_ASSIGN(post_url, const char *)
DEFINE_ASSIGN(connect_to, const char *)
DEFINE_ASSIGN(ca_file, const char *)
DEFINE_ASSIGN(proxy, const char *)

/* Where the values come from that are waiting for their settings to be defined. */
static void
read_given(GucSource given[GUARDED_COUNT])
{
	for (int i = 0; i < GUARDED_COUNT; i++)
		given[i] = compat_setting_source(guarded_names[i]);
}

/*
 * Once they are defined, notes which of those values were dropped.  Such a setting
 * counts as set to its default from where the value came, so that what takes that
 * value away is an assignment too: a reload for a file, nothing but a restart for the
 * command line.
 */
static void
note_misunderstood(const GucSource given[GUARDED_COUNT])
{
	for (int i = 0; i < GUARDED_COUNT; i++)
	{
		char *standard;

		if (given[i] == PGC_S_DEFAULT ||
			compat_setting_source(guarded_names[i]) != PGC_S_DEFAULT)
			continue;
		standard = pstrdup(GetConfigOption(guarded_names[i], false, false));
		(void) set_config_option(guarded_names[i], standard,
								 i == GUARDED_workers ? PGC_POSTMASTER : PGC_SIGHUP,
								 given[i] <= PGC_S_FILE ? PGC_S_FILE : PGC_S_ARGV,
								 GUC_ACTION_SET, true, DEBUG5, false);
		misunderstood[i] = true;
	}
}

/* See settings.h. */
const char *
settings_misunderstood(void)
{
	for (int i = 0; i < GUARDED_COUNT; i++)
		if (misunderstood[i])
			return guarded_names[i];
	return NULL;
}

/* See settings.h. */
const char *
settings_misunderstood_route(void)
{
	for (int i = GUARDED_ROUTES; i < GUARDED_COUNT; i++)
		if (misunderstood[i])
			return guarded_names[i];
	return NULL;
}

/* See settings.h. */
void
settings_hold_delivery(bool hold)
{
	delivery_held = hold;
}

/* See settings.h. */
bool
settings_may_deliver(void)
{
	return setting_delivery && !delivery_held && settings_misunderstood() == NULL;
}

/* ------------------------------------------------------------------------
 * Checks: each returns false, with a DETAIL, for a value that will not do
 * ------------------------------------------------------------------------ */

/* Comma-separated CIDRs. */
static bool
check_allowed_networks(char **newval, void **extra, GucSource source)
{
	char bad[64];

	if (address_set_allowed_networks(*newval, false, bad, sizeof(bad)))
		return true;
	GUC_check_errdetail(
		"\"%s\" is not an address range such as 10.1.2.0/24 or fd00::/8, or there are more than 64.",
		bad);
	return false;
}

/* Makes them what address_allowed() consults. */
static void
assign_allowed_networks(const char *newval, void *extra)
{
	(void) address_set_allowed_networks(newval, true, NULL, 0);
	misunderstood[GUARDED_allowed_networks] = false;
}

/* Steps over HOST:PORT, both optional, a host with colons in brackets; NULL if malformed. */
static const char *
skip_host_and_port(const char *text)
{
	char *end;
	long  port;

	if (*text == '[')
	{
		text += 1 + strspn(text + 1, "0123456789abcdefABCDEF:.");
		if (*text++ != ']')
			return NULL;
	}
	else
		text += strcspn(text, ":[]/@ \t");
	if (*text++ != ':')
		return NULL;
	if (*text < '0' || *text > '9')
		return text;
	port = strtol(text, &end, 10);
	return port >= 1 && port <= 65535 ? end : NULL;
}

/* HOST:PORT:HOST:PORT, as curl's --connect-to has it. */
static bool
connect_to_element_valid(const char *element)
{
	const char *rest = skip_host_and_port(element);

	if (rest == NULL || *rest++ != ':')
		return false;
	rest = skip_host_and_port(rest);
	return rest != NULL && *rest == '\0';
}

/* Such elements, separated by commas. */
static bool
check_connect_to(char **newval, void **extra, GucSource source)
{
	const char *rest = *newval;

	while (*rest)
	{
		char element[CONNECT_TO_MAX_BYTES + 1];
		int	 length;

		rest += strspn(rest, " ");
		length = strcspn(rest, ",");
		snprintf(element, sizeof(element), "%.*s", length, rest);
		if (length > CONNECT_TO_MAX_BYTES || !connect_to_element_valid(element))
		{
			GUC_check_errdetail("\"%s\" is not of the form HOST:PORT:HOST:PORT.",
								element);
			return false;
		}
		rest += length;
		if (*rest == ',' && *++rest == '\0')
		{
			GUC_check_errdetail("The list ends with a comma.");
			return false;
		}
	}
	return true;
}

/*
 * True if the file holds at least one certificate that OpenSSL can load.  The check runs in
 * every process on every reload: the file that passed last is not read again.
 */
static bool
holds_certificates(const char *path)
{
	static FileStamp passed;
	FileStamp		 stamp = file_stamp(path);
	X509_STORE		*store;
	bool			 loaded;

	if (file_stamp_same(&stamp, &passed))
		return true;
	store = X509_STORE_new();
	loaded = store != NULL && X509_STORE_load_locations(store, path, NULL) == 1;
	X509_STORE_free(store);
	ERR_clear_error();
	if (loaded)
		passed = stamp;
	return loaded;
}

/* Empty, or a readable file with certificates. */
static bool
check_ca_file(char **newval, void **extra, GucSource source)
{
	struct stat status;

	/*
	 * A parallel worker takes over what its leader has: a file that was removed
	 * since must not break queries.
	 */
	if (**newval == '\0' || InitializingParallelWorker)
		return true;
	if (stat(*newval, &status) != 0 || access(*newval, R_OK) != 0)
	{
		GUC_check_errdetail("The file \"%s\" cannot be read: %m.", *newval);
		return false;
	}
	if (!S_ISREG(status.st_mode) || !holds_certificates(*newval))
	{
		GUC_check_errdetail("The file \"%s\" holds no certificates in PEM format.",
							*newval);
		return false;
	}
	return true;
}

/* True if libcurl can parse it and its scheme is among those given. */
static bool
url_valid(const char *url, unsigned int flags, const char *const *schemes)
{
	CURLU *parsed = curl_url();
	char  *scheme = NULL;
	bool   valid = false;

	if (parsed && curl_url_set(parsed, CURLUPART_URL, url, flags) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK)
		for (; *schemes && !valid; schemes++)
			valid = pg_strcasecmp(scheme, *schemes) == 0;
	curl_free(scheme);
	curl_url_cleanup(parsed);
	return valid;
}

/* Empty, or what CURLOPT_PROXY understands. */
static bool
check_proxy(char **newval, void **extra, GucSource source)
{
	/* what CURLOPT_PROXY knows */
	static const char *const schemes[] = { "http",	 "https",	"socks4", "socks4a",
										   "socks5", "socks5h", NULL };

	char url[PROXY_MAX_BYTES + sizeof("http://")];

	/* without a scheme it is an HTTP proxy, whatever its name starts with */
	snprintf(url, sizeof(url), "%s%s", strstr(*newval, "://") ? "" : "http://", *newval);
	if (**newval == '\0' || (strlen(*newval) <= PROXY_MAX_BYTES &&
							 url_valid(url, CURLU_NON_SUPPORT_SCHEME, schemes)))
		return true;
	/* the value may hold a password: not repeated here */
	GUC_check_errdetail(
		"A proxy is [SCHEME://][USER:PASSWORD@]HOST[:PORT]; schemes are http, https, socks4, socks4a, socks5 and socks5h.");
	return false;
}

/* Steps over '-' and that many lower-case hexadecimal digits, not all of them 0; else NULL. */
static const char *
skip_trace_id(const char *text, size_t digits)
{
	if (*text++ != '-' || strspn(text, "0123456789abcdef") < digits ||
		strspn(text, "0") >= digits)
		return NULL;
	return text + digits;
}

/* Empty, or a traceparent of version 00: https://www.w3.org/TR/trace-context/ section 3.2 */
static bool
check_traceparent(char **newval, void **extra, GucSource source)
{
	const char *rest = *newval;

	if (*rest == '\0')
		return true;
	rest = strncmp(rest, "00", 2) == 0 ? skip_trace_id(rest + 2, 32) : NULL;
	rest = rest ? skip_trace_id(rest, 16) : NULL;
	if (rest && *rest == '-' && strspn(rest + 1, "0123456789abcdef") == 2 &&
		rest[3] == '\0')
		return true;
	GUC_check_errdetail(
		"It is not a W3C traceparent of version 00: 00-TRACE-PARENT-FLAGS in 32, 16 and 2 lower-case hexadecimal digits, neither id all zero.");
	GUC_check_errhint(
		"Pass on the header as your tracer writes it; an empty value is none.");
	return false;
}

/* Where a placeholder ends that starts here; NULL if it is none that we know. */
static const char *
skip_placeholder(const char *text)
{
	if (strncmp(text, "{workspace}", 11) == 0)
		return text + 11;
	if (strncmp(text, "{post}", 6) == 0)
		return text + 6;
	return NULL;
}

/* A URL with no other placeholders than those known. */
static bool
check_post_url(char **newval, void **extra, GucSource source)
{
	static const char *const schemes[] = { "http", "https", NULL };
	char					 example[POST_URL_MAX_BYTES + 1];
	int						 n = 0;

	if (strlen(*newval) > POST_URL_MAX_BYTES)
	{
		GUC_check_errdetail("The URL is longer than %d bytes.", POST_URL_MAX_BYTES);
		return false;
	}
	for (const char *c = *newval; *c;)
	{
		const char *end = skip_placeholder(c);

		if (end == NULL && (*c == '{' || *c == '}'))
		{
			GUC_check_errdetail(
				"There is a brace that belongs to no known placeholder; known are {workspace} and {post}.");
			return false;
		}
		if (end == NULL && (*c <= ' ' || *c >= 0x7F))
		{
			GUC_check_errdetail(
				"Spaces, control characters and other than ASCII characters must be percent-encoded.");
			return false;
		}
		example[n++] = end ? 'x' : *c;
		c = end ? end : c + 1;
	}
	example[n] = '\0';
	if (!url_valid(example, 0, schemes))
	{
		GUC_check_errdetail("It is not an http or https URL.");
		return false;
	}
	return true;
}

/* ------------------------------------------------------------------------
 * Definitions
 * ------------------------------------------------------------------------ */

/* Who calls, and whether a session's changes are captured */
static void
define_session_settings(void)
{
	DefineCustomStringVariable("featul_integrations.user_id",
							   "The acting user of integration_* calls.",
							   "Where empty, the sub of request.jwt.claims.",
							   &setting_user_id, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("featul_integrations.capture",
							 "Whether changes are captured as events.",
							 "SET LOCAL to off leaves out bulk work such as imports.",
							 &setting_capture, true, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("featul_integrations.traceparent",
							   "W3C trace context that goes out with what happens.",
							   "Sent as the header traceparent.", &setting_traceparent,
							   "", PGC_USERSET, 0, check_traceparent, NULL, NULL);
	DefineCustomBoolVariable("featul_integrations.operator",
							 "Lets a DBA call integration_* without an acting user.",
							 "Skips the role check, never the plan.", &setting_operator,
							 false, PGC_SUSET, 0, NULL, NULL, NULL);
}

/* What the workers do, how often and how long */
static void
define_delivery_settings(void)
{
	DefineCustomBoolVariable("featul_integrations.delivery", "Whether anything is sent.",
							 "Off on staging copies; events wait.", &setting_delivery,
							 true, PGC_SIGHUP, 0, NULL, assign_delivery, NULL);
	DefineCustomIntVariable(
		"featul_integrations.request_timeout",
		"Time limit of one request, from connecting to the response's end.", NULL,
		&setting_request_timeout, 10000, 100, 600000, PGC_SIGHUP, GUC_UNIT_MS, NULL,
		assign_request_timeout, NULL);
	DefineCustomIntVariable("featul_integrations.max_attempts",
							"Attempts before a delivery has failed.", NULL,
							&setting_max_attempts, 3, 1, 100, PGC_SIGHUP, 0, NULL,
							assign_max_attempts, NULL);
	DefineCustomIntVariable(
		"featul_integrations.retry_delay",
		"Pause after the first failed attempt; doubles with each further one.", NULL,
		&setting_retry_delay, 10000, 1, 86400000, PGC_SIGHUP, GUC_UNIT_MS, NULL,
		assign_retry_delay, NULL);
	DefineCustomIntVariable("featul_integrations.max_in_flight",
							"Requests a worker has under way at once.", NULL,
							&setting_max_in_flight, 256, 1, SETTING_MAX_IN_FLIGHT_BOUND,
							PGC_SIGHUP, 0, NULL, assign_max_in_flight, NULL);
	DefineCustomIntVariable("featul_integrations.max_in_flight_per_integration",
							"Requests to one integration under way at once.", NULL,
							&setting_max_in_flight_per_integration, 8, 1, 1000,
							PGC_SIGHUP, 0, NULL, assign_max_in_flight_per_integration,
							NULL);
	DefineCustomIntVariable("featul_integrations.retention",
							"How long settled deliveries and their payloads are kept.",
							NULL, &setting_retention, 7 * 86400, 60, INT_MAX, PGC_SIGHUP,
							GUC_UNIT_S, NULL, assign_retention, NULL);

	/* PGC_POSTMASTER settings cannot be defined later than this */
	if (process_shared_preload_libraries_in_progress)
		DefineCustomIntVariable(
			"featul_integrations.workers", "Delivering processes per database.", NULL,
			&setting_workers, 1, 1, 16, PGC_POSTMASTER, 0, NULL, assign_workers, NULL);
}

/* Where requests go, and what URLs look like */
static void
define_network_settings(void)
{
	DefineCustomStringVariable(
		"featul_integrations.allowed_networks",
		"Comma-separated CIDRs that may be reached though not public.", NULL,
		&setting_allowed_networks, "", PGC_SIGHUP, 0, check_allowed_networks,
		assign_allowed_networks, NULL);
	DefineCustomStringVariable(
		"featul_integrations.connect_to",
		"Comma-separated HOST:PORT:HOST:PORT: where a host is really reached.", NULL,
		&setting_connect_to, "", PGC_SIGHUP, 0, check_connect_to, assign_connect_to,
		NULL);
	DefineCustomStringVariable(
		"featul_integrations.ca_file", "CA bundle to trust instead of the system's.",
		NULL, &setting_ca_file, "", PGC_SIGHUP, 0, check_ca_file, assign_ca_file, NULL);
	DefineCustomStringVariable("featul_integrations.proxy",
							   "Egress proxy; it is then trusted to filter names.", NULL,
							   &setting_proxy, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   check_proxy, assign_proxy, NULL);
	DefineCustomStringVariable("featul_integrations.post_url",
							   "URL of a post; {workspace} and {post} are slugs.", NULL,
							   &setting_post_url,
							   "https://{workspace}.featul.com/posts/{post}", PGC_SIGHUP,
							   0, check_post_url, assign_post_url, NULL);
}

/* See settings.h. */
void
settings_define(void)
{
	GucSource given[GUARDED_COUNT];

	read_given(given);
	define_session_settings();
	define_delivery_settings();
	define_network_settings();
	fault_define_setting();
	note_misunderstood(given);
	MarkGUCPrefixReserved("featul_integrations");
}
