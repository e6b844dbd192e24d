/*
 * settings.c
 *		Definition of the settings; what they mean is in README.md.
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "settings.h"

char	   *setting_user_id = NULL;
bool		setting_capture = true;
bool		setting_operator = false;
bool		setting_delivery = true;
int			setting_request_timeout = 10000;
int			setting_max_attempts = 3;
int			setting_retry_delay = 10000;
int			setting_max_in_flight = 256;
int			setting_max_in_flight_per_integration = 8;
int			setting_retention = 7 * 86400;
int			setting_workers = 1;
char	   *setting_allowed_networks = NULL;
char	   *setting_connect_to = NULL;
char	   *setting_ca_file = NULL;
char	   *setting_proxy = NULL;
char	   *setting_post_url = NULL;

void
settings_define(void)
{
	DefineCustomStringVariable("featul_integrations.user_id",
							   "The acting user of integration_* calls.",
							   "Where empty, the sub of request.jwt.claims.",
							   &setting_user_id, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("featul_integrations.capture",
							 "Whether changes are captured as events.",
							 "SET LOCAL to off leaves out bulk work such as imports.",
							 &setting_capture, true, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("featul_integrations.operator",
							 "Lets a DBA call integration_* without an acting user.",
							 "Skips the role check, never the plan.",
							 &setting_operator, false, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("featul_integrations.delivery",
							 "Whether anything is sent.",
							 "Off on staging copies; events wait.",
							 &setting_delivery, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("featul_integrations.request_timeout",
							"Time limit of one request, from connecting to the response's end.",
							NULL, &setting_request_timeout, 10000, 100, 600000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("featul_integrations.max_attempts",
							"Attempts before a delivery has failed.",
							NULL, &setting_max_attempts, 3, 1, 100,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("featul_integrations.retry_delay",
							"Pause after the first failed attempt; doubles with each further one.",
							NULL, &setting_retry_delay, 10000, 1, 86400000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("featul_integrations.max_in_flight",
							"Requests a worker has under way at once.",
							NULL, &setting_max_in_flight, 256, 1, 10000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("featul_integrations.max_in_flight_per_integration",
							"Requests to one integration under way at once.",
							NULL, &setting_max_in_flight_per_integration, 8, 1, 1000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("featul_integrations.retention",
							"How long settled deliveries and their payloads are kept.",
							NULL, &setting_retention, 7 * 86400, 60, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomStringVariable("featul_integrations.allowed_networks",
							   "Comma-separated CIDRs that may be reached though not public.",
							   NULL, &setting_allowed_networks, "",
							   PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("featul_integrations.connect_to",
							   "Comma-separated HOST:PORT:HOST:PORT: where a host is really reached.",
							   NULL, &setting_connect_to, "",
							   PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("featul_integrations.ca_file",
							   "CA bundle to trust instead of the system's.",
							   NULL, &setting_ca_file, "",
							   PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("featul_integrations.proxy",
							   "Egress proxy; it is then trusted to filter names.",
							   NULL, &setting_proxy, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("featul_integrations.post_url",
							   "URL of a post; {workspace} and {post} are slugs.",
							   NULL, &setting_post_url,
							   "https://{workspace}.featul.com/posts/{post}",
							   PGC_SIGHUP, 0, NULL, NULL, NULL);

	/* PGC_POSTMASTER settings cannot be defined later than this */
	if (process_shared_preload_libraries_in_progress)
		DefineCustomIntVariable("featul_integrations.workers",
								"Delivering processes per database.",
								NULL, &setting_workers, 1, 1, 16,
								PGC_POSTMASTER, 0, NULL, NULL, NULL);

	MarkGUCPrefixReserved("featul_integrations");
}
