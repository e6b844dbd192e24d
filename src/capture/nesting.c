/*
 * nesting.c
 *		Statements inside of other statements.
 *
 * How deep one stands PostgreSQL tells of triggers alone, and not of functions (RETURNING vote(id)):
 * so those that change rows are counted while their executor lives.  COPY and what replication
 * applies have none, and are known by the triggers inside of them.
 *
 * Events are delivered in the order of their ids, so a nested statement's event about a post
 * leaves ids free below its own, for each statement around it.  They are that
 * statement's, and no later one's, if they were left after its command began.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/sequence.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "application/row.h"
#include "capture/nesting.h"

/*
 * Ids left free for a statement's events about one post: what a change can be at once
 * (events_of_change()), for each type of integration that a workspace may have one of.
 */
#define IDS_LEFT 20

/* More notes, and all are forgotten: they would take memory until the transaction ends. */
#define MAX_NOTES 100000

/* What a statement at some depth has noted. */
typedef struct Note
{
	struct Note *next; /* later */
	CommandId	 command;
	int			 depth;
	int64		 first; /* ids that are left */
	int			 left;
	Told		 told;
	bool		 is_first; /* of its row's visibility */
} Note;

/* What notes are about: ids for a statement at this depth; or a row that was hidden, or told of. */
typedef struct NoteKey
{
	int	 depth;
	int	 source;
	Text id;
} NoteKey;

#define HIDDEN 0
#define TOLD (-1)

typedef struct Notes
{
	NoteKey key;
	Note   *first;
	Note   *last;
	char	status; /* for simplehash */
} Notes;

#define SH_PREFIX notes
#define SH_ELEMENT_TYPE Notes
#define SH_KEY_TYPE NoteKey
#define SH_KEY key
#define SH_HASH_KEY(table, key)                                                          \
	(hash_bytes((const unsigned char *) (key).id.data, (key).id.length) + (key).depth)
#define SH_EQUAL(table, a, b)                                                            \
	((a).depth == (b).depth && (a).source == (b).source && text_same((a).id, (b).id))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static MemoryContext memory;	   /* of the transaction's, for all of them */
static notes_hash	*notes = NULL; /* NULL: none */
static int			 n_notes = 0;  /* for all keys */

static ExecutorStart_hook_type previous_ExecutorStart = NULL;

static int	   running = 0;			/* executors of statements that change rows */
static Nesting last_inside = { 0 }; /* the last that began inside of another */
static bool	   has_parts = false;	/* the outermost statement changes several tables */

/* Transaction callback */
static void
forget_notes(XactEvent event, void *unused)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	notes = NULL;
	last_inside = (Nesting){ 0 };
}

/* Whatever was noted was for statements that are over. */
static void
begin_outermost(const QueryDesc *query)
{
	if (notes)
		MemoryContextDelete(memory);
	notes = NULL;
	has_parts = query->plannedstmt->hasModifyingCTE;
}

/* How many triggers are running, one inside of the other. */
static int
trigger_depth(void)
{
	LOCAL_FCINFO(call, 0);

	InitFunctionCallInfoData(*call, NULL, 0, InvalidOid, NULL, NULL);
	return DatumGetInt32(pg_trigger_depth(call));
}

/* Callback: the memory of an executor goes. */
static void
count_end(void *unused)
{
	running--;
}

/* Counts a statement until its executor is gone, be it by an error. */
static void
count_statement(const QueryDesc *query)
{
	MemoryContext		   memory = query->estate->es_query_cxt;
	MemoryContextCallback *callback =
		MemoryContextAlloc(memory, sizeof(MemoryContextCallback));
	int depth = Max(running, trigger_depth()) + 1;

	callback->func = count_end;
	callback->arg = NULL;
	MemoryContextRegisterResetCallback(memory, callback);
	running++;
	if (depth > 1)
		last_inside = (Nesting){ .depth = depth, .command = query->snapshot->curcid };
	else
		begin_outermost(query);
}

/* Executor hook */
static void
start_executor(QueryDesc *query, int flags)
{
	if (previous_ExecutorStart)
		previous_ExecutorStart(query, flags);
	else
		standard_ExecutorStart(query, flags);
	if (query->operation != CMD_SELECT || query->plannedstmt->hasModifyingCTE)
		count_statement(query);
}

/* See nesting.h. */
void
nesting_init(void)
{
	previous_ExecutorStart = ExecutorStart_hook;
	ExecutorStart_hook = start_executor;
	RegisterXactCallback(forget_notes, NULL);
}

/* See nesting.h. */
Nesting
nesting_now(void)
{
	return (Nesting){ .depth = Max(running, trigger_depth()),
					  .command = GetActiveSnapshot()->curcid };
}

/* Gets ready for another note: begins anew if there are too many. */
static void
make_room(void)
{
	if (notes && Max(n_notes, notes->members) < MAX_NOTES)
		return;
	if (notes)
		MemoryContextReset(memory);
	else
		memory = AllocSetContextCreate(
			TopTransactionContext, "featul_integrations nesting", ALLOCSET_DEFAULT_SIZES);
	notes = NULL;
	n_notes = 0;
	notes = notes_create(memory, 64, NULL);
}

/* Where notes about this are kept; earlier ones may be gone. */
static Notes *
notes_about(NoteKey key)
{
	Notes *about;
	bool   found;

	make_room();
	about = notes_lookup(notes, key);
	if (about == NULL)
	{
		key.id.data = memcpy(MemoryContextAlloc(memory, Max(key.id.length, 1)),
							 key.id.data, key.id.length);
		about = notes_insert(notes, key, &found);
		about->first = about->last = NULL;
	}
	return about;
}

/* Adds an empty note by a statement that is captured now. */
static Note *
add_note(Nesting nesting, NoteKey key)
{
	Notes *about = notes_about(key);
	Note  *note = MemoryContextAllocZero(memory, sizeof(Note));

	n_notes++;
	note->command = nesting.command;
	note->depth = nesting.depth;
	if (about->last)
		about->last->next = note;
	else
		about->first = note;
	about->last = note;
	return note;
}

/* Leaves ids free for the statements around this one, once for each. */
static void
leave_ids(Nesting nesting, Oid sequence, Text post_id)
{
	NoteKey key = { .id = post_id };

	for (key.depth = 1; key.depth < nesting.depth; key.depth++)
	{
		Notes *about = notes_about(key);
		Note  *note = about->last;

		if (note && note->depth == nesting.depth && note->command == nesting.command)
			continue;
		note = add_note(nesting, key);
		note->first = nextval_internal(sequence, false);
		for (note->left = 1; note->left < IDS_LEFT; note->left++)
			(void) nextval_internal(sequence, false);
	}
}

/*
 * The first note with ids for this statement, or NULL.  What was left before its command
 * began, or is used up, is no later one's either and goes.
 */
static Note *
ids_for(Nesting nesting, Text post_id)
{
	NoteKey key = { .depth = nesting.depth, .id = post_id };
	Notes  *about = notes ? notes_lookup(notes, key) : NULL;

	while (about && about->first &&
		   (about->first->command <= nesting.command || about->first->left == 0))
	{
		Note *gone = about->first;

		about->first = gone->next;
		if (about->first == NULL)
			about->last = NULL;
		pfree(gone);
		n_notes--;
	}
	return about ? about->first : NULL;
}

/* Uses up what was left for the statements around this one. */
static void
use_up_ids(Nesting nesting, Text post_id)
{
	NoteKey key = { .id = post_id };

	for (key.depth = 1; notes && key.depth < nesting.depth; key.depth++)
	{
		Notes *about = notes_lookup(notes, key);

		for (Note *note = about ? about->first : NULL; note; note = note->next)
			note->left = 0;
	}
}

/* See nesting.h. */
int64
nesting_event_id(Nesting nesting, Oid sequence, Text post_id, bool first)
{
	Note *note;

	if (first)
		use_up_ids(nesting, post_id);
	else
		leave_ids(nesting, sequence, post_id);
	note = ids_for(nesting, post_id);
	if (note == NULL)
		return nextval_internal(sequence, false);
	note->left--;
	return note->first++;
}

/* See nesting.h. */
void
nesting_note_hidden(Nesting nesting, Source source, Text id)
{
	if (nesting.depth <= 1)
		return;
	(void) add_note(nesting, (NoteKey){ HIDDEN, source, id });
}

/* Whether a note was made by a statement inside of this one, which is captured now. */
static bool
is_inside(const Note *note, Nesting nesting)
{
	return note->depth > nesting.depth && note->command > nesting.command;
}

/* See nesting.h. */
bool
nesting_hidden(Source source, Text id)
{
	return notes && notes_lookup(notes, (NoteKey){ HIDDEN, source, id }) != NULL;
}

/* See nesting.h. */
bool
nesting_hidden_inside(Nesting nesting, Source source, Text id)
{
	NoteKey key = { HIDDEN, source, id };
	Notes  *about = notes ? notes_lookup(notes, key) : NULL;
	Note   *note = about ? about->first : NULL;

	while (note && !is_inside(note, nesting))
		note = note->next;
	return note != NULL;
}

/* See nesting.h. */
bool
nesting_changed_inside(Nesting nesting)
{
	return last_inside.depth > nesting.depth && last_inside.command > nesting.command;
}

/* See nesting.h. */
bool
nesting_goes_on(Nesting nesting)
{
	return nesting.depth > 1 || (running > 0 && has_parts);
}

/* See nesting.h. */
void
nesting_note_told(Nesting nesting, Source source, Text id, bool first, Told told)
{
	Note *note = add_note(nesting, (NoteKey){ TOLD, source, id });

	note->told = told;
	note->is_first = first;
}

/* See nesting.h. */
List *
nesting_told(Source source, Text id, bool *first)
{
	NoteKey key = { TOLD, source, id };
	Notes  *about = notes ? notes_lookup(notes, key) : NULL;
	List   *told = NIL;

	*first = false;
	for (Note *note = about ? about->first : NULL; note; note = note->next)
	{
		told = lappend(told, &note->told);
		*first = *first || note->is_first;
	}
	return told;
}

/* See nesting.h. */
List *
nesting_told_first_inside(Nesting nesting, Source source, Text id)
{
	NoteKey key = { TOLD, source, id };
	Notes  *about = notes ? notes_lookup(notes, key) : NULL;
	List   *told = NIL;

	for (Note *note = about ? about->first : NULL; note; note = note->next)
		if (note->is_first && is_inside(note, nesting))
		{
			note->is_first = false;
			told = lappend(told, &note->told);
		}
	return told;
}
