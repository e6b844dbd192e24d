/*
 * record.c
 *		Writing what was captured: events and queue entries.
 *
 * Events and queue entries are inserted straight into their tables, without a
 * plan (base/own_table.c): starting an executor for two INSERTs costs more than the
 * INSERTs.  Every column is given.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "base/own_table.h"
#include "base/compat.h"
#include "base/event_kind.h"
#include "base/settings.h"
#include "capture/record.h"

/* Columns of the tables, as the install script creates them */
enum
{
	EVENT_PARTITION,
	EVENT_ID,
	EVENT_WEBHOOK_ID,
	EVENT_NAME,
	EVENT_WORKSPACE_ID,
	EVENT_POST_ID,
	EVENT_PAYLOAD,
	EVENT_LABELS,
	EVENT_CREATED_AT,
	EVENT_TRACEPARENT,
	EVENT_COLUMNS
};
enum
{
	QUEUE_ID,
	QUEUE_INTEGRATION_ID,
	QUEUE_EVENT_PARTITION,
	QUEUE_EVENT_ID,
	QUEUE_POST_ID,
	QUEUE_XID,
	QUEUE_ATTEMPTS,
	QUEUE_NEXT_ATTEMPT_AT,
	QUEUE_EVENT_NAME,
	QUEUE_COLUMNS
};

struct Recorder
{
	int16	  event_partition;
	Oid		  sequence;
	Nesting	  nesting;
	bool	  notes;
	Appender *table[2];
};

/* The recorder's tables */
enum
{
	TABLE_EVENT,
	TABLE_QUEUE
};

/*
 * OIDs of the extension's relations.  They are members of it, as the trigger
 * function is, so they live as long as that does.
 */
typedef struct OwnRelations
{
	Oid			function;
	Oid			rotation;
	Oid			queue;
	Oid			sequence;
	TimestampTz read_at;		 /* when these two were: */
	int16		event_partition; /* the partition of event that is written now */
	Oid			event;
} OwnRelations;

/* Looks up all of ours that are written and stay the same. */
static void
find_relations(OwnRelations *own, Oid function)
{
	own->function = InvalidOid; /* until all are found */
	own->rotation = own_table_oid("rotation");
	own->queue = own_table_oid("queue");
	own->sequence = own_table_oid("delivery_id_seq");
	own->read_at = 0;
	own->function = function;
}

/*
 * All of ours that are written.  The partition is looked up at most once a second: one
 * is written for an eighth of the retention, and what comes a moment late into the one
 * before is as safe there.
 */
static const OwnRelations *
own_relations(Oid function)
{
	static OwnRelations own = { 0 };
	TimestampTz			now = GetCurrentStatementStartTimestamp();

	if (own.function != function)
		find_relations(&own, function);
	if (now < own.read_at || now >= own.read_at + USECS_PER_SEC)
	{
		own.read_at = 0; /* until both are read */
		own.event_partition = own_table_current_partition(own.rotation);
		own.event = own_table_oid(psprintf("event_%d", own.event_partition));
		own.read_at = now;
	}
	return &own;
}

/* See record.h. */
Recorder *
recorder_open(Oid function, Nesting nesting, bool notes)
{
	const OwnRelations *own = own_relations(function);
	Recorder		   *recorder = palloc(sizeof(Recorder));

	recorder->event_partition = own->event_partition;
	recorder->sequence = own->sequence;
	recorder->nesting = nesting;
	recorder->notes = notes;
	recorder->table[TABLE_EVENT] = appender_open(own->event, EVENT_COLUMNS);
	recorder->table[TABLE_QUEUE] = appender_open(own->queue, QUEUE_COLUMNS);
	return recorder;
}

/* See record.h. */
void
recorder_close(Recorder *recorder)
{
	appender_close(recorder->table[TABLE_EVENT]);
	appender_close(recorder->table[TABLE_QUEUE]);
}

/* See record.h. */
void
recorder_flush(Recorder *recorder)
{
	appender_flush(recorder->table, lengthof(recorder->table));
}

/* A text datum of a text that is not NULL. */
static Datum
text_datum(Text text)
{
	return PointerGetDatum(cstring_to_text_with_len(text.data, text.length));
}

/*
 * A random UUID (RFC 9562, version 4), as gen_random_uuid() makes them, but with
 * random bytes for many at a time: asking for them takes longer than making them.
 * Palloc'd: a row waits to be written while its place in the pool is filled anew.
 */
static pg_uuid_t *
random_uuid(void)
{
	static pg_uuid_t pool[64];
	static int		 left = 0;
	pg_uuid_t		*uuid = palloc(sizeof(pg_uuid_t));

	if (left == 0)
	{
		if (!pg_strong_random(pool, sizeof(pool)))
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
							errmsg("could not generate random values")));
		left = lengthof(pool);
	}
	*uuid = pool[--left];
	uuid->data[6] = (uuid->data[6] & 0x0f) | 0x40; /* version */
	uuid->data[8] = (uuid->data[8] & 0x3f) | 0x80; /* variant */
	return uuid;
}

/* Puts all columns of a new event into a row. */
static void
fill_event(Recorder *recorder, const NewEvent *event, int64 id)
{
	TupleTableSlot *row = appender_next(recorder->table[TABLE_EVENT]);

	memset(row->tts_isnull, 0, EVENT_COLUMNS * sizeof(bool));
	row->tts_values[EVENT_PARTITION] = Int16GetDatum(recorder->event_partition);
	row->tts_values[EVENT_ID] = Int64GetDatum(id);
	row->tts_values[EVENT_WEBHOOK_ID] = UUIDPGetDatum(random_uuid());
	row->tts_values[EVENT_NAME] =
		CStringGetTextDatum(event_definitions[event->kind].name);
	row->tts_values[EVENT_WORKSPACE_ID] = text_datum(event->workspace_id);
	row->tts_values[EVENT_POST_ID] = text_datum(event->post_id);
	row->tts_values[EVENT_PAYLOAD] = PointerGetDatum(event->payload);
	row->tts_isnull[EVENT_LABELS] = event->labels == NULL;
	if (event->labels)
		row->tts_values[EVENT_LABELS] = CStringGetTextDatum(event->labels);
	row->tts_values[EVENT_CREATED_AT] =
		TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	row->tts_isnull[EVENT_TRACEPARENT] = *setting_traceparent == '\0';
	if (*setting_traceparent)
		row->tts_values[EVENT_TRACEPARENT] = CStringGetTextDatum(setting_traceparent);
}

/* Puts all columns of a new queue entry into a row. */
static void
fill_queue(Recorder *recorder, const NewEvent *event, int64 id, int64 event_id,
		   const Recipient *recipient)
{
	TupleTableSlot *row = appender_next(recorder->table[TABLE_QUEUE]);

	memset(row->tts_isnull, 0, QUEUE_COLUMNS * sizeof(bool));
	row->tts_values[QUEUE_ID] = Int64GetDatum(id);
	row->tts_values[QUEUE_INTEGRATION_ID] = UUIDPGetDatum(&recipient->id);
	row->tts_values[QUEUE_EVENT_PARTITION] = Int16GetDatum(recorder->event_partition);
	row->tts_values[QUEUE_EVENT_ID] = Int64GetDatum(event_id);
	row->tts_values[QUEUE_POST_ID] = text_datum(event->post_id);
	row->tts_values[QUEUE_XID] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	row->tts_values[QUEUE_ATTEMPTS] = Int32GetDatum(0);
	row->tts_isnull[QUEUE_NEXT_ATTEMPT_AT] = recipient->wait_ms == 0;
	row->tts_values[QUEUE_NEXT_ATTEMPT_AT] = TimestampTzGetDatum(
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), recipient->wait_ms));
	row->tts_isnull[QUEUE_EVENT_NAME] = !recipient->is_chat;
	row->tts_values[QUEUE_EVENT_NAME] =
		CStringGetTextDatum(event_definitions[event->kind].name);
}

/* Notes an entry, so that it can be taken back. */
static void
note_entry(Recorder *recorder, const NewEvent *event, int64 id,
		   const Recipient *recipient)
{
	Told told = { .integration = recipient->id, .id = id };

	nesting_note_told(recorder->nesting, SOURCE_POST, event->post_id,
					  event->kind == EVENT_POST_CREATED, told);
	if (event->comment_id.data)
		nesting_note_told(recorder->nesting, SOURCE_COMMENT, event->comment_id,
						  event->kind == EVENT_COMMENT_CREATED, told);
}

/* See record.h. */
void
recorder_write(Recorder *recorder, const NewEvent *event)
{
	bool  first = event->kind == EVENT_POST_CREATED;
	int64 event_id =
		nesting_event_id(recorder->nesting, recorder->sequence, event->post_id, first);
	int64 id = event_id;

	fill_event(recorder, event, event_id);
	for (int i = 0; i < event->n_recipients; i++)
	{
		if (i > 0)
			id = nesting_event_id(recorder->nesting, recorder->sequence, event->post_id,
								  first);
		fill_queue(recorder, event, id, event_id, &event->recipients[i]);
		if (recorder->notes)
			note_entry(recorder, event, id, &event->recipients[i]);
	}
}
