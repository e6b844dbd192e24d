/*
 * attach.c
 *		integration_attach() and integration_detach(): writing the bindings and
 *		installing the triggers.  What is bound to what, resolve.c finds.
 */
#include "postgres.h"

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
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "application/attach.h"
#include "application/binding.h"
#include "application/partitions.h"
#include "application/replicated.h"
#include "application/resolve.h"
#include "base/compat.h"
#include "base/event_kind.h"
#include "application/user_context.h"
#include "base/own_query.h"
#include "base/safe_settings.h"

/* The triggers a source needs. */
typedef struct TriggerDefinition
{
	Source		source;
	const char *name;		/* part of the trigger's */
	const char *event;		/* SQL */
	const char *transition; /* REFERENCING clause, or ""; NULL: a row trigger */
} TriggerDefinition;

#define OLD_ROWS "REFERENCING OLD TABLE AS old_rows"
#define NEW_ROWS "REFERENCING NEW TABLE AS new_rows"
#define BOTH_ROWS "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows"
#define EACH_ROW NULL

static const TriggerDefinition trigger_definitions[] = {
	/* what sessions do */
	{ SOURCE_WORKSPACE, "update", "UPDATE", BOTH_ROWS },
	{ SOURCE_WORKSPACE, "delete", "DELETE", OLD_ROWS },
	{ SOURCE_WORKSPACE, "truncate", "TRUNCATE", "" },
	{ SOURCE_BOARD, "update", "UPDATE", BOTH_ROWS },
	{ SOURCE_BOARD, "delete", "DELETE", "" },
	{ SOURCE_BOARD, "truncate", "TRUNCATE", "" },
	{ SOURCE_POST, "insert", "INSERT", NEW_ROWS },
	{ SOURCE_POST, "update", "UPDATE", BOTH_ROWS },
	{ SOURCE_COMMENT, "insert", "INSERT", NEW_ROWS },
	{ SOURCE_COMMENT, "update", "UPDATE", BOTH_ROWS },
	{ SOURCE_VOTE, "insert", "INSERT", NEW_ROWS },
	{ SOURCE_MENTION, "insert", "INSERT", NEW_ROWS },
	{ SOURCE_REACTION, "insert", "INSERT", NEW_ROWS },
	{ SOURCE_REACTION, "update", "UPDATE", BOTH_ROWS },
	/* what the workers of a subscription do (capture_row.c) */
	{ SOURCE_WORKSPACE, "row", "UPDATE OR DELETE", EACH_ROW },
	{ SOURCE_BOARD, "row", "UPDATE OR DELETE", EACH_ROW },
	{ SOURCE_POST, "row", "INSERT OR UPDATE OR DELETE", EACH_ROW },
	{ SOURCE_COMMENT, "row", "INSERT OR UPDATE OR DELETE", EACH_ROW },
	{ SOURCE_VOTE, "row", "INSERT OR DELETE", EACH_ROW },
	{ SOURCE_MENTION, "row", "INSERT OR DELETE", EACH_ROW },
	{ SOURCE_REACTION, "row", "INSERT OR UPDATE OR DELETE", EACH_ROW },
};

/* See attach.h. */
void
attach_require_owner(void)
{
	if (!compat_extension_ownercheck(get_extension_oid("featul_integrations", false),
									 GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_EXTENSION, "featul_integrations");
}

/* See attach.h. */
void
attach_require_select(Oid relid)
{
	AclResult result = pg_class_aclcheck(relid, GetUserId(), ACL_SELECT);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_TABLE, get_rel_name(relid));
}

/* ------------------------------------------------------------------------
 * Writing bindings and triggers
 * ------------------------------------------------------------------------ */

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

/* The canonical columns that were given, as SQL of a text[]. */
static char *
columns_given(const Given *given, Source source)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "ARRAY[");
	for (int i = 0; source_definitions[source].columns[i].name; i++)
		if (given->column[i])
			appendStringInfo(
				&sql, "%s%s", sql.len > strlen("ARRAY[") ? ", " : "",
				quote_literal_cstr(source_definitions[source].columns[i].name));
	appendStringInfoString(&sql, "]::pg_catalog.text[]");
	return sql.data;
}

/*
 * Replaces the rows of featul_integrations.binding.  Nobody else writes them: each table that
 * they name is read with the rights of its owner.
 */
static void
write_bindings(const Attachment *attachment)
{
	UserContext caller;

	for (Source source = 0; source < SOURCE_COUNT; source++)
		if (OidIsValid(attachment->resolved[source].relid))
			attach_require_select(attachment->resolved[source].relid);
	user_context_as_extension(&caller);
	own_query_execute("DELETE FROM featul_integrations.binding", SPI_OK_DELETE);
	for (Source source = 0; source < SOURCE_COUNT; source++)
	{
		const Resolved *resolved = &attachment->resolved[source];
		const Given	   *given = &attachment->given[source];

		if (OidIsValid(resolved->relid))
			own_query_execute(
				psprintf(
					"INSERT INTO featul_integrations.binding (source, relation, columns,"
					" app_schema, table_by_hand, columns_by_hand) "
					"VALUES (%s, %u::pg_catalog.oid::pg_catalog.regclass, %s, %s, %s, %s)",
					quote_literal_cstr(source_definitions[source].name), resolved->relid,
					quote_literal_cstr(columns_json(resolved, source)),
					quote_literal_cstr(attachment->schema),
					given->table || OidIsValid(given->relid) ? "true" : "false",
					columns_given(given, source)),
				SPI_OK_INSERT);
	}
	user_context_restore(&caller);
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
 * A trigger's name.  PostgreSQL fires them in that order: where one table is bound as posts and as
 * what is said of them, posts come first.
 */
static char *
trigger_name(const TriggerDefinition *definition, Oid relid, Oid posts)
{
	return psprintf("featul_integrations_%s%s_%s",
					definition->source > SOURCE_POST && relid == posts ? "posts_" : "",
					source_definitions[definition->source].name, definition->name);
}

/*
 * Triggers on the bound tables and on each of their partitions and children: a
 * statement fires only those of the table that it names.  Row triggers of a
 * partitioned table PostgreSQL itself gives to its partitions, also later ones.
 */
static List *
wanted_triggers(const Attachment *attachment, Oid posts)
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

			if (!resolve_takes_triggers(lfirst_oid(cell)) ||
				(definition->transition == EACH_ROW && lfirst_oid(cell) != relid &&
				 get_rel_relispartition(lfirst_oid(cell))))
				continue;
			trigger->definition = definition;
			trigger->relid = lfirst_oid(cell);
			trigger->name = trigger_name(definition, relid, posts);
			wanted = lappend(wanted, trigger);
		}
	}
	return wanted;
}

/* Whether the source's triggers have transition tables. */
static bool
has_transition_tables(Source source)
{
	for (int i = 0; i < lengthof(trigger_definitions); i++)
		if (trigger_definitions[i].source == source &&
			trigger_definitions[i].transition != EACH_ROW &&
			trigger_definitions[i].transition[0] != '\0')
			return true;
	return false;
}

/* A foreign table below this one, if it is to have such triggers; NULL: none. */
static char *
foreign_child(Source source, Oid relid)
{
	return OidIsValid(relid) && has_transition_tables(source) ? partitions_foreign(relid)
															  : NULL;
}

/* 22023 for tables on which the application's statements would fail. */
static void
refuse_foreign_children(const Attachment *attachment)
{
	for (Source source = 0; source < SOURCE_COUNT; source++)
	{
		Oid	  relid = attachment->resolved[source].relid;
		char *child = foreign_child(source, relid);

		if (child)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s cannot be bound with the foreign table %s below it",
							qualified_relation(relid), child),
					 errdetail(
						 "Triggers with transition tables are needed. Where a table has "
						 "them, PostgreSQL refuses to write to a foreign partition or "
						 "child through it.")));
	}
}

/*
 * Whether it is enabled for what it is there for: row triggers for what replication applies, the
 * others for sessions.  ALTER TABLE ... ENABLE TRIGGER ALL makes all of them the latter.
 */
static bool
fires_when_wanted(const WantedTrigger *trigger, char enabled)
{
	return enabled == TRIGGER_FIRES_ALWAYS ||
		   enabled == (trigger->definition->transition == EACH_ROW
						   ? TRIGGER_FIRES_ON_REPLICA
						   : TRIGGER_FIRES_ON_ORIGIN);
}

/* What keeps this trigger from firing; NULL: nothing. */
static char *
trigger_problem(const WantedTrigger *trigger)
{
	Relation relation = table_open(trigger->relid, AccessShareLock);
	char	*problem = psprintf("trigger \"%s\" is missing on %s", trigger->name,
								qualified_relation(trigger->relid));

	for (int i = 0; relation->trigdesc && i < relation->trigdesc->numtriggers; i++)
	{
		const Trigger *found = &relation->trigdesc->triggers[i];

		if (strcmp(found->tgname, trigger->name) == 0)
			problem = fires_when_wanted(trigger, found->tgenabled)
						  ? NULL
						  : psprintf("trigger \"%s\" is %s on %s", trigger->name,
									 found->tgenabled == TRIGGER_DISABLED
										 ? "disabled"
										 : "enabled for other sessions than it is for",
									 qualified_relation(trigger->relid));
	}
	table_close(relation, NoLock);
	return problem;
}

/* See attach.h. */
char *
attach_trigger_problem(Source source, Oid relid)
{
	Attachment attachment = { 0 };
	char	  *child = foreign_child(source, relid);
	ListCell  *cell;

	if (child)
		return psprintf("the foreign table %s below it cannot be written through it",
						child);
	attachment.resolved[source].relid = relid;
	foreach (cell, wanted_triggers(&attachment, binding_relid(SOURCE_POST)))
	{
		char *problem = trigger_problem(lfirst(cell));

		if (problem)
			return problem;
	}
	return NULL;
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
 * Drops every trigger of ours, on whatever table, but those that are wanted and
 * fire when they should: dropping locks the table even against readers.  Where none
 * is wanted, the one that follows the older integrations goes too.
 */
static void
drop_other_triggers(List *wanted)
{
	SPITupleTable *rows;
	uint64		   count;

	own_query_execute(
		psprintf(
			"SELECT t.tgname, t.tgrelid, t.tgenabled NOT IN ('A',"
			" CASE WHEN t.tgfoid = s.oid THEN 'O' ELSE 'R' END) AS disabled,"
			" pg_catalog.format('DROP TRIGGER %%I ON %%s', t.tgname,"
			" t.tgrelid::pg_catalog.regclass)"
			" FROM pg_catalog.pg_trigger t,"
			" CAST('featul_integrations.capture()' AS pg_catalog.regprocedure) AS s (oid),"
			" CAST('featul_integrations.capture_row()' AS pg_catalog.regprocedure) AS r (oid)"
			" WHERE t.tgfoid IN (s.oid, r.oid%s) AND t.tgparentid = 0"
			" ORDER BY t.tgrelid, t.tgname",
			wanted == NIL
				? ", CAST('featul_integrations.follow()' AS pg_catalog.regprocedure)"
				: ""),
		SPI_OK_SELECT);
	rows = SPI_tuptable;
	count = SPI_processed;
	for (uint64 i = 0; i < count; i++)
	{
		bool isnull;
		Oid	 relid =
			DatumGetObjectId(SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &isnull));
		bool disabled =
			DatumGetBool(SPI_getbinval(rows->vals[i], rows->tupdesc, 3, &isnull));

		if (disabled ||
			!keep_trigger(wanted, relid, SPI_getvalue(rows->vals[i], rows->tupdesc, 1)))
			own_query_execute(SPI_getvalue(rows->vals[i], rows->tupdesc, 4),
							  SPI_OK_UTILITY);
	}
}

/* Creates one trigger, which goes with the extension. */
static void
create_trigger(const WantedTrigger *trigger)
{
	const TriggerDefinition *definition = trigger->definition;
	char					*relation = qualified_relation(trigger->relid);

	const char *source = source_definitions[definition->source].name;

	if (definition->transition == EACH_ROW)
	{
		own_query_execute(
			psprintf("CREATE TRIGGER %s AFTER %s ON %s FOR EACH ROW "
					 "EXECUTE FUNCTION featul_integrations.capture_row('%s')",
					 trigger->name, definition->event, relation, source),
			SPI_OK_UTILITY);
		own_query_execute(
			psprintf("ALTER TABLE %s ENABLE REPLICA TRIGGER %s", relation, trigger->name),
			SPI_OK_UTILITY);
	}
	else
		own_query_execute(
			psprintf("CREATE TRIGGER %s AFTER %s ON %s %s FOR EACH STATEMENT "
					 "EXECUTE FUNCTION featul_integrations.capture('%s')",
					 trigger->name, definition->event, relation, definition->transition,
					 source),
			SPI_OK_UTILITY);
	own_query_execute(
		psprintf("ALTER TRIGGER %s ON %s DEPENDS ON EXTENSION featul_integrations",
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
	OwnQuery	query;
	UserContext caller;

	own_query_begin(&query);
	user_context_as_extension(&caller);
	own_query_execute(
		"LOCK TABLE featul_integrations.binding IN SHARE ROW EXCLUSIVE MODE",
		SPI_OK_UTILITY);
	user_context_restore(&caller);
	own_query_end(&query);
}

/* ------------------------------------------------------------------------
 * The functions
 * ------------------------------------------------------------------------ */

/* The events that can come from this source as it is bound now: text[]. */
static Datum
events_of_source(const Attachment *attachment, Source source)
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
		values[2] = events_of_source(attachment, source);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* The tables that have triggers. */
static List *
triggered_relations(const Attachment *attachment)
{
	List *relids = NIL;

	for (Source source = 0; source < SOURCE_COUNT; source++)
		if (OidIsValid(attachment->resolved[source].relid) &&
			has_transition_tables(source))
			relids = list_append_unique_oid(relids, attachment->resolved[source].relid);
	return relids;
}

/* The schema to look in: the one given, else the one attached last, else public. */
static void
choose_schema(Attachment *attachment, const char *given)
{
	const char *last =
		OidIsValid(attachment->last) ? get_namespace_name(attachment->last) : "public";

	attachment->schema = given ? given : last;
	attachment->namespace = get_namespace_oid(attachment->schema, true);
}

FEATUL_FUNCTION(featul_integration_attach);

/* integration_attach(app_schema text, bindings jsonb) */
Datum
featul_integration_attach(PG_FUNCTION_ARGS)
{
	Attachment *attachment = palloc0(sizeof(Attachment));
	OwnQuery	query;

	attach_require_owner();
	if (!PG_ARGISNULL(1))
		resolve_read_bindings(attachment, PG_GETARG_JSONB_P(1));
	lock_bindings();
	resolve_read_kept(attachment);
	choose_schema(attachment,
				  PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0)));
	resolve_all(attachment);
	refuse_foreign_children(attachment);
	own_query_begin(&query);
	write_bindings(attachment);
	set_triggers(wanted_triggers(attachment, attachment->resolved[SOURCE_POST].relid));
	partitions_open(triggered_relations(attachment));
	replicated_warn();
	own_query_end(&query);
	binding_changed();
	return_rows(fcinfo, attachment);
	return (Datum) 0;
}

FEATUL_FUNCTION(featul_integration_detach);

/* integration_detach() */
Datum
featul_integration_detach(PG_FUNCTION_ARGS)
{
	OwnQuery query;

	attach_require_owner();
	lock_bindings();
	own_query_begin(&query);
	set_triggers(NIL);
	partitions_open(NIL);
	own_query_end(&query);
	PG_RETURN_VOID();
}
