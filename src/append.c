/*
 * append.c
 *		Many new rows for one of the extension's own tables, without a plan.
 *
 * The tables are the extension's own: no generated columns, no triggers that
 * would have to fire, and the caller names the partition.  For a few hundred
 * rows, starting an executor and handing it arrays takes several times as long as
 * writing them; and rows that are written together need one WAL record a page.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "executor/executor.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "append.h"
#include "compat.h"

/* Rows written together */
#define APPEND_ROWS 64

struct Appender
{
	MemoryContext	context;
	CommandId		command;
	ResultRelInfo  *relation;
	EState		   *state; /* NULL: all indexes are over plain columns */
	TupleTableSlot *rows[APPEND_ROWS];
	int				count;
};

/* See append.h. */
Oid
append_relation(const char *name)
{
	Oid relid = get_relname_relid(name, get_namespace_oid("featul_integrations", false));

	if (!OidIsValid(relid))
		elog(ERROR, "featul_integrations.%s does not exist", name);
	return relid;
}

/* See append.h. */
int16
append_current_slot(Oid rotation)
{
	Relation		table = table_open(rotation, AccessShareLock);
	Snapshot		snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc	scan = table_beginscan(table, snapshot, 0, NULL);
	TupleTableSlot *row = table_slot_create(table, NULL);
	bool			isnull;
	int16			slot;

	if (!table_scan_getnextslot(scan, ForwardScanDirection, row))
		elog(ERROR, "featul_integrations.rotation is empty");
	slot = DatumGetInt16(slot_getattr(row, 1, &isnull));
	ExecDropSingleTupleTableSlot(row);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(table, AccessShareLock);
	return slot;
}

/* Whether an index is over plain columns of all rows, as ours are; a DBA may add others. */
static bool
is_plain(const IndexInfo *info)
{
	return info->ii_ReadyForInserts && info->ii_Expressions == NIL &&
		   info->ii_Predicate == NIL && info->ii_ExclusionOps == NULL;
}

/* See append.h. */
Appender *
append_open(Oid relid)
{
	Appender	  *appender = palloc0(sizeof(Appender));
	ResultRelInfo *table = makeNode(ResultRelInfo);

	appender->context = CurrentMemoryContext;
	appender->command = GetCurrentCommandId(true);
	appender->relation = table;
	InitResultRelInfo(table, table_open(relid, RowExclusiveLock), 0, NULL, 0);
	ExecOpenIndices(table, false);
	for (int i = 0; i < table->ri_NumIndices && appender->state == NULL; i++)
		if (!is_plain(table->ri_IndexRelationInfo[i]))
			appender->state = CreateExecutorState();
	return appender;
}

/* Writes the rows. */
static void
insert_rows(Appender *appender)
{
	Relation relation = appender->relation->ri_RelationDesc;

	for (int i = 0; i < appender->count; i++)
		ExecStoreVirtualTuple(appender->rows[i]);
	if (appender->count == 1)
		table_tuple_insert(relation, appender->rows[0], appender->command, 0, NULL);
	else if (appender->count > 1)
		table_multi_insert(relation, appender->rows, appender->count, appender->command,
						   0, NULL);
}

/* Writes a row's entries in indexes over plain columns, for which it needs no executor. */
static void
insert_plain_entries(ResultRelInfo *table, TupleTableSlot *row)
{
	for (int i = 0; i < table->ri_NumIndices; i++)
	{
		Relation   index = table->ri_IndexRelationDescs[i];
		IndexInfo *info = table->ri_IndexRelationInfo[i];
		Datum	   values[INDEX_MAX_KEYS];
		bool	   isnull[INDEX_MAX_KEYS];

		FormIndexDatum(info, row, NULL, values, isnull);
		index_insert(index, values, isnull, &row->tts_tid, table->ri_RelationDesc,
					 info->ii_Unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, info);
	}
}

/* Writes the rows' index entries. */
static void
insert_index_entries(Appender *appender)
{
	for (int i = 0; i < appender->count; i++)
	{
		TupleTableSlot *row = appender->rows[i];

		if (appender->state)
		{
			list_free(
				compat_insert_index_tuples(appender->relation, row, appender->state));
			ResetPerTupleExprContext(appender->state);
		}
		else
			insert_plain_entries(appender->relation, row);
		ExecClearTuple(row);
	}
	appender->count = 0;
}

/* See append.h. */
void
append_flush(Appender *const *appenders, int count)
{
	for (int i = 0; i < count; i++)
		insert_rows(appenders[i]);
	for (int i = 0; i < count; i++)
		insert_index_entries(appenders[i]);
}

/* See append.h. */
TupleTableSlot *
append_row(Appender *appender)
{
	TupleTableSlot *row;

	if (appender->count == APPEND_ROWS)
		append_flush(&appender, 1);
	row = appender->rows[appender->count];
	if (row == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(appender->context);

		row = table_slot_create(appender->relation->ri_RelationDesc, NULL);
		MemoryContextSwitchTo(caller);
		appender->rows[appender->count] = row;
	}
	appender->count++;
	memset(row->tts_values, 0, row->tts_tupleDescriptor->natts * sizeof(Datum));
	memset(row->tts_isnull, true, row->tts_tupleDescriptor->natts * sizeof(bool));
	return row;
}

/* See append.h. */
void
append_close(Appender *appender)
{
	append_flush(&appender, 1);
	for (int i = 0; i < APPEND_ROWS && appender->rows[i]; i++)
		ExecDropSingleTupleTableSlot(appender->rows[i]);
	ExecCloseIndices(appender->relation);
	table_close(appender->relation->ri_RelationDesc, NoLock);
	if (appender->state)
		FreeExecutorState(appender->state);
}
