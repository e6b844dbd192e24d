/*
 * record.h
 *		Writing what was captured: events, queue entries and marks.
 */
#ifndef FEATUL_RECORD_H
#define FEATUL_RECORD_H

#include "capture/event.h"

typedef struct Recorder Recorder;

/*
 * Opens the tables that events go to, in the current memory context; function is
 * the extension's trigger function.  Needs no rights; errors are those of any INSERT.
 */
extern Recorder *recorder_open(Oid function);
extern void		 recorder_flush(Recorder *recorder);
extern void		 recorder_close(Recorder *recorder);

/*
 * Writes one event and a queue entry for each of its integrations; many at once,
 * so they are in the tables only after recorder_flush() or recorder_close(), and
 * the record must live until then.
 */
extern void recorder_write(Recorder *recorder, const Record *record);

/* Marks rows as having been visible.  Needs the owner's rights. */
extern void record_hidden(Source source, const Text *ids, int count);

/*
 * Marks milestones as announced, and returns the records (a list of Record *)
 * without those whose milestone had been announced before.  Needs the
 * owner's rights.
 */
extern List *record_milestones(List *records);

#endif /* FEATUL_RECORD_H */
