/*
 * record.h
 *		Writing what was captured: events and queue entries.
 */
#ifndef FEATUL_RECORD_H
#define FEATUL_RECORD_H

#include "capture/nesting.h"
#include "capture/new_event.h"

typedef struct Recorder Recorder;

/*
 * Opens the tables that events go to, in the current memory context; function is
 * the extension's trigger function, nesting where the statement stands, notes: whether what is
 * written may have to be taken back (nesting_note_told()).  Needs no rights; errors are those of any INSERT.
 */
extern Recorder *recorder_open(Oid function, Nesting nesting, bool notes);
extern void		 recorder_flush(Recorder *recorder);
extern void		 recorder_close(Recorder *recorder);

/*
 * Writes one event and a queue entry for each of its integrations; many at once,
 * so they are in the tables only after recorder_flush() or recorder_close(), and
 * the event must live until then.
 */
extern void recorder_write(Recorder *recorder, const NewEvent *event);

#endif /* FEATUL_RECORD_H */
