/*
 * candidate.h
 *		Events that may have happened, joined with what stands around them.
 *
 * Reads the application's tables around the rows, and writes nothing.
 */
#ifndef FEATUL_CANDIDATE_H
#define FEATUL_CANDIDATE_H

#include "utils/jsonb.h"

#include "application/lookup.h"
#include "capture/event.h"
#include "capture/nesting.h"
#include "capture/subscription.h"

/* An event that may have happened. */
typedef struct Candidate
{
	EventKind			 event;
	Change				*change;
	const Row			*post;
	const Row			*comment;
	const Row			*subject; /* vote, mention or reaction */
	const Row			*board;
	const Row			*workspace;
	const Subscriptions *subscriptions;
	Text				 from_status;
	int					 milestone;
	bool				 once; /* only if no mark says that it was visible before */
	bool				 dropped;
} Candidate;

/* A workspace's integrations, read once for all candidates. */
typedef struct Listeners
{
	Text				 workspace_id;
	const Subscriptions *subscriptions;
} Listeners;

/* A board's list of statuses, parsed once for all candidates. */
typedef struct StatusList
{
	const Row *board;
	Jsonb	  *json; /* NULL: it is no JSON */
} StatusList;

/* Initialized by zeros, the look-ups and where the statement stands. */
typedef struct Candidates
{
	Nesting	   nesting;
	int		   count;
	int		   room;
	Candidate *list;
	Lookups	  *lookups;
	List	  *listeners;	 /* Listeners * */
	List	  *status_lists; /* StatusList * */
} Candidates;

/* Adds an empty candidate; valid until the next is added. */
extern Candidate *candidate_add(Candidates *candidates, EventKind event, Change *change);

/* Adds a candidate for each event that a change can be. */
extern void candidates_of_change(Candidates *candidates, Source source, Change *change);

/*
 * Joins the candidates with what stands around them, and drops what is no event,
 * or what nobody wants.  Needs the extension's rights and an active snapshot that
 * sees the changes; raises what the look-ups raise.
 */
extern void candidates_join(Candidates *candidates, Source source);

/* Fetches everybody who is named, and the commenters' roles: a part of the above. */
extern void candidates_join_people(Candidates *candidates, Source source);

/* The column of a vote, mention or reaction that says who it is about. */
extern int candidate_user_column(Source source);

#endif /* FEATUL_CANDIDATE_H */
