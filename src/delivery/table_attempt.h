/*
 * table_attempt.h
 *		Writing down what attempts came to: the log, and the end or new state of
 *		the rows of queue.
 */
#ifndef FEATUL_TABLE_ATTEMPT_H
#define FEATUL_TABLE_ATTEMPT_H

#include "delivery/table_queue.h"

/* What an attempt came to, as delivery/outcome decides it. */
typedef struct Settlement
{
	struct Delivery *delivery;
	pg_uuid_t		 integration_id;
	int64			 id;
	uint64			 xid;
	EventKey		 event;
	const char		*workspace_id;
	const char		*type;
	const char		*state; /* as in attempt.state */
	bool			 ends;	/* the row leaves the queue */
	bool			 last;	/* of those that went out with one request */
	int				 attempts;
	int				 http_status; /* 0: none */
	const char		*error;		  /* or NULL */
	const char		*response;	  /* or NULL */
	int				 duration_ms; /* -1: none */
	TimestampTz		 at;
	TimestampTz		 next_attempt_at; /* 0: none, or as soon as its lane may send */
} Settlement;

/*
 * Records settlements (a List of Settlement *).  Between table_begin() and
 * table_commit().
 */
extern void attempt_record(List *settlements);

#endif /* FEATUL_TABLE_ATTEMPT_H */
