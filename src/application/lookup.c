/*
 * lookup.c
 *		Rows of the application's tables by id.
 *
 * Ids are compared as text, except where both sides have the same type: then
 * the ids are cast back to it, so that the application's index is used; where
 * there is a plain one, even without a query.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "application/fetch.h"
#include "application/lookup.h"
#include "application/rows.h"
#include "application/user_context.h"
#include "base/own_query.h"
#include "base/safe_settings.h"

/* Where a wanted id is, among many. */
typedef struct WantedPosition
{
	Text id;
	int	 index;
	char status; /* for simplehash */
} WantedPosition;

#define SH_PREFIX positions
#define SH_ELEMENT_TYPE WantedPosition
#define SH_KEY_TYPE Text
#define SH_KEY id
#define SH_HASH_KEY(table, key)                                                          \
	hash_bytes((const unsigned char *) (key).data, (key).length)
#define SH_EQUAL(table, a, b) text_same(a, b)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* So many ids are compared one by one. */
#define FEW 8

/* What is wanted of one source. */
typedef struct Wanted
{
	bool			is_known; /* how the source is read */
	BoundRelation  *bound;	  /* how; NULL if it is not bound */
	int				count;
	int				fetched; /* the first so many of them */
	int				room;
	Text		   *ids; /* each once */
	const Row	  **rows;
	positions_hash *positions; /* NULL: there are few */
	bool			as_text;   /* some id comes from a column of another type */
} Wanted;

struct Lookups
{
	Wanted wanted[SOURCE_COUNT];
};

/* The pair that a member's row is kept under. */
#define PAIR_SEPARATOR '\0'

/* Saved plans, by source and kind of comparison. */
typedef struct LookupPlan
{
	SPIPlanPtr plan;
	Oid		   relid; /* what it was made for */
	uint64	   version;
} LookupPlan;

static LookupPlan plans[SOURCE_COUNT][2];

/*
 * Look-ups under way.  A binding's function may write, and so lead to another
 * look-up: that one must not free a plan that is running.
 */
static int running = 0;

/* See lookup.h. */
Lookups *
lookups_create(void)
{
	return palloc0(sizeof(Lookups));
}

/* How to read this source; NULL if it is not bound. */
static BoundRelation *
bound_relation(Source source)
{
	Oid relid = binding_relid(source);

	return OidIsValid(relid) ? binding_of(source, relid) : NULL;
}

/* Likewise, asked for once: by and by it may be valid no longer. */
static const BoundRelation *
known_relation(Lookups *lookups, Source source)
{
	Wanted *wanted = &lookups->wanted[source];

	if (!wanted->is_known)
		wanted->bound = bound_relation(source);
	wanted->is_known = true;
	return wanted->bound;
}

/* See lookup.h. */
Oid
lookups_column_type(Lookups *lookups, Source source, int column)
{
	const BoundRelation *bound = known_relation(lookups, source);

	return bound ? bound->column[column].type : InvalidOid;
}

/* True for the types that compare with each other as integers. */
static bool
is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/*
 * Whether ids of this type, as text, can be cast to the type of a column and
 * compared there with the same result.
 */
static bool
comparable(const BoundColumn *id, Oid type)
{
	if (id->attribute == 0)
		return false;
	return (type == UUIDOID && id->type == UUIDOID) ||
		   (is_integer(type) && is_integer(id->type));
}

/* The index of an id that is wanted; -1 if it is not. */
static int
position(const Wanted *wanted, Text id)
{
	if (wanted->positions)
	{
		WantedPosition *found = positions_lookup(wanted->positions, id);

		return found ? found->index : -1;
	}
	for (int i = 0; i < wanted->count; i++)
		if (text_same(wanted->ids[i], id))
			return i;
	return -1;
}

/* Makes the ids that are not yet among them found by their hash. */
static void
hash_positions(Wanted *wanted)
{
	bool found;

	if (wanted->positions == NULL)
		wanted->positions = positions_create(CurrentMemoryContext, 8 * FEW, NULL);
	for (int i = wanted->positions->members; i < wanted->count; i++)
		positions_insert(wanted->positions, wanted->ids[i], &found)->index = i;
}

/* Notes a key that is not known yet. */
static void
want(Wanted *wanted, Text id, bool as_text)
{
	if (position(wanted, id) >= 0)
		return;
	if (wanted->room == 0)
	{
		wanted->room = FEW;
		wanted->ids = palloc(wanted->room * sizeof(Text));
		wanted->rows = palloc(wanted->room * sizeof(Row *));
	}
	else if (wanted->count == wanted->room)
	{
		wanted->room *= 2;
		wanted->ids = repalloc(wanted->ids, wanted->room * sizeof(Text));
		wanted->rows = repalloc(wanted->rows, wanted->room * sizeof(Row *));
	}
	wanted->ids[wanted->count] = id;
	wanted->rows[wanted->count++] = NULL;
	wanted->as_text = wanted->as_text || as_text;
	if (wanted->count > FEW)
		hash_positions(wanted);
}

/* See lookup.h. */
void
lookups_want(Lookups *lookups, Source source, Text id, Oid type)
{
	const BoundRelation *bound = known_relation(lookups, source);

	if (id.data && bound)
		want(&lookups->wanted[source], id, !comparable(&bound->column[0], type));
}

/* See lookup.h. */
Datum
lookups_text_array(const Text *texts, int count)
{
	Datum *elements = palloc(Max(count, 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
		elements[i] =
			PointerGetDatum(cstring_to_text_with_len(texts[i].data, texts[i].length));
	return PointerGetDatum(
		construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/* SELECT of all canonical columns, in their order; absent ones as NULL. */
static void
append_select(StringInfo sql, const BoundRelation *bound)
{
	const ColumnDefinition *definitions = source_definitions[bound->source].columns;

	appendStringInfoString(sql, "SELECT ");
	for (int i = 0; definitions[i].name; i++)
	{
		const char *absent = column_defaults_to_true(bound->source, i) ? "true" : "NULL";

		appendStringInfo(sql, "%s%s", i > 0 ? ", " : "",
						 bound->column[i].sql ? bound->column[i].sql : absent);
	}
	appendStringInfo(sql, " FROM %s AS %s", bound->qualified_name, bound->alias);
}

/* Appends "column = ANY ($n)", as text or in the column's own type. */
static void
append_condition(StringInfo sql, const BoundRelation *bound, int column, int parameter,
				 bool as_text)
{
	const BoundColumn *key = &bound->column[column];

	if (as_text)
		appendStringInfo(sql, "%s = ANY ($%d)", key->sql, parameter);
	else
		appendStringInfo(
			sql, "%s = ANY ($%d::%s[])",
			quote_identifier(get_attname(bound->relid, key->attribute, false)), parameter,
			key->type == UUIDOID ? "uuid" : "int8");
}

/* The query of a look-up: $1 (and $2) are text[]. */
static char *
lookup_sql(const BoundRelation *bound, bool as_text)
{
	StringInfoData sql;

	initStringInfo(&sql);
	append_select(&sql, bound);
	appendStringInfoString(&sql, " WHERE ");
	append_condition(&sql, bound, 0, 1, as_text);
	if (bound->source == SOURCE_MEMBER)
	{
		appendStringInfoString(&sql, " AND ");
		append_condition(&sql, bound, MEMBER_USER_ID, 2, as_text);
	}
	return sql.data;
}

/*
 * Settings for planning alone: these look-ups must use an index where there is
 * one, however small the table was when the plan was made; and the cost that
 * says so must not make the plan worth compiling.
 */
static void
plan_settings(void)
{
	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
}

/* Runs a saved plan; the rows are in SPI_tuptable. */
static void
execute_lookup(SPIPlanPtr plan, Datum *arguments)
{
	running++;
	PG_TRY();
	{
		own_query_run(plan, arguments, SPI_OK_SELECT);
	}
	PG_FINALLY();
	{
		running--;
	}
	PG_END_TRY();
}

/* See lookup.h. */
void
lookup_as_reader(UserContext *state, Source source)
{
	BoundRelation *bound = binding_of(source, binding_relid(source));

	if (bound && bound->foreign_functions)
		user_context_as_extension(state);
	else
		user_context_as_table_owner(state, binding_relid(source));
	if (bound && bound->mutable_functions)
		state->settings = safe_settings_begin();
}

/* Runs the look-up of a source as its table's owner; see execute_lookup(). */
static void
run_lookup(const BoundRelation *bound, bool as_text, Datum *arguments)
{
	LookupPlan *saved = &plans[bound->source][as_text];
	bool		stale = saved->relid != bound->relid || saved->version != bound->version;
	Oid			types[] = { TEXTARRAYOID, TEXTARRAYOID };
	int			nest = 0;
	UserContext state;

	lookup_as_reader(&state, bound->source);
	if (saved->plan && stale && running == 0)
	{
		SPIPlanPtr old = saved->plan;

		saved->plan = NULL;
		SPI_freeplan(old);
	}
	if (saved->plan == NULL || !SPI_plan_is_valid(saved->plan))
	{
		nest = NewGUCNestLevel();
		plan_settings();
	}
	if (saved->plan == NULL)
	{
		(void) own_query_prepare(&saved->plan, lookup_sql(bound, as_text),
								 bound->source == SOURCE_MEMBER ? 2 : 1, types);
		saved->relid = bound->relid;
		saved->version = bound->version;
	}
	execute_lookup(saved->plan, arguments);
	if (nest > 0)
		safe_settings_end(nest);
	user_context_restore(&state);
}

/* A row of SPI_tuptable as canonical values. */
static Row *
row_of_tuple(Source source, HeapTuple tuple, TupleDesc desc)
{
	const ColumnDefinition *definitions = source_definitions[source].columns;
	Row					   *row = palloc(sizeof(Row));

	for (int i = 0; definitions[i].name; i++)
	{
		bool  isnull;
		Datum datum = SPI_getbinval(tuple, desc, i + 1, &isnull);

		row->value[i] = value_from_datum(definitions[i].type, datum, isnull);
	}
	return row;
}

/* Fetches what is wanted through the index on the ids; false if that cannot be. */
static bool
fetch_through_index(Wanted *wanted, BoundRelation *bound)
{
	return fetch_rows(bound, wanted->ids + wanted->fetched,
					  wanted->count - wanted->fetched, wanted->as_text,
					  wanted->rows + wanted->fetched);
}

/* RowConsumer: takes a row that is wanted. */
static void
take_row(void *argument, Row *row)
{
	Wanted *wanted = argument;
	int		index = row->value[0].isnull ? -1 : position(wanted, row->value[0].text);

	if (index >= 0)
		wanted->rows[index] = row;
}

/* Fetches what is wanted with a query. */
static void
fetch_by_query(Wanted *wanted, BoundRelation *bound)
{
	Datum	 arguments[1];
	OwnQuery query;

	own_query_begin(&query);
	arguments[0] = lookups_text_array(wanted->ids + wanted->fetched,
									  wanted->count - wanted->fetched);
	run_lookup(bound, wanted->as_text, arguments);
	MemoryContextSwitchTo(query.memory);
	for (uint64 i = 0; i < SPI_processed; i++)
		take_row(wanted, row_of_tuple(bound->source, SPI_tuptable->vals[i],
									  SPI_tuptable->tupdesc));
	own_query_end(&query);
}

/* Fetches what is wanted of a source whose binding calls functions of others. */
static void
fetch_by_scan(Wanted *wanted, BoundRelation *bound)
{
	OwnQuery	  query;
	MemoryContext inside;

	own_query_begin(&query);
	inside = MemoryContextSwitchTo(query.memory);
	rows_scan(bound, 0,
			  lookups_text_array(wanted->ids + wanted->fetched,
								 wanted->count - wanted->fetched),
			  take_row, wanted);
	MemoryContextSwitchTo(inside);
	own_query_end(&query);
}

/* See lookup.h. */
void
lookups_fetch(Lookups *lookups, Source source)
{
	Wanted		  *wanted = &lookups->wanted[source];
	BoundRelation *bound;

	if (wanted->count == wanted->fetched)
		return;
	bound = bound_relation(source); /* NULL: not bound any more */
	if (bound && bound->foreign_functions)
		fetch_by_scan(wanted, bound);
	else if (bound && !fetch_through_index(wanted, bound))
		fetch_by_query(wanted, bound);
	wanted->fetched = wanted->count;
}

/* See lookup.h. */
const Row *
lookups_get(const Lookups *lookups, Source source, Text id)
{
	const Wanted *wanted = &lookups->wanted[source];
	int			  index = id.data ? position(wanted, id) : -1;

	return index >= 0 ? wanted->rows[index] : NULL;
}

/* ------------------------------------------------------------------------
 * Roles
 * ------------------------------------------------------------------------ */

/* Two ids as one key. */
static Text
pair_of(Text a, Text b)
{
	Text  pair = { 0 };
	char *data = palloc(a.length + 1 + b.length);

	memcpy(data, a.data, a.length);
	data[a.length] = PAIR_SEPARATOR;
	memcpy(data + a.length + 1, b.data, b.length);
	pair.data = data;
	pair.length = a.length + 1 + b.length;
	return pair;
}

/* See lookup.h. */
void
lookups_want_role(Lookups *lookups, Text workspace_id, Oid workspace_type, Text user_id,
				  Oid user_type)
{
	const BoundRelation *bound = known_relation(lookups, SOURCE_MEMBER);

	if (workspace_id.data && user_id.data && bound)
		want(&lookups->wanted[SOURCE_MEMBER], pair_of(workspace_id, user_id),
			 !comparable(&bound->column[MEMBER_WORKSPACE_ID], workspace_type) ||
				 !comparable(&bound->column[MEMBER_USER_ID], user_type));
}

/* The two halves of the pairs to be fetched as arrays. */
static void
split_pairs(const Wanted *wanted, Datum *arrays)
{
	int	  count = wanted->count - wanted->fetched;
	Text *halves = palloc(2 * count * sizeof(Text));

	for (int i = 0; i < count; i++)
	{
		Text pair = wanted->ids[wanted->fetched + i];
		int	 length = strlen(pair.data);

		halves[i] = (Text){ .data = pair.data, .length = length };
		halves[count + i] =
			(Text){ .data = pair.data + length + 1, .length = pair.length - length - 1 };
	}
	arrays[0] = lookups_text_array(halves, count);
	arrays[1] = lookups_text_array(halves + count, count);
}

/* RowConsumer: takes an active member that is wanted. */
static void
take_member(void *argument, Row *row)
{
	Wanted *wanted = argument;
	int		index;

	if (row->value[MEMBER_WORKSPACE_ID].isnull || row->value[MEMBER_USER_ID].isnull ||
		(!row->value[MEMBER_IS_ACTIVE].isnull && !row->value[MEMBER_IS_ACTIVE].flag))
		return;
	index = position(wanted, pair_of(row_text(row, MEMBER_WORKSPACE_ID),
									 row_text(row, MEMBER_USER_ID)));
	if (index >= 0)
		wanted->rows[index] = row;
}

/* See lookup.h. */
void
lookups_fetch_roles(Lookups *lookups)
{
	Wanted		  *wanted = &lookups->wanted[SOURCE_MEMBER];
	BoundRelation *bound;
	Datum		   arguments[2];
	OwnQuery	   query;

	if (wanted->count == wanted->fetched)
		return;
	bound = bound_relation(SOURCE_MEMBER);
	if (bound == NULL) /* not any more */
		return;
	own_query_begin(&query);
	split_pairs(wanted, arguments);
	if (!bound->foreign_functions)
		run_lookup(bound, wanted->as_text, arguments);
	MemoryContextSwitchTo(query.memory);
	if (bound->foreign_functions)
		rows_scan(bound, MEMBER_WORKSPACE_ID, arguments[0], take_member, wanted);
	else
		for (uint64 i = 0; i < SPI_processed; i++)
			take_member(wanted, row_of_tuple(SOURCE_MEMBER, SPI_tuptable->vals[i],
											 SPI_tuptable->tupdesc));
	own_query_end(&query);
	wanted->fetched = wanted->count;
}

/* See lookup.h. */
Text
lookups_role(const Lookups *lookups, Text workspace_id, Text user_id)
{
	if (workspace_id.data == NULL || user_id.data == NULL)
		return text_of(NULL);
	return row_text(lookups_get(lookups, SOURCE_MEMBER, pair_of(workspace_id, user_id)),
					MEMBER_ROLE);
}
