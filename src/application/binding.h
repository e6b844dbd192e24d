/*
 * binding.h
 *		The application's tables: which relation stands for which source, and
 *		which SQL expression for which canonical column.
 *
 * attach.c writes the bindings, this reads them.  What is read is cached in
 * the process until the binding, or the application's table, changes.
 */
#ifndef FEATUL_BINDING_H
#define FEATUL_BINDING_H

#include "access/attnum.h"
#include "lib/stringinfo.h"
#include "nodes/bitmapset.h"
#include "nodes/nodes.h"
#include "utils/relcache.h"

#include "application/expression.h"
#include "application/id_index.h"
#include "application/source.h"

/* How to read one canonical column from a relation's rows. */
typedef struct BoundColumn
{
	Node			 *parsed; /* of the canonical type; NULL: absent, always NULL */
	const char		 *sql; /* the same as SQL, over the relation's unqualified columns */
	CachedExpression *planned;	  /* NULL where plain will do */
	bool			  foreign;	  /* as written it calls more than built-in functions */
	AttrNumber		  plain;	  /* the attribute that holds it as it is, or 0 */
	AttrNumber		  attribute;  /* the one it is, whatever its type, or 0 */
	Oid				  type;		  /* base type of that; InvalidOid if it is none */
	Bitmapset		 *attributes; /* all it looks at, as pull_varattnos() gives them */
} BoundColumn;

/* How to read a source's canonical columns from one relation. */
typedef struct BoundRelation
{
	Oid			relid; /* hash key, with the source: one table may stand for several */
	Source		source;
	uint64		version;		  /* another with each compilation */
	bool		valid;			  /* else it is compiled again when next asked for */
	bool		broken;			  /* the binding does not fit the table any more */
	const char *problem;		  /* if broken: why, as a message and its detail */
	const char *detail;			  /* or NULL */
	bool		unsafe_functions; /* an expression calls more than built-in functions */
	bool foreign_functions; /* likewise as written, before SQL functions are inlined */
	bool foreign_names;		/* SQL names functions, types or operators of others */
	bool mutable_functions; /* the same row may read differently at another time */
	const char	 *qualified_name; /* SQL */
	const char	 *alias;		  /* SQL: of its rows, for whole-row references */
	BoundColumn	  column[MAX_COLUMNS];
	List		 *expressions; /* all that are planned */
	Evaluation	  evaluation;  /* theirs, unless the functions are unsafe */
	IdIndex		  id_index;
	struct Place *places; /* fetch.c's: rows kept in mind */
	MemoryContext context;
} BoundRelation;

/* Is anything attached (in this database)?  Needs a transaction, as all below. */
extern bool binding_attached(void);

/* 55000 with a hint unless something is attached. */
extern void binding_require(void);

/* Is this source bound? */
extern bool binding_has(Source source);

/* Does this source's binding say what this canonical column is? */
extern bool binding_has_column(Source source, int column);

/* The relation that stands for it; InvalidOid when it is not bound. */
extern Oid binding_relid(Source source);

/*
 * Appends "(SELECT expr AS id, ... FROM schema.table WHERE expr = $n) AS alias": the
 * rows of a source whose canonical text column equals this parameter (column < 0: all
 * rows), with its canonical columns: ids and other text columns as text, flags as
 * boolean, created_at as timestamptz, upvotes as bigint.  To be read as
 * user_context_as_reader() says.  55000 if the source is not bound or its table has
 * changed too much.
 */
extern void binding_append_rows(StringInfo sql, Source source, int column,
								const char *parameter, const char *alias);

/*
 * Likewise " FROM schema.table AS alias WHERE expr = $n", for a row that is to be
 * locked by its id; false, and nothing is appended, if the id takes a function that
 * is not PostgreSQL's own.
 */
extern bool binding_append_row_by_id(StringInfo sql, Source source,
									 const char *parameter);

/*
 * How to read this relation (the bound one, or a partition or child of it) as
 * this source; NULL if it does not stand for it.  55000 if its table has
 * changed too much; from then on ->broken, until something changes again.
 * The result lives until the end of the transaction at least.
 */
extern BoundRelation *binding_of(Source source, Oid relid);

/* What binding_of() has already found out; NULL: nothing.  Raises nothing. */
extern BoundRelation *binding_peek(Source source, Oid relid);

/* Makes every process read the bindings again, from the end of this command on. */
extern void binding_changed(void);

/* Goes up whenever this process notices a change of a binding or a bound table. */
extern uint64 binding_generation(void);

/* Goes up whenever this process has read the bindings anew: attach was run. */
extern uint64 binding_epoch(void);

#endif /* FEATUL_BINDING_H */
