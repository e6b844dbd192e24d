/*
 * table_queue.h
 *		What is pending: the tables queue and event, as the worker reads them.
 *
 * Everything here runs between table_begin() and table_commit() (statement.h).
 */
#ifndef FEATUL_TABLE_QUEUE_H
#define FEATUL_TABLE_QUEUE_H

#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/event_kind.h"
#include "channel/channel.h"
#include "delivery/durable.h"

/* Where an event is. */
typedef struct EventKey
{
	int	  partition;
	int64 id;
} EventKey;

/* A pending delivery: a row of queue. */
typedef struct QueueRow
{
	pg_uuid_t	integration_id;
	int64		id;
	uint64		xid;
	EventKey	event;
	EventKind	kind; /* EVENT_COUNT: not known */
	uint64		post; /* a hash of the post's id: collisions only serialize */
	int			attempts;
	TimestampTz next_attempt_at; /* 0: at once */
} QueueRow;

/* Rows, and what is to be flushed before they may be told (durable.h). */
typedef struct QueueRows
{
	int			 count;
	QueueRow	*rows;
	DurableNotes notes;
} QueueRows;

/* An integration with unread rows from this id on. */
typedef struct QueueMark
{
	pg_uuid_t integration_id;
	int64	  id;
} QueueMark;

typedef struct QueueMarks
{
	int		   count;
	QueueMark *marks;
} QueueMarks;

/* Where reading has come to. */
typedef struct QueueReader QueueReader;

/* A reader, palloc'd for good: it has read nothing yet. */
extern QueueReader *queue_reader_create(void);

/*
 * Integrations that have pending rows, with mark 0, and starts the reading of
 * new ones: what queue_read_new() returns next was committed after this.
 */
extern QueueMarks queue_read_pending(QueueReader *reader);

/*
 * Rows that were committed since the last call, at most limit of them.  If
 * there are more, no rows, and instead for each integration concerned the
 * lowest id (marks).
 */
extern QueueRows queue_read_new(QueueReader *reader, int limit, QueueMarks *marks);

/*
 * What was read last is taken over; else the next call reads it again.  Needs no
 * transaction.
 */
extern void queue_reader_advance(QueueReader *reader);

/* An integration's next pending rows by id. */
extern QueueRows queue_read_lane(const pg_uuid_t *integration_id, int64 after, int limit);

/*
 * Calls take() for each event found, with its index in keys, in a context that
 * is reset afterwards and has the event's strings.
 */
extern void queue_read_events(const EventKey *keys, int count,
							  void (*take)(int index, const Event *event, void *argument),
							  void *argument);

/*
 * Cancels at most limit pending rows of an integration that is gone, inactive
 * or not of this database.  Returns how many.
 */
extern int queue_cancel(const pg_uuid_t *integration_id, const char *reason, int limit);

#endif /* FEATUL_TABLE_QUEUE_H */
