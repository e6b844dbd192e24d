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

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
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
	EState		   *state;
	CommandId		command;
	ResultRelInfo  *relation;
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

/* See append.h. */
Appender *
append_open(Oid relid)
{
	Appender *appender = palloc0(sizeof(Appender));
	Relation  relation = table_open(relid, RowExclusiveLock);

	appender->context = CurrentMemoryContext;
	appender->state = CreateExecutorState();
	appender->command = GetCurrentCommandId(true);
	appender->relation = makeNode(ResultRelInfo);
	InitResultRelInfo(appender->relation, relation, 0, NULL, 0);
	ExecOpenIndices(appender->relation, false);
	return appender;
}

/* See append.h. */
void
append_flush(Appender *appender)
{
	Relation relation = appender->relation->ri_RelationDesc;

	for (int i = 0; i < appender->count; i++)
		ExecStoreVirtualTuple(appender->rows[i]);
	if (appender->count == 1)
		table_tuple_insert(relation, appender->rows[0], appender->command, 0, NULL);
	else if (appender->count > 1)
		table_multi_insert(relation, appender->rows, appender->count, appender->command,
						   0, NULL);
	for (int i = 0; i < appender->count; i++)
	{
		list_free(compat_insert_index_tuples(appender->relation, appender->rows[i],
											 appender->state));
		ResetPerTupleExprContext(appender->state);
		ExecClearTuple(appender->rows[i]);
	}
	appender->count = 0;
}

/* See append.h. */
TupleTableSlot *
append_row(Appender *appender)
{
	TupleTableSlot *row;

	if (appender->count == APPEND_ROWS)
		append_flush(appender);
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
	Relation relation = appender->relation->ri_RelationDesc;

	append_flush(appender);
	for (int i = 0; i < APPEND_ROWS && appender->rows[i]; i++)
		ExecDropSingleTupleTableSlot(appender->rows[i]);
	ExecCloseIndices(appender->relation);
	table_close(relation, NoLock);
	FreeExecutorState(appender->state);
}
