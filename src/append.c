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
	Relation		relation;
	int				n_indexes;
	Relation	   *index;
	IndexInfo	  **info;
	EState		   *state; /* NULL: all indexes are over plain columns */
	ResultRelInfo  *result;
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

/* Gets the executor to write the index entries. */
static void
use_executor(Appender *appender)
{
	appender->state = CreateExecutorState();
	appender->result = makeNode(ResultRelInfo);
	InitResultRelInfo(appender->result, appender->relation, 0, NULL, 0);
	appender->result->ri_NumIndices = appender->n_indexes;
	appender->result->ri_IndexRelationDescs = appender->index;
	appender->result->ri_IndexRelationInfo = appender->info;
}

/* Opens the indexes. */
static void
open_indexes(Appender *appender)
{
	List	 *oids = RelationGetIndexList(appender->relation);
	bool	  others = false;
	ListCell *cell;

	appender->index = palloc(list_length(oids) * sizeof(Relation));
	appender->info = palloc(list_length(oids) * sizeof(IndexInfo *));
	foreach (cell, oids)
	{
		Relation   index = index_open(lfirst_oid(cell), RowExclusiveLock);
		IndexInfo *info = BuildIndexInfo(index);

		appender->index[appender->n_indexes] = index;
		appender->info[appender->n_indexes++] = info;
		others = others || !is_plain(info);
	}
	list_free(oids);
	if (others)
		use_executor(appender);
}

/* Closes them. */
static void
close_indexes(Appender *appender)
{
	for (int i = 0; i < appender->n_indexes; i++)
	{
		compat_index_insert_cleanup(appender->index[i], appender->info[i]);
		index_close(appender->index[i], RowExclusiveLock);
	}
	if (appender->state)
		FreeExecutorState(appender->state);
}

/* See append.h. */
Appender *
append_open(Oid relid)
{
	Appender *appender = palloc0(sizeof(Appender));

	appender->context = CurrentMemoryContext;
	appender->command = GetCurrentCommandId(true);
	appender->relation = table_open(relid, RowExclusiveLock);
	open_indexes(appender);
	return appender;
}

/* Writes the rows. */
static void
insert_rows(Appender *appender)
{
	for (int i = 0; i < appender->count; i++)
		ExecStoreVirtualTuple(appender->rows[i]);
	if (appender->count == 1)
		table_tuple_insert(appender->relation, appender->rows[0], appender->command, 0,
						   NULL);
	else if (appender->count > 1)
		table_multi_insert(appender->relation, appender->rows, appender->count,
						   appender->command, 0, NULL);
}

/* Writes a row's entry in an index over plain columns. */
static void
insert_plain_entry(Appender *appender, int i, TupleTableSlot *row)
{
	Relation index = appender->index[i];
	Datum	 values[INDEX_MAX_KEYS];
	bool	 isnull[INDEX_MAX_KEYS];

	FormIndexDatum(appender->info[i], row, NULL, values, isnull);
	index_insert(index, values, isnull, &row->tts_tid, appender->relation,
				 index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false,
				 appender->info[i]);
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
			list_free(compat_insert_index_tuples(appender->result, row, appender->state));
			ResetPerTupleExprContext(appender->state);
		}
		else
			for (int j = 0; j < appender->n_indexes; j++)
				insert_plain_entry(appender, j, row);
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

		row = table_slot_create(appender->relation, NULL);
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
	close_indexes(appender);
	table_close(appender->relation, NoLock);
}
