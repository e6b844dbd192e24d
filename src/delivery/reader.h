/*
 * reader.h
 *		Reading: which integrations there are, and what is pending for them.
 *
 * Each reading is a step of its own: what it takes over it takes over whole.
 * Its ..._due() says when it is to be taken, so that nothing that is left for later can be
 * slept over (worker.c).
 */
#ifndef FEATUL_READER_H
#define FEATUL_READER_H

#include "base/clock.h"
#include "delivery/dispatch.h"
#include "delivery/recovery.h"
#include "process/slots.h"

typedef struct Reader
{
	Recovery	*recovery;
	int			 number; /* of the worker, from 0 */
	QueueReader *queue;
	Dispatch	*dispatch;
	HttpClient	*http;

	/* what is to be read */
	bool	  all; /* all integrations, */
	int		  n_changed;
	pg_uuid_t changed[SLOTS_MAX_CHANGED]; /* or these */
	bool	  pending;					  /* which of them have something pending */
	bool	  recent;					  /* what has been committed since, */
	Moment	  nap_until;				  /* but not before this */

	bool found;	  /* rows have come in; whoever looks may clear it */
	int	 foreign; /* integrations that were reported as restored or copied */
} Reader;

/* Once; the current context is for good. */
extern void reader_init(Reader *reader, Recovery *recovery, int number);

/* Begins anew: all is to be read. */
extern void reader_reset(Reader *reader, Dispatch *dispatch, HttpClient *http);

/* What other processes say has changed (SIGNAL_...). */
extern void reader_note(Reader *reader, uint32 signals);

/* Integrations: all, or those that changed. */
extern Moment reader_integrations_due(const Reader *reader);
extern bool	  reader_read_integrations(Reader *reader);

/* Which integrations have something pending: at the beginning. */
extern Moment reader_pending_due(const Reader *reader);
extern bool	  reader_read_pending(Reader *reader);

/* What has been committed since the last time. */
extern Moment reader_recent_due(const Reader *reader);
extern bool	  reader_read_recent(Reader *reader);

/* More rows of the lanes that have run low. */
extern Moment reader_lanes_due(const Reader *reader);
extern bool	  reader_read_lanes(Reader *reader);

/*
 * True if it will look for what is new by itself before long, so that nobody need
 * wake it.
 */
extern bool reader_naps(const Reader *reader, Moment now);

#endif /* FEATUL_READER_H */
