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

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"

#include "application/binding.h"
#include "base/compat.h"

const SourceDefinition source_definitions[SOURCE_COUNT] = {
	[SOURCE_WORKSPACE] = { "workspace",
						   { "workspace", "workspaces" },
						   true,
						   { { "id", COLUMN_TEXT, true },
							 { "name", COLUMN_TEXT, true },
							 { "slug", COLUMN_TEXT, true },
							 { "plan", COLUMN_TEXT, true },
							 { "owner_id", COLUMN_TEXT, true } } },
	[SOURCE_MEMBER] = { "member",
						{ "workspace_member", "workspace_members" },
						true,
						{ { "workspace_id", COLUMN_TEXT, true },
						  { "user_id", COLUMN_TEXT, true },
						  { "role", COLUMN_TEXT, true },
						  { "is_active", COLUMN_FLAG } } },
	[SOURCE_USER] = { "user",
					  { "user", "users" },
					  false,
					  { { "id", COLUMN_TEXT },
						{ "name", COLUMN_TEXT },
						{ "email", COLUMN_TEXT } } },
	[SOURCE_BOARD] = { "board",
					   { "board", "boards" },
					   true,
					   { { "id", COLUMN_TEXT, true },
						 { "workspace_id", COLUMN_TEXT, true },
						 { "name", COLUMN_TEXT, true },
						 { "slug", COLUMN_TEXT },
						 { "is_system", COLUMN_FLAG },
						 { "hides_identity", COLUMN_FLAG, false,
						   "hide_public_member_identity" },
						 { "roadmap_statuses", COLUMN_TEXT } } },
	[SOURCE_POST] = { "post",
					  { "post", "posts" },
					  true,
					  { { "id", COLUMN_TEXT, true },
						{ "board_id", COLUMN_TEXT, true },
						{ "title", COLUMN_TEXT, true },
						{ "content", COLUMN_TEXT, true },
						{ "slug", COLUMN_TEXT },
						{ "image", COLUMN_TEXT },
						{ "author_id", COLUMN_TEXT },
						{ "is_anonymous", COLUMN_FLAG },
						{ "fingerprint", COLUMN_TEXT },
						{ "visible", COLUMN_FLAG },
						{ "status", COLUMN_TEXT, false, "roadmap_status" },
						{ "upvotes", COLUMN_NUMBER },
						{ "is_pinned", COLUMN_FLAG },
						{ "is_locked", COLUMN_FLAG },
						{ "is_featured", COLUMN_FLAG },
						{ "created_at", COLUMN_TIME } } },
	[SOURCE_COMMENT] = { "comment",
						 { "comment", "comments" },
						 false,
						 { { "id", COLUMN_TEXT },
						   { "post_id", COLUMN_TEXT },
						   { "content", COLUMN_TEXT },
						   { "author_id", COLUMN_TEXT },
						   { "author_name", COLUMN_TEXT },
						   { "is_anonymous", COLUMN_FLAG },
						   { "is_internal", COLUMN_FLAG },
						   { "visible", COLUMN_FLAG },
						   { "created_at", COLUMN_TIME } } },
	[SOURCE_VOTE] = { "vote",
					  { "vote", "votes" },
					  false,
					  { { "id", COLUMN_TEXT },
						{ "post_id", COLUMN_TEXT },
						{ "user_id", COLUMN_TEXT },
						{ "fingerprint", COLUMN_TEXT } } },
	[SOURCE_MENTION] = { "mention",
						 { "comment_mention", "comment_mentions" },
						 false,
						 { { "id", COLUMN_TEXT },
						   { "comment_id", COLUMN_TEXT },
						   { "user_id", COLUMN_TEXT, false, "mentioned_user_id" },
						   { "by_user_id", COLUMN_TEXT, false, "mentioned_by" } } },
	[SOURCE_REACTION] = { "reaction",
						  { "comment_reaction", "comment_reactions" },
						  false,
						  { { "id", COLUMN_TEXT },
							{ "comment_id", COLUMN_TEXT },
							{ "user_id", COLUMN_TEXT },
							{ "type", COLUMN_TEXT } } },
};

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

/* CachedExpressions to be freed at the end of the transaction */
static List *retired_expressions = NIL;

/* See binding.h. */
Source
source_by_name(const char *name, int length)
{
	Source source;

	for (source = 0; source < SOURCE_COUNT; source++)
	{
		const char *known = source_definitions[source].name;

		if (strlen(known) == length && memcmp(known, name, length) == 0)
			break;
	}
	return source;
}

/* See binding.h. */
int
column_by_name(Source source, const char *name, int length)
{
	const ColumnDefinition *columns = source_definitions[source].columns;

	for (int i = 0; columns[i].name; i++)
		if (strlen(columns[i].name) == length &&
			memcmp(columns[i].name, name, length) == 0)
			return i;
	return -1;
}

/* See binding.h. */
bool
column_defaults_to_true(Source source, int column)
{
	return (source == SOURCE_POST && column == POST_VISIBLE) ||
		   (source == SOURCE_COMMENT && column == COMMENT_VISIBLE);
}

/* ------------------------------------------------------------------------
 * The cache and its invalidation
 * ------------------------------------------------------------------------ */

/*
 * Relcache callback: marks what may have changed.  Must not look at catalogs.
 * The binding's own table decides over everything; a bound relation over
 * itself.
 */
static void
on_relation_change(Datum unused, Oid relid)
{
	HASH_SEQ_STATUS scan;
	BoundRelation  *relation;

	if (!OidIsValid(relid) || relid == bindings.table)
	{
		bindings.valid = false;
		generation++;
		hash_seq_init(&scan, bound_relations);
		while ((relation = hash_seq_search(&scan)) != NULL)
			relation->valid = false;
		return;
	}
	relation = hash_search(bound_relations, &relid, HASH_FIND, NULL);
	if (relation)
	{
		relation->valid = false;
		generation++;
	}
}

/* Transaction callback: nobody can be using these any more. */
static void
free_retired_expressions(XactEvent event, void *unused)
{
	ListCell *cell;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	foreach (cell, retired_expressions)
		FreeCachedExpression(lfirst(cell));
	list_free(retired_expressions);
	retired_expressions = NIL;
}

/* Once per process. */
static void
initialize_cache(void)
{
	HASHCTL control = { .keysize = sizeof(Oid), .entrysize = sizeof(BoundRelation) };

	if (bound_relations)
		return;
	bound_relations =
		hash_create("featul_integrations bindings", 32, &control, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(on_relation_change, (Datum) 0);
	RegisterXactCallback(free_retired_expressions, NULL);
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
read_bindings(Relation table)
{
	Snapshot		snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc	scan = table_beginscan(table, snapshot, 0, NULL);
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
	read_bindings(table);
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

/* See binding.h. */
int
binding_safe_search_path(void)
{
	int nest = NewGUCNestLevel();

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return nest;
}

/* ------------------------------------------------------------------------
 * Parsing an expression
 * ------------------------------------------------------------------------ */

/* The only thing that a binding's text may hold: one expression. */
static Node *
raw_expression(const char *text)
{
	List	   *list = raw_parser(psprintf("SELECT %s", text), RAW_PARSE_DEFAULT);
	SelectStmt *select;
	ResTarget  *target;

	select =
		list_length(list) == 1 ? (SelectStmt *) linitial_node(RawStmt, list)->stmt : NULL;
	if (select && IsA(select, SelectStmt) && select->op == SETOP_NONE &&
		list_length(select->targetList) == 1 && !select->distinctClause &&
		!select->intoClause && !select->fromClause && !select->whereClause &&
		!select->groupClause && !select->havingClause && !select->windowClause &&
		!select->valuesLists && !select->sortClause && !select->limitOffset &&
		!select->limitCount && !select->lockingClause && !select->withClause)
	{
		target = linitial_node(ResTarget, select->targetList);
		if (!target->name && !target->indirection)
			return target->val;
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("\"%s\" is not one expression", text)));
}

/*
 * True if making such a value may run a domain's CHECK: of an array, a composite or a
 * range type that somebody has defined.
 */
static bool
may_hold_domain(Oid type)
{
	Oid	 element = get_element_type(type);
	char kind;

	if (OidIsValid(element))
		type = element;
	kind = get_typtype(type);
	return type >= FirstNormalObjectId && kind != TYPTYPE_ENUM && kind != TYPTYPE_BASE;
}

/*
 * Tree walker: refuses what would let somebody else than the extension's owner
 * choose the code that runs.  Casts are the one kind of function that deparsed
 * text does not name: whoever owns a column's type could add one later.
 */
static bool
refuse_unsafe(Node *node, void *relation)
{
	bool cast = false;

	if (node == NULL)
		return false;
	if (IsA(node, FuncExpr))
	{
		FuncExpr *function = (FuncExpr *) node;

		cast = function->funcformat != COERCE_EXPLICIT_CALL &&
			   function->funcformat != COERCE_SQL_SYNTAX &&
			   function->funcid >= FirstNormalObjectId;
	}
	if (IsA(node, Const) || IsA(node, CoerceViaIO) || IsA(node, ArrayCoerceExpr))
		cast = may_hold_domain(exprType(node));
	if (cast || IsA(node, CoerceToDomain))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a binding cannot use a user-defined cast or a cast to a domain"),
				 errhint("Call the conversion function by its name.")));
	if (IsA(node, Var) && ((Var *) node)->varattno < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a binding cannot use system columns")));
	return expression_tree_walker(node, refuse_unsafe, relation);
}

/* Converts any type to text, by no function that a user can define. */
static Node *
coerce_to_text(ParseState *pstate, Node *node, Oid type)
{
	CoerceViaIO *io;

	if (type == TEXTOID)
		return node;
	if (type == VARCHAROID || type == BPCHAROID || type == NAMEOID || type == UNKNOWNOID)
		return coerce_to_target_type(pstate, node, type, TEXTOID, -1, COERCION_EXPLICIT,
									 COERCE_EXPLICIT_CAST, -1);
	io = makeNode(CoerceViaIO);
	io->arg = (Expr *) node;
	io->resulttype = TEXTOID;
	io->coerceformat = COERCE_EXPLICIT_CAST;
	io->location = -1;
	return (Node *) io;
}

/* Converts to bigint; NULL if it is no number. */
static Node *
coerce_to_number(ParseState *pstate, Node *node, Oid type)
{
	if (type == INT8OID)
		return node;
	if (type != INT2OID && type != INT4OID && type != NUMERICOID)
		return NULL;
	return coerce_to_target_type(pstate, node, type, INT8OID, -1, COERCION_EXPLICIT,
								 COERCE_EXPLICIT_CAST, -1);
}

/* Converts to timestamptz, a time without zone being UTC; NULL if it is no time. */
static Node *
coerce_to_time(ParseState *pstate, Node *node, Oid type)
{
	Node *utc;

	if (type == TIMESTAMPTZOID)
		return node;
	if (type == DATEOID)
		node = coerce_to_target_type(pstate, node, type, TIMESTAMPOID, -1,
									 COERCION_EXPLICIT, COERCE_EXPLICIT_CAST, -1);
	else if (type != TIMESTAMPOID)
		return NULL;
	utc = (Node *) makeConst(TEXTOID, -1, InvalidOid, -1, CStringGetTextDatum("UTC"),
							 false, false);
	return (Node *) makeFuncExpr(F_TIMEZONE_TEXT_TIMESTAMP, TIMESTAMPTZOID,
								 list_make2(utc, node), InvalidOid, InvalidOid,
								 COERCE_EXPLICIT_CALL);
}

/*
 * Converts an expression to the column's canonical type; 22023 where it has the
 * wrong one.
 */
static Node *
coerce_to_canonical(ParseState *pstate, Source source, int column, Node *node)
{
	static const char *const expected[] = { "text", "boolean", "a number",
											"a timestamp" };
	const ColumnDefinition	*definition = &source_definitions[source].columns[column];
	Oid						 actual = exprType(node);
	Oid						 type = getBaseType(actual);
	Node					*result = NULL;

	/* a bare literal: NULL, or what its spelling says */
	if (actual == UNKNOWNOID && definition->type != COLUMN_TEXT)
		return coerce_to_target_type(pstate, node, actual,
									 definition->type == COLUMN_FLAG	 ? BOOLOID
									 : definition->type == COLUMN_NUMBER ? INT8OID
																		 : TIMESTAMPTZOID,
									 -1, COERCION_ASSIGNMENT, COERCE_EXPLICIT_CAST, -1);
	if (actual != type) /* a domain is a relabeled base type */
		node = (Node *) makeRelabelType((Expr *) node, type, -1, get_typcollation(type),
										COERCE_EXPLICIT_CAST);
	switch (definition->type)
	{
		case COLUMN_TEXT:
			result = coerce_to_text(pstate, node, type);
			break;
		case COLUMN_FLAG:
			result = type == BOOLOID ? node : NULL;
			break;
		case COLUMN_NUMBER:
			result = coerce_to_number(pstate, node, type);
			break;
		case COLUMN_TIME:
			result = coerce_to_time(pstate, node, type);
			break;
	}
	if (result == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s.%s must be %s, not %s",
							   source_definitions[source].name, definition->name,
							   expected[definition->type], format_type_be(actual))));
	return result;
}

/* See binding.h. */
Node *
binding_parse(Relation relation, const char *alias, Source source, int column,
			  const char *expression, Node **bare)
{
	ParseState		   *pstate = make_parsestate(NULL);
	ParseNamespaceItem *item;
	Node			   *node = raw_expression(expression);

	pstate->p_sourcetext = expression;
	item =
		addRangeTableEntryForRelation(pstate, relation, AccessShareLock,
									  alias ? makeAlias(alias, NIL) : NULL, false, true);
	addNSItemToQuery(pstate, item, true, true, true);
	node = transformExpr(pstate, node, EXPR_KIND_OTHER);
	if (pstate->p_hasSubLinks || pstate->p_hasAggs || pstate->p_hasWindowFuncs ||
		expression_returns_set(node))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a binding cannot use subqueries, aggregates, window or "
							   "set-returning functions")));
	assign_expr_collations(pstate, node);
	*bare = node;
	node = coerce_to_canonical(pstate, source, column, copyObject(node));
	assign_expr_collations(pstate, node);
	refuse_unsafe(node, NULL);
	free_parsestate(pstate);
	return node;
}

/* ------------------------------------------------------------------------
 * Compiling the columns for one relation
 * ------------------------------------------------------------------------ */

/* See binding.h. */
char *
binding_deparse(Node *node, Source source, Relation relation)
{
	return deparse_expression(
		node,
		deparse_context_for(source_definitions[source].name, RelationGetRelid(relation)),
		false, false);
}

/* check_function_callback: is it anything else than one of PostgreSQL's own? */
static bool
is_foreign_function(Oid function, void *unused)
{
	return function >= FirstNormalObjectId;
}

/* Tree walker: does an expression call more than built-in functions? */
static bool
calls_foreign_functions(Node *node, void *unused)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_foreign_function, NULL))
		return true;
	return expression_tree_walker(node, calls_foreign_functions, NULL);
}

/* Fills in one column that the binding has an expression for. */
static void
compile_column(BoundRelation *bound, Relation relation, int column,
			   const char *expression)
{
	BoundColumn	 *result = &bound->column[column];
	Node		 *bare;
	Node		 *node = binding_parse(relation, source_definitions[bound->source].name,
									   bound->source, column, expression, &bare);
	Node		 *stripped = node;
	MemoryContext caller = MemoryContextSwitchTo(bound->context);

	result->parsed = copyObject(node);
	if (calls_foreign_functions(node, NULL))
		bound->foreign_functions = true;
	result->type = getBaseType(exprType(bare));
	result->sql = binding_deparse(node, bound->source, relation);
	if (IsA(bare, Var))
		result->attribute = ((Var *) bare)->varattno;
	while (IsA(stripped, RelabelType))
		stripped = (Node *) ((RelabelType *) stripped)->arg;
	node = compat_expand_virtual_columns(node, relation);
	pull_varattnos(node, 1, &result->attributes);
	if (IsA(stripped, Var) && ((Var *) stripped)->varattno > 0 &&
		equal(node, result->parsed))
		result->plain = ((Var *) stripped)->varattno;
	else
	{
		result->planned = GetCachedExpression(node);
		bound->expressions = lappend(bound->expressions, result->planned);
		if (calls_foreign_functions(result->planned->expr, NULL))
			bound->unsafe_functions = true;
		if (contain_mutable_functions(result->planned->expr))
			bound->mutable_functions = true;
	}
	MemoryContextSwitchTo(caller);
}

/* The type that ids are compared in; InvalidOid where only text would do. */
static Oid
id_key_type(Oid type)
{
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
			return TEXTOID;
		case UUIDOID:
			return UUIDOID;
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return INT8OID;
		default:
			return InvalidOid;
	}
}

/* True if this index serves; then *result says how. */
static bool
check_id_index(const BoundColumn *id, Relation index, IdIndex *result)
{
	Form_pg_index form = index->rd_index;
	Oid			  operator;

	if (index->rd_rel->relam != BTREE_AM_OID || form->indnkeyatts != 1 ||
		!form->indisunique || !form->indisvalid || !form->indimmediate ||
		form->indkey.values[0] != id->attribute ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
		return false;
	result->key_type = id_key_type(id->type);
	result->collation = index->rd_indcollation[0];
	operator= OidIsValid(result->key_type)
		? get_opfamily_member(index->rd_opfamily[0], index->rd_opcintype[0],
							  result->key_type, BTEqualStrategyNumber)
		: InvalidOid;
	if (!OidIsValid(operator) || operator>=
		FirstNormalObjectId ||(OidIsValid(result->collation) &&
							   !get_collation_isdeterministic(result->collation)))
		return false;
	result->equal = get_opcode(operator);
	result->index = RelationGetRelid(index);
	return true;
}

/* Finds an index over the ids alone, in a plain table (a heap) without children. */
static void
find_id_index(BoundRelation *bound, Relation relation)
{
	ListCell *cell;
	bool	  found = false;

	memset(&bound->id_index, 0, sizeof(IdIndex));
	if (bound->column[0].attribute <= 0 ||
		relation->rd_rel->relkind != RELKIND_RELATION ||
		relation->rd_rel->relhassubclass || relation->rd_rel->relam != HEAP_TABLE_AM_OID)
		return;
	foreach (cell, RelationGetIndexList(relation))
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		found = check_id_index(&bound->column[0], index, &bound->id_index);
		index_close(index, AccessShareLock);
		if (found)
			return;
	}
	memset(&bound->id_index, 0, sizeof(IdIndex));
}

/* Frees what the last compilation left, but not before the transaction's end. */
static void
reset_bound_relation(BoundRelation *bound)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	retired_expressions = list_concat(retired_expressions, bound->expressions);
	MemoryContextSwitchTo(caller);
	discard(bound->context);
	bound->expressions = NIL;
	bound->expression_context = NULL;
	bound->context = NULL;
	bound->places = NULL;
	memset(bound->column, 0, sizeof(bound->column));
}

/* Parses all columns of the source for this relation. */
static void
compile_columns(BoundRelation *bound, Relation relation)
{
	int						nest = binding_safe_search_path();
	const ColumnDefinition *definitions = source_definitions[bound->source].columns;

	bound->qualified_name = MemoryContextStrdup(
		bound->context,
		quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
								   RelationGetRelationName(relation)));
	bound->alias = quote_identifier(source_definitions[bound->source].name);
	for (int i = 0; definitions[i].name; i++)
		if (bindings.column[bound->source][i])
			compile_column(bound, relation, i, bindings.column[bound->source][i]);
	AtEOXact_GUC(true, nest);
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

/* True for errors that say nothing about a binding: the same may succeed next time. */
static bool
is_passing_error(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_TRANSACTION_ROLLBACK:
			return true;
	}
	return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
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
	find_id_index(bound, relation);
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
	bound->version = ++versions;
	bound->valid = true;
	bound->broken = true;
	bound->problem = NULL;
	bound->unsafe_functions = false;
	bound->foreign_functions = false;
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
		if (bound->problem == NULL && is_passing_error(error))
			bound->valid = false;
		if (bound->problem != NULL || is_passing_error(error))
			PG_RE_THROW();
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
		bound = last[source] = hash_search(bound_relations, &relid, HASH_FIND, NULL);
	return bound && bound->valid && bound->source == source && !plans_are_stale(bound)
			   ? bound
			   : NULL;
}

/* See binding.h. */
BoundRelation *
binding_of(Source source, Oid relid)
{
	BoundRelation *bound = binding_peek(source, relid);
	bool		   found;

	if (bound && !bound->broken)
		return bound;
	if (bound == NULL && !stands_for(source, relid))
		return NULL;
	if (bound)
		report_broken(bound);
	bound = hash_search(bound_relations, &relid, HASH_ENTER, &found);
	if (!found)
		memset((char *) bound + sizeof(Oid), 0, sizeof(BoundRelation) - sizeof(Oid));
	bound->source = source;
	compile(bound);
	return bound;
}

/* See binding.h. */
void
binding_append_relation(StringInfo sql, Source source, const char *alias)
{
	/* as pg_type has them: the names of the grammar take no schema */
	static const char *const types[] = { "text", "bool", "int8", "timestamptz" };
	const ColumnDefinition	*definitions = source_definitions[source].columns;
	BoundRelation			*bound = binding_of(source, binding_relid(source));

	if (bound == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no table is bound as \"%s\"", source_definitions[source].name),
				 errhint("The extension's owner runs integration_attach().")));
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
			appendStringInfo(sql, "NULL::pg_catalog.%s", types[definitions[i].type]);
		appendStringInfo(sql, " AS %s", quote_identifier(definitions[i].name));
	}
	appendStringInfo(sql, " FROM %s AS %s) AS %s", bound->qualified_name, bound->alias,
					 alias);
}
