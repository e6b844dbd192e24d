/*
 * settings.h
 *		The settings of the extension: featul_integrations.*
 *
 * Each variable is the setting of the same name; README.md has the table.
 */
#ifndef FEATUL_SETTINGS_H
#define FEATUL_SETTINGS_H

/* The most that max_in_flight can be set to. */
#define SETTING_MAX_IN_FLIGHT_BOUND 10000

extern char *setting_user_id; /* '' when not set */
extern bool	 setting_capture;
extern char *setting_traceparent; /* '' when not set */
extern bool	 setting_operator;
extern bool	 setting_delivery;
extern int	 setting_request_timeout; /* ms */
extern int	 setting_max_attempts;
extern int	 setting_retry_delay; /* ms */
extern int	 setting_max_in_flight;
extern int	 setting_max_in_flight_per_integration;
extern int	 setting_retention; /* s */
extern int	 setting_workers;	/* per database */
extern char *setting_allowed_networks;
extern char *setting_connect_to;
extern char *setting_ca_file;
extern char *setting_proxy;
extern char *setting_post_url;

/* Defines them all; called once, from _PG_init. */
extern void settings_define(void);

/*
 * The name of a setting whose value could not be understood when the server
 * started, and which nobody has set since: nothing may be delivered.  NULL if
 * there is none.  Of those that decide what is dialled: nothing may be dialled.
 */
extern const char *settings_misunderstood(void);
extern const char *settings_misunderstood_route(void);

/*
 * Whether requests may be started: delivery is on, and nothing about the settings
 * stands in the way; in this process nobody has found more that does.
 */
extern bool settings_may_deliver(void);
extern void settings_hold_delivery(bool hold);

#endif /* FEATUL_SETTINGS_H */
