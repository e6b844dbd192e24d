/*
 * nesting.c
 *		Statements inside of other statements' triggers.
 *
 * Events are delivered in the order of their ids, so a nested statement's event about a post
 * leaves ids free below its own, for each statement around it.  They are that
 * statement's, and no later one's, if they were left after its command began.
 */
#include "postgres.h"

#include "commands/sequence.h"
#include "common/hashfn.h"
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
} Note;

/* What notes are about: ids for a statement at this depth; 0: a row that was hidden. */
typedef struct NoteKey
{
	int	 depth;
	int	 source;
	Text id;
} NoteKey;

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

static MemoryContext memory;			  /* of the transaction's, for all of them */
static notes_hash	*notes = NULL;		  /* NULL: none */
static int			 n_notes = 0;		  /* for all keys */
static Nesting		 last_hidden = { 0 }; /* who made the last note of a hidden row */

/* Transaction callback */
static void
forget_notes(XactEvent event, void *unused)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	notes = NULL;
	last_hidden = (Nesting){ 0 };
}

/* See nesting.h. */
Nesting
nesting_now(void)
{
	LOCAL_FCINFO(call, 0);

	InitFunctionCallInfoData(*call, NULL, 0, InvalidOid, NULL, NULL);
	return (Nesting){ .depth = DatumGetInt32(pg_trigger_depth(call)),
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
	static bool registered = false;
	Notes	   *about;
	bool		found;

	if (!registered)
		RegisterXactCallback(forget_notes, NULL);
	registered = true;
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

/* See nesting.h. */
int64
nesting_event_id(Nesting nesting, Oid sequence, Text post_id)
{
	Note *note;

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
	(void) add_note(nesting, (NoteKey){ .source = source, .id = id });
	last_hidden = nesting;
}

/* See nesting.h. */
bool
nesting_hidden_inside(Nesting nesting, Source source, Text id)
{
	NoteKey key = { .source = source, .id = id };
	Notes  *about = notes ? notes_lookup(notes, key) : NULL;
	Note   *note = about ? about->first : NULL;

	while (note && (note->depth <= nesting.depth || note->command <= nesting.command))
		note = note->next;
	return note != NULL;
}

/* See nesting.h. */
bool
nesting_hides_inside(Nesting nesting)
{
	return last_hidden.depth > nesting.depth && last_hidden.command > nesting.command;
}
