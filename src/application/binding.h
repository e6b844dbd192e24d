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

typedef enum Source
{
	SOURCE_WORKSPACE,
	SOURCE_MEMBER,
	SOURCE_USER,
	SOURCE_BOARD,
	SOURCE_POST,
	SOURCE_COMMENT,
	SOURCE_VOTE,
	SOURCE_MENTION,
	SOURCE_REACTION,
	SOURCE_COUNT
} Source;

/* The canonical columns of each source, in the order of the contract's table. */
enum
{
	WORKSPACE_ID,
	WORKSPACE_NAME,
	WORKSPACE_SLUG,
	WORKSPACE_PLAN,
	WORKSPACE_OWNER_ID
};
enum
{
	MEMBER_WORKSPACE_ID,
	MEMBER_USER_ID,
	MEMBER_ROLE,
	MEMBER_IS_ACTIVE
};
enum
{
	USER_ID,
	USER_NAME,
	USER_EMAIL
};
enum
{
	BOARD_ID,
	BOARD_WORKSPACE_ID,
	BOARD_NAME,
	BOARD_SLUG,
	BOARD_IS_SYSTEM,
	BOARD_HIDES_IDENTITY,
	BOARD_ROADMAP_STATUSES
};
enum
{
	POST_ID,
	POST_BOARD_ID,
	POST_TITLE,
	POST_CONTENT,
	POST_SLUG,
	POST_IMAGE,
	POST_AUTHOR_ID,
	POST_IS_ANONYMOUS,
	POST_FINGERPRINT,
	POST_VISIBLE,
	POST_STATUS,
	POST_UPVOTES,
	POST_IS_PINNED,
	POST_IS_LOCKED,
	POST_IS_FEATURED,
	POST_CREATED_AT
};
enum
{
	COMMENT_ID,
	COMMENT_POST_ID,
	COMMENT_CONTENT,
	COMMENT_AUTHOR_ID,
	COMMENT_AUTHOR_NAME,
	COMMENT_IS_ANONYMOUS,
	COMMENT_IS_INTERNAL,
	COMMENT_VISIBLE,
	COMMENT_CREATED_AT
};
enum
{
	VOTE_ID,
	VOTE_POST_ID,
	VOTE_USER_ID,
	VOTE_FINGERPRINT
};
enum
{
	MENTION_ID,
	MENTION_COMMENT_ID,
	MENTION_USER_ID,
	MENTION_BY_USER_ID
};
enum
{
	REACTION_ID,
	REACTION_COMMENT_ID,
	REACTION_USER_ID,
	REACTION_TYPE
};

#define MAX_COLUMNS 16
#define COLUMN_BIT(column) (((uint32) 1) << (column))

typedef enum ColumnType
{
	COLUMN_TEXT,
	COLUMN_FLAG,
	COLUMN_NUMBER, /* bigint */
	COLUMN_TIME	   /* timestamptz */
} ColumnType;

typedef struct ColumnDefinition
{
	const char *name; /* NULL ends a source's list */
	ColumnType	type;
	bool		required;
	const char *alias; /* featul's own name where it differs, or NULL */
} ColumnDefinition;

typedef struct SourceDefinition
{
	const char		*name;
	const char		*tables[3]; /* by default, first found wins; NULL-terminated */
	bool			 required;
	ColumnDefinition columns[MAX_COLUMNS + 1];
} SourceDefinition;

extern const SourceDefinition source_definitions[SOURCE_COUNT];

/* SOURCE_COUNT if there is no such source */
extern Source source_by_name(const char *name, int length);

/* Whether an absent column counts as true (visible), not as NULL. */
extern bool column_defaults_to_true(Source source, int column);

/* -1 if the source has no such canonical column */
extern int column_by_name(Source source, const char *name, int length);

/* How to read one canonical column from a relation's rows. */
typedef struct BoundColumn
{
	Node	   *parsed; /* of the canonical type; NULL: absent, always NULL */
	const char *sql;	/* the same as SQL, over the relation's unqualified columns */
	struct CachedExpression *planned;	/* NULL where plain will do */
	struct ExprState		*state;		/* of planned: row.c's, once it was needed */
	AttrNumber				 plain;		/* the attribute that holds it as it is, or 0 */
	AttrNumber				 attribute; /* the one it is, whatever its type, or 0 */
	Oid						 type;		/* base type of that; InvalidOid if it is none */
	Bitmapset *attributes; /* all it looks at, as pull_varattnos() gives them */
} BoundColumn;

/* An index over a relation's ids alone, and how to compare with it. */
typedef struct IdIndex
{
	Oid index;	  /* InvalidOid: none */
	Oid key_type; /* text, uuid or bigint */
	Oid equal;	  /* function */
	Oid collation;
} IdIndex;

/* How to read a source's canonical columns from one relation. */
typedef struct BoundRelation
{
	Oid			relid; /* hash key */
	Source		source;
	uint64		version;		  /* another with each compilation */
	bool		valid;			  /* else it is compiled again when next asked for */
	bool		broken;			  /* the binding does not fit the table any more */
	const char *problem;		  /* if broken: why, as a message and its detail */
	const char *detail;			  /* or NULL */
	bool		unsafe_functions; /* an expression calls more than built-in functions */
	bool foreign_functions; /* likewise as written, before SQL functions are inlined */
	bool mutable_functions; /* the same row may read differently at another time */
	const char		   *qualified_name; /* SQL */
	const char		   *alias;			/* SQL: of its rows, for whole-row references */
	BoundColumn			column[MAX_COLUMNS];
	struct List		   *expressions;		/* all that are planned */
	struct ExprContext *expression_context; /* row.c's, once it was needed */
	IdIndex				id_index;
	struct Place	   *places; /* fetch.c's: rows kept in mind */
	MemoryContext		context;
} BoundRelation;

/* Is anything attached (in this database)?  Needs a transaction, as all below. */
extern bool binding_attached(void);

/* 55000 with a hint unless something is attached. */
extern void binding_require(void);

/* Is this source bound? */
extern bool binding_has(Source source);

/* The relation that stands for it; InvalidOid when it is not bound. */
extern Oid binding_relid(Source source);

/*
 * Appends "(SELECT expr AS id, ... FROM schema.table) AS alias": the source as
 * a relation with its canonical columns: ids and other text columns as text,
 * flags as boolean, created_at as timestamptz, upvotes as bigint.  55000 if the
 * source is not bound or its table has changed too much.
 */
extern void binding_append_relation(StringInfo sql, Source source, const char *alias);

/*
 * How to read this relation (the bound one, or a partition or child of it) as
 * this source; NULL if it does not stand for it.  55000 if its table has
 * changed too much; from then on ->broken, until something changes again.
 * The result lives until the end of the transaction at least.
 */
extern BoundRelation *binding_of(Source source, Oid relid);

/* What binding_of() has already found out; NULL: nothing.  Raises nothing. */
extern BoundRelation *binding_peek(Source source, Oid relid);

/*
 * Parses one expression over the relation's rows, under this alias (NULL: its
 * own name), and converts it to the column's canonical type.  Refused with 22023: subqueries, aggregates, window
 * and set-returning functions, system columns, casts that are user-defined, the
 * wrong type.  Else raises what the parser raises.  *bare is the expression
 * before conversion.
 */
extern Node *binding_parse(Relation relation, const char *alias, Source source,
						   int column, const char *expression, Node **bare);

/*
 * The expression as SQL for this search_path, over rows whose alias is the
 * source's name, whatever the table is called.
 */
extern char *binding_deparse(Node *expression, Source source, Relation relation);

/* Makes every process read the bindings again, from the end of this command on. */
extern void binding_changed(void);

/*
 * Sets search_path = pg_catalog, pg_temp until AtEOXact_GUC(true, result) or
 * the abort of the present (sub)transaction.
 */
extern int binding_safe_search_path(void);

/* Goes up whenever this process notices a change of a binding or a bound table. */
extern uint64 binding_generation(void);

/* Goes up whenever this process has read the bindings anew: attach was run. */
extern uint64 binding_epoch(void);

#endif /* FEATUL_BINDING_H */
