/*
 * resolve.h
 *		What each source is to be bound to when integration_attach() is called.
 */
#ifndef FEATUL_RESOLVE_H
#define FEATUL_RESOLVE_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

#include "application/source.h"

/* What the caller says about one source: all NULL unless it says something. */
typedef struct Given
{
	bool  present;
	char *table;
	char *column[MAX_COLUMNS];
} Given;

/* What a source is going to be bound to. */
typedef struct Resolved
{
	Oid	  relid;			   /* InvalidOid: not bound */
	char *column[MAX_COLUMNS]; /* SQL, or NULL */
} Resolved;

/* The whole call. */
typedef struct Attachment
{
	const char *schema;
	Oid namespace; /* InvalidOid: no such schema */
	Given		   given[SOURCE_COUNT];
	Resolved	   resolved[SOURCE_COUNT];
	StringInfoData missing_tables;
	StringInfoData missing_columns;
} Attachment;

/* Reads the argument bindings into ->given; 22023 for anything that means nothing. */
extern void resolve_read_bindings(Attachment *attachment, Jsonb *bindings);

/*
 * Finds all tables and columns; ->resolved.  One error (42P01, 42703) for
 * everything that was not found; 22023 for expressions that cannot be bound.
 */
extern void resolve_all(Attachment *attachment);

/* True for what can have triggers with transition tables, and lasts. */
extern bool resolve_takes_triggers(Oid relid);

#endif /* FEATUL_RESOLVE_H */
