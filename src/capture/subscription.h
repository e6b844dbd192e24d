/*
 * subscription.h
 *		Which integrations of a workspace want which events: a process-local
 *		cache of the active integrations, and of boards that nobody listens to.
 */
#ifndef FEATUL_SUBSCRIPTION_H
#define FEATUL_SUBSCRIPTION_H

#include "utils/uuid.h"

#include "capture/payload.h"
#include "capture/rule.h"

/* One active integration. */
typedef struct Subscription
{
	pg_uuid_t id;
	bool	  is_chat;	/* shows more than the payload */
	uint32	  events;	/* bit per EventKind */
	int		  n_boards; /* -1: all */
	Text	 *boards;	/* ids, in an order of our own */
	JsonPath *rule;		/* or NULL */
	/* why its rule is never run, or NULL: it stands in the table, but would not be accepted */
	const char *objection;
} Subscription;

typedef struct Subscriptions
{
	int			  count;
	Subscription *list;
} Subscriptions;

/* Whether any integration is active in this database; needs no rights. */
extern bool subscriptions_any(void);

/*
 * The workspace's active integrations: in the current memory context, or remembered until the
 * end of the transaction at least.  Needs the extension's rights.
 */
extern const Subscriptions *subscriptions_of(Text workspace_id);

/* Whether this one wants the event, its rule apart. */
extern bool subscription_wants(const Subscription *subscription, EventKind event,
							   Text board_id);

/*
 * Boards (by the bytes of their key in the post table) whose workspace has no
 * active integration.  Remembered only if nothing changed since the answer of
 * subscriptions_clock() that is given.
 */
extern uint64 subscriptions_clock(void);
extern void	  quiet_board_remember(Datum key, bool by_value, int length, uint64 clock);
extern bool	  quiet_board_known(Datum key, bool by_value, int length);

#endif /* FEATUL_SUBSCRIPTION_H */
