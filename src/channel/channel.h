/*
 * channel.h
 *		What differs between the kinds of integration.
 *
 * A channel (slack.c, discord.c, teams.c, webhook.c) is one file and one entry in
 * the table in channel.c: validate a URL, render an event, judge a response.
 */
#ifndef FEATUL_CHANNEL_H
#define FEATUL_CHANNEL_H

#include "lib/stringinfo.h"
#include "utils/timestamp.h"

#include "network/http.h"
#include "base/settings.h"

#define FEATUL_USER_AGENT "featul-integrations/" FEATUL_VERSION

/* The longest that an endpoint may ask to wait (docs/receivers.md), ms. */
#define CHANNEL_MAX_HOLD_MS 3600000

/* An event as the table event has it. */
typedef struct Event
{
	const char *name;		/* post.created, ..., integration.test */
	const char *webhook_id; /* msg_UUID */
	const char *payload;	/* JSON, database encoding */
	const char *labels;		/* JSON or NULL; what chat messages show beyond the payload */
	const char *traceparent; /* W3C trace context, or NULL */
	TimestampTz created_at;

	/* what one chat message tells besides; all 0: nothing */
	int					count; /* deliveries that it stands for */
	int					posts; /* that these are about */
	int					n_others;
	const struct Event *others; /* of other posts, or the mentions in a comment */
} Event;

typedef enum VerdictKind
{
	VERDICT_DELIVERED,
	VERDICT_RETRY,	   /* failed, try again later */
	VERDICT_HOLD,	   /* 429, 503: the lane waits; uses up no attempt */
	VERDICT_UNWELCOME, /* failed for the message's own sake: says nothing about others */
	VERDICT_REJECTED,  /* malformed message: fails at once */
	VERDICT_GONE	   /* endpoint gone: the integration becomes inactive */
} VerdictKind;

typedef struct Verdict
{
	VerdictKind kind;
	int64		hold_ms; /* VERDICT_HOLD: how long, at most 1 h; -1: as after a failure */
	bool		holds_channel; /* VERDICT_HOLD: all integrations of this type wait */
	bool		about_message; /* the status speaks about the message, not the endpoint */
	int64		pace_ms;	   /* any kind: no next request before this, 0: none */
	char	   *error;		   /* palloc'd, one line; NULL when delivered */
	char	   *reason;		   /* VERDICT_GONE: what a workspace admin reads, palloc'd */
	const char *hint;		   /* what its admin can do about the error, or NULL */
} Verdict;

typedef struct Channel
{
	const char *type;  /* "slack" */
	const char *label; /* "Slack", in messages */
	const char *user_agent;
	int			pace_ms; /* least pause between two requests to one endpoint, 0: none */
	bool		signs;	 /* has a secret */
	bool		fixed_hosts; /* URLs lead to the service's own hosts: HTTP/2 is offered */
	bool		merges; /* several waiting events may become one message (Event.others) */

	/* of a response, for judge(): Retry-After among them, NULL at the end; NULL: it alone */
	const char *const *headers;

	/* ereport(ERROR, PT400) with message and hint unless the URL will do */
	void (*check_url)(const char *url);

	/* Appends the request's body: UTF-8 whatever the database encoding */
	void (*render)(const Event *event, StringInfo body);

	/*
	 * May be NULL.  What this service's own codes and headers say about a
	 * response: sets kind, error and reason and returns true when a code
	 * decides; may set hold_ms and pace_ms in any case.
	 */
	bool (*judge)(const HttpResult *result, Verdict *verdict);
} Channel;

/* One after the other, from 0 on; NULL after the last. */
extern const Channel *channel_at(int i);

/* NULL if there is no such type; types are compared exactly. */
extern const Channel *channel_find(const char *type);

/* "slack, discord, teams, webhook": for hints */
extern const char *channel_types(void);

/* What is needed to write to an endpoint. */
typedef struct Endpoint
{
	const Channel *channel;
	const char	  *url;
	const char	  *secret;			/* whsec_..., NULL unless the channel signs */
	const char	  *previous_secret; /* NULL unless still valid */
} Endpoint;

/*
 * Fills in a request (palloc'd in the current context): body, headers,
 * signature for this attempt, time-out from the settings.
 */
extern void channel_request(const Endpoint *endpoint, const Event *event,
							HttpRequest *request);

/* What a result means.  Never raises an error on account of the response. */
extern Verdict channel_judge(const Channel *channel, const HttpResult *result);

/*
 * A number of seconds ("1", "0.25") as milliseconds within what a lane may be
 * held (docs/receivers.md: at most 1 h); -1 unless it is a positive number.
 */
extern int64 channel_seconds_to_ms(const char *seconds);

/* A response's first characters, valid in the database encoding (palloc'd). */
extern char *channel_response_excerpt(const HttpResult *result, int max_characters);

/* A new whsec_ secret (palloc'd): 32 random bytes, base64. */
extern char *channel_new_secret(void);

/* The channels */
extern const Channel slack_channel;
extern const Channel discord_channel;
extern const Channel teams_channel;
extern const Channel webhook_channel;

#endif /* FEATUL_CHANNEL_H */
