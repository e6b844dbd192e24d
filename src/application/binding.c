/*
 * binding.c
 *		Reading the bindings of the application's tables.
 *
 * A binding is text: the relation's name is an OID, but its columns are SQL
 * expressions over column names, as integration_attach() deparsed them.  Text
 * survives dump and restore, and a table that is altered is noticed when the
 * text is parsed again.  Nothing depends on the application's columns, so its
 * migrations are never in our way, nor we in theirs.
 *
 * Parsing costs some 100 us, so the result is kept in the process, for each
 * relation, until an invalidation message for the relation or for the table
 * featul_integrations.binding arrives.  What is thrown away lives on until the
 * end of the transaction: a trigger further up may be using it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "application/binding.h"
#include "application/user_context.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/safe_settings.h"

/* featul_integrations.binding as read */
static struct
{
	bool		  valid;
	Oid			  table; /* featul_integrations.binding itself */
	Oid			  relid[SOURCE_COUNT];
	const char	 *column[SOURCE_COUNT][MAX_COLUMNS]; /* SQL or NULL */
	MemoryContext context;
} bindings;

/* BoundRelation by relid */
static HTAB *bound_relations = NULL;

static uint64 generation = 1;
static uint64 versions = 0;
static uint64 epoch = 0;

/* ------------------------------------------------------------------------
 * The cache and its invalidation
 * ------------------------------------------------------------------------ */

/* The hash key of a compiled binding: the first fields of a BoundRelation. */
typedef struct BindingKey
{
	Oid	   relid;
	Source source;
} BindingKey;

StaticAssertDecl(offsetof(BoundRelation, source) == offsetof(BindingKey, source) &&
					 offsetof(BoundRelation, version) == sizeof(BindingKey),
				 "a BoundRelation begins with its key");

/* A compiled binding; NULL if there is none. */
static BoundRelation *
find_compiled(Source source, Oid relid)
{
	BindingKey key = { .relid = relid, .source = source };

	return hash_search(bound_relations, &key, HASH_FIND, NULL);
}

/* Marks compiled bindings: all, or those only whose SQL names what others have made. */
static void
invalidate_compiled(bool all)
{
	HASH_SEQ_STATUS scan;
	BoundRelation  *relation;

	hash_seq_init(&scan, bound_relations);
	while ((relation = hash_seq_search(&scan)) != NULL)
		if (all || relation->foreign_names)
		{
			relation->valid = false;
			generation++;
		}
}

/*
 * Relcache callback: marks what may have changed.  Must not look at catalogs.
 * The binding's own table decides over everything; a bound relation over
 * itself.
 */
static void
invalidate_relation(Datum unused, Oid relid)
{
	if (!OidIsValid(relid) || relid == bindings.table)
	{
		bindings.valid = false;
		generation++;
		invalidate_compiled(true);
		return;
	}
	for (Source source = 0; source < SOURCE_COUNT; source++)
	{
		BoundRelation *relation = find_compiled(source, relid);

		if (relation == NULL)
			continue;
		relation->valid = false;
		generation++;
	}
}

/*
 * Syscache callback: a schema, function, type or operator may have another name, and the
 * SQL of a binding has names in it.  Every table's is under its schema's; few name more.
 */
static void
invalidate_names(Datum unused, int cache, uint32 hash)
{
	invalidate_compiled(cache == NAMESPACEOID);
}

/* Once per process. */
static void
initialize_cache(void)
{
	static const int names[] = { NAMESPACEOID, PROCOID, TYPEOID, OPEROID };
	HASHCTL			 control = { .keysize = sizeof(BindingKey),
								 .entrysize = sizeof(BoundRelation) };

	if (bound_relations)
		return;
	bound_relations =
		hash_create("featul_integrations bindings", 32, &control, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(invalidate_relation, (Datum) 0);
	for (int i = 0; i < lengthof(names); i++)
		CacheRegisterSyscacheCallback(names[i], invalidate_names, (Datum) 0);
}

/* See binding.h. */
uint64
binding_generation(void)
{
	return generation;
}

/* See binding.h. */
uint64
binding_epoch(void)
{
	return epoch;
}

/* Frees a context of the cache, but not before the transaction's end. */
static void
discard(MemoryContext context)
{
	if (context)
		MemoryContextSetParent(context, TopTransactionContext);
}

/* The columns object of one row of featul_integrations.binding. */
static void
load_columns(Source source, Jsonb *columns)
{
	const ColumnDefinition *definitions = source_definitions[source].columns;

	for (int i = 0; definitions[i].name; i++)
	{
		JsonbValue value;

		if (JB_ROOT_IS_OBJECT(columns) &&
			getKeyJsonValueFromContainer(&columns->root, definitions[i].name,
										 strlen(definitions[i].name), &value) &&
			value.type == jbvString)
			bindings.column[source][i] =
				pnstrdup(value.val.string.val, value.val.string.len);
	}
}

/* Reads all rows of featul_integrations.binding, by the latest snapshot. */
static void
read_binding_rows(Relation table)
{
	Snapshot		snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc	scan = compat_table_beginscan(table, snapshot);
	TupleTableSlot *slot = table_slot_create(table, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		  isnull;
		MemoryContext caller;
		Datum		  name = slot_getattr(slot, 1, &isnull);
		Source		  source = source_by_name(VARDATA_ANY(DatumGetPointer(name)),
											  VARSIZE_ANY_EXHDR(DatumGetPointer(name)));

		if (source == SOURCE_COUNT)
			continue;
		caller = MemoryContextSwitchTo(bindings.context);
		bindings.relid[source] = DatumGetObjectId(slot_getattr(slot, 2, &isnull));
		load_columns(source, DatumGetJsonbPCopy(slot_getattr(slot, 3, &isnull)));
		MemoryContextSwitchTo(caller);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
}

/*
 * Reads featul_integrations.binding unless it is known.  Not through SPI: any
 * role may be asking, and this must be as cheap as a look-up.  Always by the
 * latest snapshot, as for catalogs: the cache outlives the transaction.  What
 * was read while a change arrived, or was not read to its end, is not kept.
 */
static void
load_bindings(void)
{
	Relation table;
	uint64	 before;

	if (bindings.valid)
		return;
	initialize_cache();
	discard(bindings.context);
	memset(&bindings, 0, sizeof(bindings));
	bindings.context = AllocSetContextCreate(
		TopMemoryContext, "featul_integrations bindings", ALLOCSET_SMALL_SIZES);
	bindings.table =
		get_relname_relid("binding", get_namespace_oid("featul_integrations", false));
	if (!OidIsValid(bindings.table))
		elog(ERROR, "featul_integrations.binding does not exist");
	table = table_open(bindings.table, AccessShareLock);
	before = generation;
	epoch++;
	read_binding_rows(table);
	table_close(table, AccessShareLock);
	bindings.valid = generation == before;
}

/* See binding.h. */
bool
binding_attached(void)
{
	return binding_has(SOURCE_WORKSPACE);
}

/* See binding.h. */
void
binding_require(void)
{
	if (!binding_attached())
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("featul_integrations is not attached to the application's tables"),
			 errhint("The extension's owner runs integration_attach() once.")));
}

/* See binding.h. */
bool
binding_has(Source source)
{
	return OidIsValid(binding_relid(source));
}

/* See binding.h. */
bool
binding_has_column(Source source, int column)
{
	load_bindings();
	return bindings.column[source][column] != NULL;
}

/* See binding.h. */
Oid
binding_relid(Source source)
{
	load_bindings();
	return bindings.relid[source];
}

/* See binding.h. */
void
binding_changed(void)
{
	load_bindings();
	CacheInvalidateRelcacheByRelid(bindings.table);
}

/* ------------------------------------------------------------------------
 * Compiling the columns for one relation
 * ------------------------------------------------------------------------ */

/*
 * Plans the expression of a column that is not plain: as the extension's role, since
 * planning evaluates what is constant.
 */
static void
plan_column(BoundRelation *bound, BoundColumn *column, Node *node)
{
	UserContext user;

	user_context_as_extension(&user);
	node = copyObject(node);
	compat_mark_columns(node, NULL);
	column->planned = GetCachedExpression(node);
	user_context_restore(&user);
	bound->expressions = lappend(bound->expressions, column->planned);
	if (expression_calls_foreign(column->planned->expr))
		bound->unsafe_functions = true;
	if (expression_depends_on_session(column->planned->expr))
		bound->mutable_functions = true;
}

/*
 * Fills in one column that the binding has an expression for.  Names are looked up as
 * the table's owner, whose types may come with code of that role's.
 */
static void
compile_column(BoundRelation *bound, Relation relation, int column,
			   const char *expression)
{
	BoundColumn	 *result = &bound->column[column];
	Node		 *bare;
	Node		 *node;
	Node		 *stripped;
	MemoryContext caller;
	UserContext	  user;

	user_context_as_table_owner(&user, bound->relid);
	node = expression_parse(relation, source_definitions[bound->source].name,
							bound->source, column, expression, &bare);
	user_context_restore(&user);
	caller = MemoryContextSwitchTo(bound->context);
	result->parsed = copyObject(node);
	result->foreign = expression_calls_foreign(node);
	bound->foreign_functions = bound->foreign_functions || result->foreign;
	bound->foreign_names = bound->foreign_names || expression_names_foreign(node);
	result->type = getBaseType(exprType(bare));
	result->sql = expression_deparse(node, bound->source, relation);
	if (IsA(bare, Var))
		result->attribute = ((Var *) bare)->varattno;
	stripped = node;
	while (IsA(stripped, RelabelType))
		stripped = (Node *) ((RelabelType *) stripped)->arg;
	node = compat_expand_virtual_columns(node, relation);
	pull_varattnos(node, 1, &result->attributes);
	if (IsA(stripped, Var) && ((Var *) stripped)->varattno > 0 &&
		equal(node, result->parsed))
		result->plain = ((Var *) stripped)->varattno;
	else
		plan_column(bound, result, node);
	MemoryContextSwitchTo(caller);
}

/* Frees what the last compilation left, but not before the transaction's end. */
static void
reset_bound_relation(BoundRelation *bound)
{
	expression_retire(bound->expressions);
	discard(bound->context);
	bound->expressions = NIL;
	memset(&bound->evaluation, 0, sizeof(bound->evaluation));
	bound->context = NULL;
	bound->places = NULL;
	memset(bound->column, 0, sizeof(bound->column));
}

/* Parses and plans all columns of the source for this relation, under safe settings. */
static void
compile_columns(BoundRelation *bound, Relation relation)
{
	int						nest = safe_settings_begin();
	const ColumnDefinition *definitions = source_definitions[bound->source].columns;

	bound->qualified_name = MemoryContextStrdup(
		bound->context,
		quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
								   RelationGetRelationName(relation)));
	bound->alias = MemoryContextStrdup(
		bound->context, quote_identifier(source_definitions[bound->source].name));
	for (int i = 0; definitions[i].name; i++)
		if (bindings.column[bound->source][i])
			compile_column(bound, relation, i, bindings.column[bound->source][i]);
	safe_settings_end(nest);
}

/* 55000 for a relation that its binding does not fit: what compile() found out. */
static void
report_broken(const BoundRelation *bound)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("%s", bound->problem),
					bound->detail ? errdetail("%s", bound->detail) : 0,
					errhint("The extension's owner runs integration_attach() again.")));
}

/* Notes why the relation is broken, for as long as it is, and raises that. */
static void
set_broken(BoundRelation *bound, const char *problem, const char *detail)
{
	bound->problem = MemoryContextStrdup(bound->context, problem);
	bound->detail = detail ? MemoryContextStrdup(bound->context, detail) : NULL;
	report_broken(bound);
}

/* Compiles for a relation that is open (NULL: there is none); see compile(). */
static void
compile_relation(BoundRelation *bound, Relation relation)
{
	const char *source = source_definitions[bound->source].name;

	if (relation == NULL)
		set_broken(bound,
				   psprintf("the table bound as \"%s\" does not exist any more", source),
				   NULL);
	/* until 15 its owner can make an empty table a view, whose functions we would run */
	if (relation->rd_rel->relkind != RELKIND_RELATION &&
		relation->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		set_broken(bound,
				   psprintf("what is bound as \"%s\" is no table any more", source),
				   NULL);
	compile_columns(bound, relation);
	bound->id_index =
		id_index_find(relation, bound->column[0].attribute, bound->column[0].type);
}

/*
 * Compiles, or raises 55000 and leaves the relation marked as broken; an error
 * that may pass leaves it to be compiled again.  Valid is set first: an
 * invalidation that arrives meanwhile makes it false again.
 */
static void
compile(BoundRelation *bound)
{
	MemoryContext caller = CurrentMemoryContext;
	Relation	  relation = try_relation_open(bound->relid, AccessShareLock);

	reset_bound_relation(bound);
	bound->context = AllocSetContextCreate(
		TopMemoryContext, "featul_integrations relation", ALLOCSET_SMALL_SIZES);
	bound->evaluation.memory = bound->context;
	bound->version = ++versions;
	bound->valid = true;
	bound->broken = true;
	bound->problem = NULL;
	bound->unsafe_functions = false;
	bound->foreign_functions = false;
	bound->foreign_names = false;
	bound->mutable_functions = false;
	PG_TRY();
	{
		compile_relation(bound, relation);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		if (bound->problem != NULL)
			PG_RE_THROW();
		if (!error_is_fault_of_data(error))
		{
			bound->valid = false; /* the same may succeed next time */
			PG_RE_THROW();
		}
		FlushErrorState();
		set_broken(bound,
				   psprintf("the binding of \"%s\" does not fit its table any more",
							source_definitions[bound->source].name),
				   error->message);
	}
	PG_END_TRY();
	bound->broken = false;
	relation_close(relation, AccessShareLock);
}

/* Is it the relation that is bound, or one of its partitions or children? */
static bool
stands_for(Source source, Oid relid)
{
	Oid parent = binding_relid(source);

	if (!OidIsValid(parent) || relid == parent)
		return relid == parent;
	return list_member_oid(find_all_inheritors(parent, NoLock, NULL), relid);
}

/* True if an expression was planned before something that it uses changed. */
static bool
plans_are_stale(const BoundRelation *bound)
{
	ListCell *cell;

	foreach (cell, bound->expressions)
		if (!((CachedExpression *) lfirst(cell))->is_valid)
			return true;
	return false;
}

/* See binding.h. */
BoundRelation *
binding_peek(Source source, Oid relid)
{
	static BoundRelation *last[SOURCE_COUNT];
	BoundRelation		 *bound = last[source];

	if (!bindings.valid)
		return NULL;
	if (bound == NULL || bound->relid != relid)
		bound = last[source] = find_compiled(source, relid);
	return bound && bound->valid && !plans_are_stale(bound) ? bound : NULL;
}

/* See binding.h. */
BoundRelation *
binding_of(Source source, Oid relid)
{
	BindingKey	   key = { .relid = relid, .source = source };
	BoundRelation *bound = binding_peek(source, relid);
	bool		   found;

	if (bound && !bound->broken)
		return bound;
	if (bound == NULL && !stands_for(source, relid))
		return NULL;
	if (bound)
		report_broken(bound);
	bound = hash_search(bound_relations, &key, HASH_ENTER, &found);
	if (!found)
		memset((char *) bound + sizeof(BindingKey), 0,
			   sizeof(BoundRelation) - sizeof(BindingKey));
	compile(bound);
	return bound;
}

/* The types of canonical columns, as pg_type has them: the grammar's names take no schema */
static const char *const type_names[] = { "text", "bool", "int8", "timestamptz" };

/* How to read the table bound as this source; 55000 if there is none. */
static BoundRelation *
require_bound(Source source)
{
	BoundRelation *bound = binding_of(source, binding_relid(source));

	if (bound == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no table is bound as \"%s\"", source_definitions[source].name),
				 errhint("The extension's owner runs integration_attach().")));
	return bound;
}

/* Appends a call of bound_rows(), with the columns that it returns. */
static void
append_rows_call(StringInfo sql, Source source, int column, const char *parameter,
				 const char *alias)
{
	const ColumnDefinition *definitions = source_definitions[source].columns;

	appendStringInfo(sql, "featul_integrations.bound_rows('%s', '%s', %s) AS %s (",
					 source_definitions[source].name,
					 column < 0 ? "" : definitions[column].name,
					 column < 0 ? "''" : parameter, alias);
	for (int i = 0; definitions[i].name; i++)
		appendStringInfo(sql, "%s%s pg_catalog.%s", i > 0 ? ", " : "",
						 quote_identifier(definitions[i].name),
						 type_names[definitions[i].type]);
	appendStringInfoChar(sql, ')');
}

/* See binding.h. */
void
binding_append_rows(StringInfo sql, Source source, int column, const char *parameter,
					const char *alias)
{
	const ColumnDefinition *definitions = source_definitions[source].columns;
	BoundRelation		   *bound = require_bound(source);

	if (bound->foreign_functions)
	{
		append_rows_call(sql, source, column, parameter, alias);
		return;
	}
	appendStringInfoString(sql, "(SELECT ");
	for (int i = 0; definitions[i].name; i++)
	{
		const char *expression = bound->column[i].sql;

		appendStringInfoString(sql, i > 0 ? ", " : "");
		if (expression)
			appendStringInfoString(sql, expression);
		else if (column_defaults_to_true(source, i))
			appendStringInfoString(sql, "true");
		else
			appendStringInfo(sql, "NULL::pg_catalog.%s", type_names[definitions[i].type]);
		appendStringInfo(sql, " AS %s", quote_identifier(definitions[i].name));
	}
	appendStringInfo(sql, " FROM %s AS %s", bound->qualified_name, bound->alias);
	if (column >= 0 && bound->column[column].sql)
		appendStringInfo(sql, " WHERE %s = %s", bound->column[column].sql, parameter);
	else if (column >= 0)
		appendStringInfoString(sql, " WHERE false");
	appendStringInfo(sql, ") AS %s", alias);
}

/* See binding.h. */
bool
binding_append_row_by_id(StringInfo sql, Source source, const char *parameter)
{
	BoundRelation *bound = require_bound(source);

	if (bound->column[0].foreign)
		return false;
	appendStringInfo(sql, " FROM %s AS %s WHERE %s = %s", bound->qualified_name,
					 bound->alias, bound->column[0].sql, parameter);
	return true;
}
