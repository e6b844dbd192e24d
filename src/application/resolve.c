/*
 * resolve.c
 *		What each source is to be bound to: what the caller says, checked, and
 *		what is found where the caller says nothing.
 *
 * Everything that is wrong with tables and columns is collected, so that one
 * error names it all.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/varlena.h"

#include "application/expression.h"
#include "application/resolve.h"
#include "application/user_context.h"
#include "base/compat.h"
#include "base/own_query.h"
#include "base/own_role.h"
#include "base/safe_settings.h"
#include "base/subtransaction.h"
#include "base/text.h"

/* ------------------------------------------------------------------------
 * The bindings argument
 * ------------------------------------------------------------------------ */

/* Raises 22023, with what is known (a sentence without its full stop, or NULL) and an example of what bindings look like. */
static void
bad_name(const char *message, const char *known)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid bindings: %s", message), known ? errdetail("%s.", known) : 0,
			 errhint("Example: {\"post\": {\"table\": \"feedback.ideas\", \"columns\": "
					 "{\"title\": \"headline\", \"visible\": \"state <> 'draft'\"}}}")));
}

/* Raises 22023: something of bindings is not as the example has it. */
static void
bad_bindings(const char *message)
{
	bad_name(message, NULL);
}

/* "Sources are workspace, ..." */
static const char *
known_sources(void)
{
	StringInfoData list;

	initStringInfo(&list);
	for (Source source = 0; source < SOURCE_COUNT; source++)
		text_append_item(&list, source_definitions[source].name);
	return psprintf("Sources are %s", list.data);
}

/* "Columns of post are id, ..." */
static const char *
known_columns(const SourceDefinition *definition)
{
	StringInfoData list;

	initStringInfo(&list);
	for (const ColumnDefinition *column = definition->columns; column->name; column++)
		text_append_item(&list, column->name);
	return psprintf("Columns of %s are %s", definition->name, list.data);
}

/* The text of a JSON string; else 22023. */
static char *
json_string(const JsonbValue *value, const char *what)
{
	if (value->type != jbvString)
		bad_bindings(psprintf("%s must be a string", what));
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* Iterates over an object's keys; false at its end.  22023 if it is no object. */
static bool
next_member(JsonbIterator **iterator, JsonbValue *key, JsonbValue *value)
{
	if (JsonbIteratorNext(iterator, key, true) != WJB_KEY)
		return false;
	(void) JsonbIteratorNext(iterator, value, true);
	return true;
}

/* An iterator over an object's members; 22023 if it is no object. */
static JsonbIterator *
object_iterator(JsonbContainer *container, const char *what)
{
	JsonbIterator *iterator;
	JsonbValue	   ignored;

	if (!JsonContainerIsObject(container))
		bad_bindings(psprintf("%s must be an object", what));
	iterator = JsonbIteratorInit(container);
	(void) JsonbIteratorNext(&iterator, &ignored, true);
	return iterator;
}

/* The object that is this value; 22023 if it is none. */
static JsonbContainer *
nested_object(const JsonbValue *value, const char *what)
{
	if (value->type != jbvBinary)
		bad_bindings(psprintf("%s must be an object", what));
	return value->val.binary.data;
}

/* Reads what is given as "columns" of a source. */
static void
read_given_columns(Source source, JsonbContainer *columns, Given *given)
{
	const char	  *name = source_definitions[source].name;
	JsonbIterator *iterator =
		object_iterator(columns, psprintf("columns of \"%s\"", name));
	JsonbValue key;
	JsonbValue value;

	while (next_member(&iterator, &key, &value))
	{
		int	  column = column_by_name(source, key.val.string.val, key.val.string.len);
		char *what =
			psprintf("\"%s\".\"%.*s\"", name, key.val.string.len, key.val.string.val);

		if (column < 0)
			bad_name(psprintf("there is no column %s", what),
					 known_columns(&source_definitions[source]));
		given->column[column] = json_string(&value, what);
	}
}

/* Reads what is given for one source. */
static void
read_given_source(Source source, JsonbContainer *object, Given *given)
{
	const char	  *name = source_definitions[source].name;
	JsonbIterator *iterator = object_iterator(object, psprintf("\"%s\"", name));
	JsonbValue	   key;
	JsonbValue	   value;

	while (next_member(&iterator, &key, &value))
	{
		char *member = pnstrdup(key.val.string.val, key.val.string.len);

		if (strcmp(member, "table") == 0)
			given->table = json_string(&value, psprintf("table of \"%s\"", name));
		else if (strcmp(member, "columns") == 0)
			read_given_columns(source,
							   nested_object(&value, psprintf("columns of \"%s\"", name)),
							   given);
		else
			bad_bindings(psprintf("\"%s\" has \"table\" and \"columns\", not \"%s\"",
								  name, member));
	}
}

/* See resolve.h. */
void
resolve_read_bindings(Attachment *attachment, Jsonb *bindings)
{
	JsonbIterator *iterator = object_iterator(&bindings->root, "the whole");
	JsonbValue	   key;
	JsonbValue	   value;

	while (next_member(&iterator, &key, &value))
	{
		Source source = source_by_name(key.val.string.val, key.val.string.len);
		char  *name = psprintf("\"%.*s\"", key.val.string.len, key.val.string.val);

		if (source == SOURCE_COUNT)
			bad_name(psprintf("there is no source %s", name), known_sources());
		attachment->given[source].present = true;
		if (value.type == jbvNull)
			continue; /* back to the default */
		read_given_source(source, nested_object(&value, name),
						  &attachment->given[source]);
	}
}

/* Takes one row of what was bound by hand: a source, its table, one column or none. */
static void
keep_given(Attachment *attachment, HeapTuple row, TupleDesc columns)
{
	bool   isnull;
	char  *name = SPI_getvalue(row, columns, 1);
	Source source = source_by_name(name, strlen(name));
	char  *column = SPI_getvalue(row, columns, 4);
	Given *given;
	int	   index;

	if (source == SOURCE_COUNT || attachment->given[source].present)
		return;
	given = &attachment->given[source];
	given->kept = true;
	index = column ? column_by_name(source, column, strlen(column)) : -1;
	if (DatumGetBool(SPI_getbinval(row, columns, 3, &isnull)))
		given->relid = DatumGetObjectId(SPI_getbinval(row, columns, 2, &isnull));
	if (index >= 0)
		given->column[index] = SPI_getvalue(row, columns, 5);
}

/* The schema attached last: by its name, else (renamed) where a table by default is. */
static Oid
last_schema(HeapTuple row, TupleDesc columns)
{
	bool isnull;
	Oid	 schema = get_namespace_oid(SPI_getvalue(row, columns, 6), true);

	if (!OidIsValid(schema) && !DatumGetBool(SPI_getbinval(row, columns, 3, &isnull)))
		schema =
			get_rel_namespace(DatumGetObjectId(SPI_getbinval(row, columns, 2, &isnull)));
	return schema;
}

/* See resolve.h. */
void
resolve_read_kept(Attachment *attachment)
{
	OwnQuery query;

	own_query_begin(&query);
	own_query_execute("SELECT b.source, b.relation::pg_catalog.oid, b.table_by_hand,"
					  " c.key, c.value, b.app_schema"
					  " FROM featul_integrations.binding b"
					  " LEFT JOIN pg_catalog.jsonb_each_text(b.columns) c"
					  " ON c.key = ANY (b.columns_by_hand)",
					  SPI_OK_SELECT);
	MemoryContextSwitchTo(query.memory);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];

		keep_given(attachment, row, SPI_tuptable->tupdesc);
		if (!OidIsValid(attachment->last))
			attachment->last = last_schema(row, SPI_tuptable->tupdesc);
	}
	own_query_end(&query);
}

/* ------------------------------------------------------------------------
 * Finding tables and columns
 * ------------------------------------------------------------------------ */

/* See resolve.h. */
bool
resolve_takes_triggers(Oid relid)
{
	char kind = get_rel_relkind(relid);

	return (kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE) &&
		   get_rel_persistence(relid) != RELPERSISTENCE_TEMP;
}

/* The table of a name as SQL writes it, in the application's schema unless it names another. */
static Oid
find_qualified_table(const Attachment *attachment, const char *name)
{
	Oid namespace = attachment->namespace;
	List *parts;

	if (!SplitIdentifierString(pstrdup(name), '.', &parts) || list_length(parts) < 1 ||
		list_length(parts) > 2)
		bad_bindings(psprintf("\"%s\" is not the name of a table", name));
	if (list_length(parts) == 2)
	namespace = get_namespace_oid(linitial(parts), true);
	return OidIsValid(namespace) ? get_relname_relid(llast(parts), namespace)
								 : InvalidOid;
}

/* The table that a binding names: as it stands in the schema, else as SQL would read it. */
static Oid
find_given_table(const Attachment *attachment, const char *name)
{
	Oid relid = InvalidOid;

	if (OidIsValid(attachment->namespace))
		relid = get_relname_relid(name, attachment->namespace);
	if (!OidIsValid(relid))
		relid = find_qualified_table(attachment, name);
	if (OidIsValid(relid) && !resolve_takes_triggers(relid))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" is not a permanent table", name),
			 errdetail(
				 "Triggers with transition tables are needed, which only tables have.")));
	return relid;
}

/*
 * The table that was named by an earlier call, wherever it has moved; but where
 * another schema replaces the one it was in, that of its name there.
 */
static Oid
find_kept_table(const Attachment *attachment, Oid relid)
{
	char *name = get_rel_name(relid);

	if (name == NULL)
		return InvalidOid;
	if (OidIsValid(attachment->namespace) && attachment->namespace != attachment->last &&
		get_rel_namespace(relid) == attachment->last)
		return get_relname_relid(name, attachment->namespace);
	return relid;
}

/* featul's own table, under the first of its names that exists. */
static Oid
find_default_table(const Attachment *attachment, Source source)
{
	const char *const *names = source_definitions[source].tables;

	for (; OidIsValid(attachment->namespace) && *names; names++)
	{
		Oid relid = get_relname_relid(*names, attachment->namespace);

		if (OidIsValid(relid) && resolve_takes_triggers(relid))
			return relid;
	}
	return InvalidOid;
}

/* True if anything is said by hand about the source. */
static bool
is_given(const Given *given)
{
	bool said = given->table != NULL || OidIsValid(given->relid);

	for (int i = 0; i < MAX_COLUMNS; i++)
		said |= given->column[i] != NULL;
	return said;
}

/* Finds a source's table, or adds it to those that are missing. */
static void
resolve_table(Attachment *attachment, Source source)
{
	const SourceDefinition *definition = &source_definitions[source];
	const Given			   *given = &attachment->given[source];
	Oid						relid;

	if (OidIsValid(given->relid))
		relid = find_kept_table(attachment, given->relid);
	else
		relid = given->table ? find_given_table(attachment, given->table)
							 : find_default_table(attachment, source);
	attachment->resolved[source].relid = relid;
	if (OidIsValid(relid) || (!definition->required && !is_given(given)))
		return;
	text_append_item(&attachment->missing_tables,
					 psprintf("%s (%s)", definition->name,
							  OidIsValid(given->relid) ? "the one bound by hand"
							  : given->table
								  ? given->table
								  : quote_qualified_identifier(attachment->schema,
															   definition->tables[0])));
}

/* True if the table has a column of exactly this name. */
static bool
has_column(Oid relid, const char *name)
{
	return get_attnum(relid, name) > 0;
}

/* True if what stands in the bindings is that very column. */
static bool
given_is(const Given *given, int column, const char *name)
{
	return given->column[column] != NULL && strcmp(given->column[column], name) == 0;
}

/*
 * featul says whether a row can be seen in its column status, which is not the
 * canonical status of a post.  NULL: nothing says so.
 */
static const char *
default_visible(Oid relid, bool status_is_taken)
{
	if (has_column(relid, "visible"))
		return "visible";
	if (has_column(relid, "status") && !status_is_taken)
		return "status = 'published'";
	return NULL;
}

/* The anonymous author's fingerprint; NULL where there is none. */
static const char *
default_fingerprint(Oid relid)
{
	Oid type;

	if (has_column(relid, "fingerprint"))
		return "fingerprint";
	if (!has_column(relid, "metadata"))
		return NULL;
	type = get_atttype(relid, get_attnum(relid, "metadata"));
	return type == JSONBOID || type == JSONOID ? "metadata ->> 'fingerprint'" : NULL;
}

/*
 * What a column is bound to when the caller does not say: SQL, or NULL when
 * the table has nothing for it.
 */
static const char *
default_expression(const Attachment *attachment, Source source, int column)
{
	const ColumnDefinition *definition = &source_definitions[source].columns[column];
	const Given			   *given = &attachment->given[source];
	Oid						relid = attachment->resolved[source].relid;

	if (source == SOURCE_POST && column == POST_VISIBLE)
		return default_visible(relid, given_is(given, POST_STATUS, "status"));
	if (source == SOURCE_COMMENT && column == COMMENT_VISIBLE)
		return default_visible(relid, false);
	if ((source == SOURCE_POST && column == POST_FINGERPRINT) ||
		(source == SOURCE_COMMENT && column == COMMENT_FINGERPRINT))
		return default_fingerprint(relid);
	if (definition->alias && has_column(relid, definition->alias))
		return quote_identifier(definition->alias);
	if (source == SOURCE_POST && column == POST_STATUS && !given->column[POST_VISIBLE] &&
		!has_column(relid, "visible"))
		return NULL; /* status tells what is visible */
	return has_column(relid, definition->name) ? quote_identifier(definition->name)
											   : NULL;
}

/* An expression to be checked, and what it is to be stored as. */
typedef struct Check
{
	Relation	relation;
	Source		source;
	int			column;
	const char *expression;
	bool		stored; /* it is what an earlier check has left */
	char	   *sql;	/* out */
} Check;

/*
 * Step: parses under the caller's settings, if it is the caller's; the SQL to store means
 * the same under safe ones, for those who will look its names up and call its functions.
 */
static void
parse_and_deparse(void *argument)
{
	Check	   *check = argument;
	Node	   *node;
	Node	   *bare;
	UserContext caller;
	int			nest = check->stored ? safe_settings_begin() : -1;

	(void) expression_parse(check->relation,
							check->stored ? source_definitions[check->source].name : NULL,
							check->source, check->column, check->expression, &bare);
	if (!check->stored)
		nest = safe_settings_begin();
	check->sql = expression_deparse(bare, check->source, check->relation);
	user_context_as_table_owner(&caller, RelationGetRelid(check->relation));
	node = expression_parse(check->relation, source_definitions[check->source].name,
							check->source, check->column, check->sql, &bare);
	user_context_restore(&caller);
	expression_require_execute(node, own_role());
	safe_settings_end(nest);
}

/*
 * As above; NULL if the expression uses a column that does not exist.  Any
 * other error is 22023 with the parser's reason.
 */
static char *
checked_expression(Relation relation, Source source, int column, const char *expression,
				   bool stored)
{
	Check	   check = { relation, source, column, expression, stored };
	ErrorData *error = subtransaction_run(parse_and_deparse, &check);

	if (error == NULL)
		return check.sql;
	if (error->sqlerrcode == ERRCODE_UNDEFINED_COLUMN)
		return NULL;
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		 errmsg("invalid binding of %s.%s: %s", source_definitions[source].name,
				source_definitions[source].columns[column].name, expression),
		 errdetail("%s", error->message),
		 error->hint ? errhint("%s", error->hint)
		 : error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE
			 ? errhint("The table's owner needs USAGE on the schemas that a binding "
					   "names, and the role featul_integrations EXECUTE on its "
					   "functions.")
			 : errhint("A binding is one SQL expression over a row of the table, such as "
					   "headline or state <> 'draft'.")));
}

/* Finds one column, or adds it to those that are missing. */
static void
resolve_column(Attachment *attachment, Source source, int column, Relation relation)
{
	const SourceDefinition *definition = &source_definitions[source];
	const char			   *given = attachment->given[source].column[column];
	const char			   *expression = given;
	bool					stored = given && attachment->given[source].kept;
	char				   *sql = NULL;

	if (given == NULL)
		expression = default_expression(attachment, source, column);
	else if (!stored && has_column(RelationGetRelid(relation), given))
		expression = quote_identifier(given);
	if (expression)
		sql = checked_expression(relation, source, column, expression, stored);
	attachment->resolved[source].column[column] = sql;
	if (sql == NULL && (given || definition->columns[column].required))
		text_append_item(
			&attachment->missing_columns,
			psprintf("%s.%s (%s)", definition->name, definition->columns[column].name,
					 given
						 ? given
						 : quote_qualified_identifier(RelationGetRelationName(relation),
													  definition->columns[column].name)));
}

/* Finds a source's table and all of its columns. */
static void
resolve_source(Attachment *attachment, Source source)
{
	Relation relation;

	resolve_table(attachment, source);
	if (!OidIsValid(attachment->resolved[source].relid))
		return;
	relation = table_open(attachment->resolved[source].relid, AccessShareLock);
	for (int i = 0; source_definitions[source].columns[i].name; i++)
		resolve_column(attachment, source, i, relation);
	table_close(relation, NoLock);
}

/* One error for everything that was not found. */
static void
report_missing(const Attachment *attachment)
{
	const char *tables = attachment->missing_tables.data;
	const char *columns = attachment->missing_columns.data;

	if (*tables && !OidIsValid(attachment->namespace))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE), errmsg("tables not found: %s", tables),
				 errhint("There is no schema \"%s\".", attachment->schema)));
	if (*tables)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE), errmsg("tables not found: %s", tables),
				 *columns ? errdetail("Columns not found: %s.", columns) : 0,
				 errhint("Name the application's schema, and in bindings the tables that "
						 "are called otherwise: integration_attach('feedback', "
						 "'{\"post\": {\"table\": \"feedback.ideas\"}}').")));
	if (*columns)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("columns not found: %s", columns),
				 errhint("Say in bindings which column or expression stands for each: "
						 "{\"post\": {\"columns\": {\"title\": \"headline\"}}}.")));
}

/* See resolve.h. */
void
resolve_all(Attachment *attachment)
{
	initStringInfo(&attachment->missing_tables);
	initStringInfo(&attachment->missing_columns);
	for (Source source = 0; source < SOURCE_COUNT; source++)
		resolve_source(attachment, source);
	report_missing(attachment);
}
