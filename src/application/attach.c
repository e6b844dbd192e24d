/*
 * attach.c
 *		Binding the application's tables: finding them and their columns,
 *		checking what the caller says about them, and installing triggers.
 *
 * Everything that is wrong with tables and columns is collected before
 * anything is written, so that one error names it all.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "application/attach.h"
#include "application/binding.h"
#include "base/compat.h"
#include "base/event_kind.h"

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

/* The triggers a source needs. */
typedef struct TriggerDefinition
{
	Source		source;
	const char *event;		/* lower case: part of the trigger's name */
	const char *transition; /* REFERENCING clause, or "" */
} TriggerDefinition;

#define OLD_ROWS "REFERENCING OLD TABLE AS old_rows"
#define NEW_ROWS "REFERENCING NEW TABLE AS new_rows"
#define BOTH_ROWS "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows"

static const TriggerDefinition trigger_definitions[] = {
	{ SOURCE_WORKSPACE, "delete", OLD_ROWS }, { SOURCE_WORKSPACE, "truncate", "" },
	{ SOURCE_BOARD, "update", BOTH_ROWS },	  { SOURCE_BOARD, "delete", "" },
	{ SOURCE_BOARD, "truncate", "" },		  { SOURCE_POST, "insert", NEW_ROWS },
	{ SOURCE_POST, "update", BOTH_ROWS },	  { SOURCE_COMMENT, "insert", NEW_ROWS },
	{ SOURCE_COMMENT, "update", BOTH_ROWS },  { SOURCE_VOTE, "insert", NEW_ROWS },
	{ SOURCE_MENTION, "insert", NEW_ROWS },	  { SOURCE_REACTION, "insert", NEW_ROWS },
	{ SOURCE_REACTION, "update", BOTH_ROWS },
};

/* See attach.h. */
void
attach_require_owner(void)
{
	if (!compat_extension_ownercheck(get_extension_oid("featul_integrations", false),
									 GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_EXTENSION, "featul_integrations");
}

/* ------------------------------------------------------------------------
 * The bindings argument
 * ------------------------------------------------------------------------ */

/* Raises 22023, with an example of what bindings look like. */
static void
bad_bindings(const char *message)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid bindings: %s", message),
			 errhint("Example: {\"post\": {\"table\": \"feedback.ideas\", \"columns\": "
					 "{\"title\": \"headline\", \"visible\": \"state <> 'draft'\"}}}")));
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
			bad_bindings(psprintf("there is no column %s", what));
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

	given->present = true;
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

/* Reads the whole argument; 22023 for anything that means nothing. */
static void
read_bindings(Attachment *attachment, Jsonb *bindings)
{
	JsonbIterator *iterator = object_iterator(&bindings->root, "the whole");
	JsonbValue	   key;
	JsonbValue	   value;

	while (next_member(&iterator, &key, &value))
	{
		Source source = source_by_name(key.val.string.val, key.val.string.len);
		char  *name = psprintf("\"%.*s\"", key.val.string.len, key.val.string.val);

		if (source == SOURCE_COUNT)
			bad_bindings(psprintf("there is no source %s", name));
		read_given_source(source, nested_object(&value, name),
						  &attachment->given[source]);
	}
}

/* ------------------------------------------------------------------------
 * Finding tables and columns
 * ------------------------------------------------------------------------ */

/* Adds a name to a list for report_missing(). */
static void
append_missing(StringInfo list, const char *name)
{
	appendStringInfo(list, "%s%s", list->len > 0 ? ", " : "", name);
}

/* True for what can have triggers with transition tables, and lasts. */
static bool
is_permanent_table(Oid relid)
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
	if (OidIsValid(relid) && !is_permanent_table(relid))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" is not a permanent table", name),
			 errdetail(
				 "Triggers with transition tables are needed, which only tables have.")));
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

		if (OidIsValid(relid) && is_permanent_table(relid))
			return relid;
	}
	return InvalidOid;
}

/* Finds a source's table, or adds it to those that are missing. */
static void
resolve_table(Attachment *attachment, Source source)
{
	const SourceDefinition *definition = &source_definitions[source];
	const Given			   *given = &attachment->given[source];
	Oid						relid;

	relid = given->table ? find_given_table(attachment, given->table)
						 : find_default_table(attachment, source);
	attachment->resolved[source].relid = relid;
	if (OidIsValid(relid) || (!definition->required && !given->present))
		return;
	append_missing(&attachment->missing_tables,
				   psprintf("%s (%s)", definition->name,
							given->table
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
	if (source == SOURCE_POST && column == POST_FINGERPRINT)
		return default_fingerprint(relid);
	if (definition->alias && has_column(relid, definition->alias))
		return quote_identifier(definition->alias);
	if (source == SOURCE_POST && column == POST_STATUS && !given->column[POST_VISIBLE] &&
		!has_column(relid, "visible"))
		return NULL; /* status tells what is visible */
	return has_column(relid, definition->name) ? quote_identifier(definition->name)
											   : NULL;
}

/*
 * Parses under the caller's search_path and returns the SQL to store, which
 * means the same under an empty one.
 */
static char *
parse_and_deparse(Relation relation, Source source, int column, const char *expression)
{
	Node *bare;
	int	  nest;
	char *sql;

	(void) binding_parse(relation, NULL, source, column, expression, &bare);
	nest = binding_safe_search_path();
	sql = binding_deparse(bare, source, relation);
	AtEOXact_GUC(true, nest);
	return sql;
}

/*
 * As above; NULL if the expression uses a column that does not exist.  Any
 * other error is 22023 with the parser's reason.
 */
static char *
checked_expression(Relation relation, Source source, int column, const char *expression)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	char *volatile sql = NULL;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		sql = parse_and_deparse(relation, source, column, expression);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;

	if (error == NULL || error->sqlerrcode == ERRCODE_UNDEFINED_COLUMN)
		return sql;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid binding of %s.%s: %s", source_definitions[source].name,
					source_definitions[source].columns[column].name, expression),
			 errdetail("%s", error->message),
			 error->hint ? errhint("%s", error->hint) : 0));
}

/* Finds one column, or adds it to those that are missing. */
static void
resolve_column(Attachment *attachment, Source source, int column, Relation relation)
{
	const SourceDefinition *definition = &source_definitions[source];
	const char			   *given = attachment->given[source].column[column];
	const char			   *expression = given;
	char				   *sql = NULL;

	if (given == NULL)
		expression = default_expression(attachment, source, column);
	else if (has_column(RelationGetRelid(relation), given))
		expression = quote_identifier(given);
	if (expression)
		sql = checked_expression(relation, source, column, expression);
	attachment->resolved[source].column[column] = sql;
	if (sql == NULL && (given || definition->columns[column].required))
		append_missing(
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
						 "are called otherwise.")));
	if (*columns)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("columns not found: %s", columns),
				 errhint("Say in bindings which column or expression stands for each.")));
}

/* ------------------------------------------------------------------------
 * Writing bindings and triggers
 * ------------------------------------------------------------------------ */

/* Runs one statement; the result is checked. */
static void
execute(const char *sql, int expected)
{
	int result = SPI_execute(sql, false, 0);

	if (result != expected)
		elog(ERROR, "%s: %s", SPI_result_code_string(result), sql);
}

/* The expressions as a JSON object's text. */
static char *
columns_json(const Resolved *resolved, Source source)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int i = 0; source_definitions[source].columns[i].name; i++)
	{
		if (resolved->column[i] == NULL)
			continue;
		appendStringInfo(&json, "%s\"%s\": ", json.len > 1 ? ", " : "",
						 source_definitions[source].columns[i].name);
		escape_json(&json, resolved->column[i]);
	}
	appendStringInfoChar(&json, '}');
	return json.data;
}

/* Replaces the rows of featul_integrations.binding. */
static void
write_bindings(const Attachment *attachment)
{
	execute("DELETE FROM featul_integrations.binding", SPI_OK_DELETE);
	for (Source source = 0; source < SOURCE_COUNT; source++)
	{
		const Resolved *resolved = &attachment->resolved[source];

		if (OidIsValid(resolved->relid))
			execute(
				psprintf(
					"INSERT INTO featul_integrations.binding (source, relation, columns) "
					"VALUES (%s, %u::pg_catalog.oid::pg_catalog.regclass, %s)",
					quote_literal_cstr(source_definitions[source].name), resolved->relid,
					quote_literal_cstr(columns_json(resolved, source))),
				SPI_OK_INSERT);
	}
}

/* The relation's qualified name, quoted. */
static char *
qualified_relation(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

/* A trigger that there has to be. */
typedef struct WantedTrigger
{
	const TriggerDefinition *definition;
	Oid						 relid;
	char					*name;
	bool					 exists;
} WantedTrigger;

/*
 * Triggers on the bound tables and on each of their partitions and children: a
 * statement fires only those of the table that it names.
 */
static List *
wanted_triggers(const Attachment *attachment)
{
	List *wanted = NIL;

	for (int i = 0; i < lengthof(trigger_definitions); i++)
	{
		const TriggerDefinition *definition = &trigger_definitions[i];
		Oid						 relid = attachment->resolved[definition->source].relid;
		ListCell				*cell;

		if (!OidIsValid(relid))
			continue;
		foreach (cell, find_all_inheritors(relid, AccessShareLock, NULL))
		{
			WantedTrigger *trigger = palloc0(sizeof(WantedTrigger));

			if (!is_permanent_table(lfirst_oid(cell)))
				continue;
			trigger->definition = definition;
			trigger->relid = lfirst_oid(cell);
			trigger->name =
				psprintf("featul_integrations_%s_%s",
						 source_definitions[definition->source].name, definition->event);
			wanted = lappend(wanted, trigger);
		}
	}
	return wanted;
}

/* Notes that a trigger exists; false if it is not wanted. */
static bool
keep_trigger(List *wanted, Oid relid, const char *name)
{
	ListCell *cell;

	foreach (cell, wanted)
	{
		WantedTrigger *trigger = lfirst(cell);

		if (trigger->relid == relid && strcmp(trigger->name, name) == 0)
			return trigger->exists = true;
	}
	return false;
}

/*
 * Drops every trigger that calls capture(), on whatever table, but those that
 * are wanted and not disabled: dropping locks the table even against readers.
 */
static void
drop_other_triggers(List *wanted)
{
	SPITupleTable *rows;
	uint64		   count;

	execute("SELECT t.tgname, t.tgrelid, t.tgenabled,"
			" pg_catalog.format('DROP TRIGGER %I ON %s', t.tgname,"
			" t.tgrelid::pg_catalog.regclass)"
			" FROM pg_catalog.pg_trigger t"
			" WHERE t.tgfoid = 'featul_integrations.capture()'::pg_catalog.regprocedure"
			" ORDER BY t.tgrelid, t.tgname",
			SPI_OK_SELECT);
	rows = SPI_tuptable;
	count = SPI_processed;
	for (uint64 i = 0; i < count; i++)
	{
		bool isnull;
		Oid	 relid =
			DatumGetObjectId(SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &isnull));
		char state =
			DatumGetChar(SPI_getbinval(rows->vals[i], rows->tupdesc, 3, &isnull));

		if (state == TRIGGER_DISABLED ||
			!keep_trigger(wanted, relid, SPI_getvalue(rows->vals[i], rows->tupdesc, 1)))
			execute(SPI_getvalue(rows->vals[i], rows->tupdesc, 4), SPI_OK_UTILITY);
	}
}

/* Creates one trigger, which goes with the extension. */
static void
create_trigger(const WantedTrigger *trigger)
{
	const TriggerDefinition *definition = trigger->definition;
	char					*relation = qualified_relation(trigger->relid);

	execute(psprintf("CREATE TRIGGER %s AFTER %s ON %s %s FOR EACH STATEMENT "
					 "EXECUTE FUNCTION featul_integrations.capture('%s')",
					 trigger->name, definition->event, relation, definition->transition,
					 source_definitions[definition->source].name),
			SPI_OK_UTILITY);
	execute(psprintf("ALTER TRIGGER %s ON %s DEPENDS ON EXTENSION featul_integrations",
					 trigger->name, relation),
			SPI_OK_UTILITY);
}

/* Makes the wanted triggers those that there are. */
static void
set_triggers(List *wanted)
{
	ListCell *cell;

	drop_other_triggers(wanted);
	foreach (cell, wanted)
	{
		const WantedTrigger *trigger = lfirst(cell);

		if (!trigger->exists)
			create_trigger(trigger);
	}
}

/* One attach or detach at a time; reading bindings goes on. */
static void
lock_bindings(void)
{
	SPI_connect();
	execute("LOCK TABLE featul_integrations.binding IN SHARE ROW EXCLUSIVE MODE",
			SPI_OK_UTILITY);
	SPI_finish();
}

/* ------------------------------------------------------------------------
 * The functions
 * ------------------------------------------------------------------------ */

/* The events that can come from this source as it is bound now: text[]. */
static Datum
source_events(const Attachment *attachment, Source source)
{
	Datum events[EVENT_COUNT];
	int	  count = 0;

	for (EventKind kind = 0; kind < EVENT_COUNT; kind++)
	{
		const EventDefinition *event = &event_definitions[kind];

		if (strcmp(event->source, source_definitions[source].name) == 0 &&
			attachment->resolved[source].column[column_by_name(
				source, event->column, strlen(event->column))] != NULL &&
			((source != SOURCE_MENTION && source != SOURCE_REACTION) ||
			 OidIsValid(attachment->resolved[SOURCE_COMMENT].relid)))
			events[count++] = CStringGetTextDatum(event->name);
	}
	return PointerGetDatum(
		construct_array(events, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/* The rows that integration_attach() returns. */
static void
return_rows(FunctionCallInfo fcinfo, const Attachment *attachment)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (Source source = 0; source < SOURCE_COUNT; source++)
	{
		Datum values[3];
		bool  nulls[3] = { false, false, false };

		if (!OidIsValid(attachment->resolved[source].relid))
			continue;
		values[0] = CStringGetTextDatum(source_definitions[source].name);
		values[1] = ObjectIdGetDatum(attachment->resolved[source].relid);
		values[2] = source_events(attachment, source);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

FEATUL_FUNCTION(featul_integration_attach);

/* integration_attach(app_schema text, bindings jsonb) */
Datum
featul_integration_attach(PG_FUNCTION_ARGS)
{
	Attachment *attachment = palloc0(sizeof(Attachment));
	int			nest;

	attach_require_owner();
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("app_schema and bindings must not be null")));
	attachment->schema = text_to_cstring(PG_GETARG_TEXT_PP(0));
	attachment->namespace = get_namespace_oid(attachment->schema, true);
	initStringInfo(&attachment->missing_tables);
	initStringInfo(&attachment->missing_columns);
	read_bindings(attachment, PG_GETARG_JSONB_P(1));
	lock_bindings();
	for (Source source = 0; source < SOURCE_COUNT; source++)
		resolve_source(attachment, source);
	report_missing(attachment);

	SPI_connect();
	nest = binding_safe_search_path();
	write_bindings(attachment);
	set_triggers(wanted_triggers(attachment));
	AtEOXact_GUC(true, nest);
	SPI_finish();
	binding_changed();
	return_rows(fcinfo, attachment);
	return (Datum) 0;
}

FEATUL_FUNCTION(featul_integration_detach);

/* integration_detach() */
Datum
featul_integration_detach(PG_FUNCTION_ARGS)
{
	int nest;

	attach_require_owner();
	lock_bindings();
	SPI_connect();
	nest = binding_safe_search_path();
	set_triggers(NIL);
	AtEOXact_GUC(true, nest);
	SPI_finish();
	PG_RETURN_VOID();
}
