/*
 * expression.c
 *		SQL expressions over the rows of one relation.
 *
 * Knows nothing of which relation is bound as what: that is binding.c's.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/executor.h"
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
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/regproc.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "application/expression.h"
#include "base/compat.h"
#include "base/own_role.h"

/* CachedExpressions to be freed at the end of the transaction */
static List *retired_expressions = NIL;

/* ------------------------------------------------------------------------
 * Parsing and deparsing
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

/* Whose a function is. */
static Oid
function_owner(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid		  owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * check_function_callback: 42501 for a function that somebody could replace who is not trusted
 * with the extension's rights: neither a superuser nor the extension's owner.
 */
static bool
require_trusted(Oid function, void *unused)
{
	Oid owner;

	if (function < FirstNormalObjectId)
		return false;
	owner = function_owner(function);
	if (owner != own_role() &&
		!compat_extension_ownercheck(get_extension_oid("featul_integrations", false),
									 owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("function %s belongs to \"%s\", who could have it read what is "
						"the extension's",
						format_procedure(function), GetUserNameFromId(owner, false)),
				 errhint("Make it the extension owner's: ALTER FUNCTION ... OWNER TO.")));
	return false;
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
	(void) check_functions_in_node(node, require_trusted, NULL);
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

/* See expression.h. */
Node *
expression_parse(Relation relation, const char *alias, Source source, int column,
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

/* See expression.h. */
char *
expression_deparse(Node *node, Source source, Relation relation)
{
	return deparse_expression(
		node,
		deparse_context_for(source_definitions[source].name, RelationGetRelid(relation)),
		false, false);
}

/*
 * check_function_callback: may it run code of others?  Somebody's own; and of PostgreSQL's what
 * looks at more than its arguments: query_to_xml() runs any query, table_to_xml() any view,
 * domain_in() any CHECK.  Output functions, which casts to text call, do not.
 */
static bool
is_foreign_function(Oid function, void *unused)
{
	return function >= FirstNormalObjectId ||
		   (func_volatile(function) != PROVOLATILE_IMMUTABLE &&
			get_func_rettype(function) != CSTRINGOID);
}

/* Tree walker: see expression_calls_foreign(). */
static bool
calls_foreign(Node *node, void *unused)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_foreign_function, NULL))
		return true;
	return expression_tree_walker(node, calls_foreign, NULL);
}

/* check_function_callback: 42501 unless the role may execute it */
static bool
require_execute(Oid function, void *role)
{
	AclResult result = compat_function_aclcheck(function, *(Oid *) role, ACL_EXECUTE);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FUNCTION, get_func_name(function));
	return false;
}

/* Tree walker: see expression_require_execute(). */
static bool
require_execute_walker(Node *node, void *role)
{
	if (node == NULL)
		return false;
	(void) check_functions_in_node(node, require_execute, role);
	return expression_tree_walker(node, require_execute_walker, role);
}

/* See expression.h. */
void
expression_require_execute(Node *expression, Oid role)
{
	(void) require_execute_walker(expression, &role);
}

/* See expression.h. */
bool
expression_calls_foreign(Node *expression)
{
	return calls_foreign(expression, NULL);
}

/*
 * True for types whose text is the same under any settings.  Their output functions do not
 * tell: those of bytea and the floats count as immutable, and go by bytea_output and
 * extra_float_digits.
 */
static bool
has_fixed_text(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case OIDOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
		case CHAROID:
		case UUIDOID:
		case JSONOID:
		case JSONBOID:
		case INETOID:
		case CIDROID:
			return true;
		default:
			return get_typtype(type) == TYPTYPE_ENUM;
	}
}

/* Tree walker: whether it converts anything else to or from text. */
static bool
converts_loosely(Node *node, void *unused)
{
	if (node == NULL)
		return false;
	if (IsA(node, CoerceViaIO) &&
		!(has_fixed_text(getBaseType(exprType((Node *) ((CoerceViaIO *) node)->arg))) &&
		  has_fixed_text(getBaseType(((CoerceViaIO *) node)->resulttype))))
		return true;
	return expression_tree_walker(node, converts_loosely, NULL);
}

/* See expression.h. */
bool
expression_depends_on_session(Node *expression)
{
	return contain_mutable_functions(expression) || converts_loosely(expression, NULL);
}

/* Tree walker: see expression_names_foreign(). */
static bool
names_foreign(Node *node, void *unused)
{
	Oid named = InvalidOid;

	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Const:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_ArrayCoerceExpr:
		case T_ArrayExpr:
		case T_RowExpr:
			named = exprType(node);
			break;
		case T_OpExpr:
			named = ((OpExpr *) node)->opno;
			break;
		case T_ScalarArrayOpExpr:
			named = ((ScalarArrayOpExpr *) node)->opno;
			break;
		default:
			break;
	}
	return named >= FirstNormalObjectId ||
		   expression_tree_walker(node, names_foreign, NULL);
}

/* See expression.h. */
bool
expression_names_foreign(Node *expression)
{
	return calls_foreign(expression, NULL) || names_foreign(expression, NULL);
}

/* ------------------------------------------------------------------------
 * Evaluating
 * ------------------------------------------------------------------------ */

/* A column's expression, ready to run. */
static ExprState *
prepared_expression(Evaluation *evaluation, int column, CachedExpression *planned)
{
	if (evaluation->state[column] == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(evaluation->memory);

		evaluation->state[column] = ExecInitExpr((Expr *) planned->expr, NULL);
		MemoryContextSwitchTo(caller);
	}
	return evaluation->state[column];
}

/*
 * What expressions are evaluated in: some keep in its memory what they found out the
 * first time.
 */
static ExprContext *
expression_context(Evaluation *evaluation)
{
	if (evaluation->context == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(evaluation->memory);

		evaluation->context = CreateStandaloneExprContext();
		MemoryContextSwitchTo(caller);
	}
	return evaluation->context;
}

/* See expression.h. */
Datum
expression_evaluate(Evaluation *evaluation, int column, CachedExpression *planned,
					TupleTableSlot *slot, bool *isnull)
{
	ExprState	   *state = prepared_expression(evaluation, column, planned);
	ExprContext	   *context = expression_context(evaluation);
	TupleTableSlot *outer = context->ecxt_scantuple;
	Datum			result;

	context->ecxt_scantuple = slot;
	result = ExecEvalExpr(state, context, isnull);
	context->ecxt_scantuple = outer;
	return result;
}

/* ------------------------------------------------------------------------
 * Their end
 * ------------------------------------------------------------------------ */

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

/* See expression.h. */
void
expression_retire(List *planned)
{
	static bool	  registered = false;
	MemoryContext caller;

	if (!registered)
		RegisterXactCallback(free_retired_expressions, NULL);
	registered = true;
	caller = MemoryContextSwitchTo(TopMemoryContext);
	retired_expressions = list_concat(retired_expressions, planned);
	MemoryContextSwitchTo(caller);
}
