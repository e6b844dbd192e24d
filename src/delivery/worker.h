/*
 * worker.h
 *		The delivering process of one database, and what its rooms share.
 */
#ifndef FEATUL_WORKER_H
#define FEATUL_WORKER_H

#include "delivery/dispatch.h"
#include "delivery/recovery.h"

/*
 * The first argument of what its rooms do: reader, sender, settler.  Of each task of theirs
 * a ..._due() tells from the state when it is to be done (0: not before something
 * changes), and the doing is false after an error.
 */
typedef struct Worker
{
	int				number; /* of those of this database, from 0 */
	Recovery		recovery;
	struct Reader  *reader;
	struct Settler *settler;

	/* these begin anew after an error that no step has caught */
	Dispatch			*dispatch;
	HttpClient			*http;
	struct WaitEventSet *wait_events;
	struct EventCache	*events; /* of what will be sent soon (sender.c) */

	bool   rows_came;	 /* into tables that rotate, since rotation looked */
	Moment rotate_at;	 /* 0: when rows have come */
	char   problem[512]; /* that was said about the settings; "" */
} Worker;

extern PGDLLEXPORT void featul_integrations_worker_main(Datum key);

#endif /* FEATUL_WORKER_H */
