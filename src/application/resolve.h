/*
 * resolve.h
 *		What each source is to be bound to when integration_attach() is called.
 */
#ifndef FEATUL_RESOLVE_H
#define FEATUL_RESOLVE_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

#include "application/source.h"

/*
 * What is said by hand about one source, by this call or, where it says nothing,
 * by an earlier one: all NULL unless something is said.
 */
typedef struct Given
{
	bool  present; /* this call says something: null too */
	bool  kept;	   /* an earlier call did; columns are SQL as it is stored */
	Oid	  relid;   /* kept: the table, if that was named */
	char *table;   /* named by this call */
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
	Oid namespace;		 /* InvalidOid: no such schema */
	Oid			   last; /* the schema attached last; InvalidOid: none, or it is gone */
	Given		   given[SOURCE_COUNT];
	Resolved	   resolved[SOURCE_COUNT];
	StringInfoData missing_tables;
	StringInfoData missing_columns;
} Attachment;

/* Reads the argument bindings into ->given; 22023 for anything that means nothing. */
extern void resolve_read_bindings(Attachment *attachment, Jsonb *bindings);

/*
 * Fills in ->given from the stored bindings for what the call has left out, and
 * ->last.  Needs an SPI connection.
 */
extern void resolve_read_kept(Attachment *attachment);

/*
 * Finds all tables and columns; ->resolved.  One error (42P01, 42703) for
 * everything that was not found; 22023 for expressions that cannot be bound.
 */
extern void resolve_all(Attachment *attachment);

/* True for what can have triggers with transition tables, and lasts. */
extern bool resolve_takes_triggers(Oid relid);

#endif /* FEATUL_RESOLVE_H */
