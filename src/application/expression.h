/*
 * expression.h
 *		SQL expressions over the rows of one relation: parsing, deparsing,
 *		planning, and the one place that evaluates them.
 */
#ifndef FEATUL_EXPRESSION_H
#define FEATUL_EXPRESSION_H

#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/plancache.h"
#include "utils/relcache.h"

#include "application/source.h"

/*
 * Parses one expression over the relation's rows, under this alias (NULL: its
 * own name), and converts it to the column's canonical type.  Refused with
 * 22023: subqueries, aggregates, window and set-returning functions, system
 * columns, casts that are user-defined, the wrong type; with 42501: functions of
 * somebody who is not trusted with the extension's rights.  Else raises what the
 * parser raises.  *bare is the expression before conversion.
 */
extern Node *expression_parse(Relation relation, const char *alias, Source source,
							  int column, const char *text, Node **bare);

/*
 * The expression as SQL for this search_path, over rows whose alias is the
 * source's name, whatever the table is called.
 */
extern char *expression_deparse(Node *expression, Source source, Relation relation);

/* Does it call what may run code of others: more than immutable functions of PostgreSQL's own? */
extern bool expression_calls_foreign(Node *expression);

/* May its value for the same row depend on the session: its settings, the time, what there is? */
extern bool expression_depends_on_session(Node *expression);

/* Does it, as SQL, name functions, types or operators that are not PostgreSQL's own? */
extern bool expression_names_foreign(Node *expression);

/* 42501 unless this role may execute every function that it calls. */
extern void expression_require_execute(Node *expression, Oid role);

/*
 * What expressions over one relation are evaluated with, made when first
 * needed, in this memory.  Initialized by zeros and the memory.
 */
typedef struct Evaluation
{
	MemoryContext memory;
	ExprContext	 *context;
	ExprState	 *state[MAX_COLUMNS];
} Evaluation;

/*
 * A column's expression over the slot's row, in the current memory context: a
 * function may lead back to here, and what that leaves must not end before this
 * does.  Raises what the expression raises.
 */
extern Datum expression_evaluate(Evaluation *evaluation, int column,
								 CachedExpression *planned, TupleTableSlot *slot,
								 bool *isnull);

/* Frees these CachedExpressions, but not before the transaction's end. */
extern void expression_retire(List *planned);

#endif /* FEATUL_EXPRESSION_H */
