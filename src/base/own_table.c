/*
 * own_table.c
 *		Many new rows for one of the extension's own tables, without a plan.
 *
 * The tables are the extension's own: no generated columns, no triggers that
 * would have to fire, and the caller names the partition.  For a few hundred
 * rows, starting an executor and handing it arrays takes several times as long as
 * writing them; and rows that are written together need one WAL record a page.
 * Nor do B-trees over plain columns, as those of event and queue are, need anything of
 * the executor.  All indexes of a table that has others (attempt's partial one, or what
 * a DBA adds) are left to it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "executor/executor.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/own_table.h"
#include "base/compat.h"
#include "base/version.h"

/* Rows written together */
#define APPEND_ROWS 64

/* Indexes of a table that are written without an executor: more than ours have */
#define APPEND_INDEXES 8

struct Appender
{
	MemoryContext	context;
	CommandId		command;
	Relation		table;
	int				n_indexes;
	Relation		indexes[APPEND_INDEXES];
	ResultRelInfo  *relation; /* with the executor's state; else NULL, as that is */
	EState		   *state;
	int				count;
	TupleTableSlot *rows[APPEND_ROWS]; /* NULL ends those that have been made */
};

/* See own_table.h. */
Oid
own_table_oid(const char *name)
{
	Oid relid = get_relname_relid(name, get_namespace_oid("featul_integrations", false));

	if (!OidIsValid(relid))
		elog(ERROR, "featul_integrations.%s does not exist", name);
	return relid;
}

/* See own_table.h. */
int16
own_table_current_partition(Oid rotation)
{
	Relation		table = table_open(rotation, AccessShareLock);
	Snapshot		snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc	scan = compat_table_beginscan(table, snapshot);
	TupleTableSlot *row = table_slot_create(table, NULL);
	bool			isnull;
	int16			partition;

	if (!table_scan_getnextslot(scan, ForwardScanDirection, row))
		elog(ERROR, "featul_integrations.rotation is empty");
	partition = DatumGetInt16(slot_getattr(row, 1, &isnull));
	ExecDropSingleTupleTableSlot(row);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(table, AccessShareLock);
	return partition;
}

/* Whether an index is a B-tree over plain columns of all rows. */
static bool
is_plain(Relation index)
{
	const FormData_pg_index *form = index->rd_index;

	for (int i = 0; i < form->indnatts; i++)
		if (form->indkey.values[i] <= 0)
			return false;
	return index->rd_rel->relam == BTREE_AM_OID && form->indisready &&
		   !form->indisexclusion &&
		   heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL);
}

/* Closes the indexes that open_indexes() has opened. */
static void
close_indexes(Appender *appender)
{
	for (int i = 0; i < appender->n_indexes; i++)
		index_close(appender->indexes[i], RowExclusiveLock);
	appender->n_indexes = 0;
}

/* Opens the table's indexes; false, and none is open, if they need the executor. */
static bool
open_indexes(Appender *appender)
{
	List	 *oids = RelationGetIndexList(appender->table);
	ListCell *cell;

	if (list_length(oids) > APPEND_INDEXES)
		return false;
	foreach (cell, oids)
	{
		Relation index = index_open(lfirst_oid(cell), RowExclusiveLock);

		appender->indexes[appender->n_indexes++] = index;
		if (!is_plain(index))
		{
			close_indexes(appender);
			return false;
		}
	}
	return true;
}

/* Opens the table's indexes for the executor. */
static void
open_executor(Appender *appender)
{
	appender->relation = makeNode(ResultRelInfo);
	InitResultRelInfo(appender->relation, appender->table, 0, NULL, 0);
	ExecOpenIndices(appender->relation, false);
	appender->state = CreateExecutorState();
}

/* See own_table.h. */
Appender *
appender_open(Oid relid, int columns)
{
	Appender *appender = palloc(sizeof(Appender));

	memset(appender, 0, offsetof(Appender, rows) + sizeof(appender->rows[0]));
	appender->context = CurrentMemoryContext;
	appender->command = GetCurrentCommandId(true);
	appender->table = table_open(relid, RowExclusiveLock);
	if (RelationGetNumberOfAttributes(appender->table) < columns)
	{
		version_check();
		elog(ERROR, "%s has fewer than %d columns",
			 RelationGetRelationName(appender->table), columns);
	}
	if (!open_indexes(appender))
		open_executor(appender);
	return appender;
}

/* Writes the rows. */
static void
insert_rows(Appender *appender)
{
	for (int i = 0; i < appender->count; i++)
		ExecStoreVirtualTuple(appender->rows[i]);
	if (appender->count == 1)
		table_tuple_insert(appender->table, appender->rows[0], appender->command, 0,
						   NULL);
	else if (appender->count > 1)
		table_multi_insert(appender->table, appender->rows, appender->count,
						   appender->command, 0, NULL);
}

/* Writes a row's index entries without the executor. */
static void
insert_plain_entries(Appender *appender, TupleTableSlot *row)
{
	static IndexInfo unused = { .type = T_IndexInfo }; /* by B-trees */

	for (int i = 0; i < appender->n_indexes; i++)
	{
		const FormData_pg_index *form = appender->indexes[i]->rd_index;
		Datum					 values[INDEX_MAX_KEYS];
		bool					 isnull[INDEX_MAX_KEYS];

		for (int k = 0; k < form->indnatts; k++)
			values[k] = slot_getattr(row, form->indkey.values[k], &isnull[k]);
		index_insert(appender->indexes[i], values, isnull, &row->tts_tid, appender->table,
					 form->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false,
					 &unused);
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
			insert_plain_entries(appender, row);
		ExecClearTuple(row);
	}
	appender->count = 0;
}

/* See own_table.h. */
void
appender_flush(Appender *const *appenders, int count)
{
	for (int i = 0; i < count; i++)
		insert_rows(appenders[i]);
	for (int i = 0; i < count; i++)
		insert_index_entries(appenders[i]);
}

/* See own_table.h. */
TupleTableSlot *
appender_next(Appender *appender)
{
	TupleTableSlot *row;

	if (appender->count == APPEND_ROWS)
		appender_flush(&appender, 1);
	row = appender->rows[appender->count];
	if (row == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(appender->context);

		row = table_slot_create(appender->table, NULL);
		MemoryContextSwitchTo(caller);
		appender->rows[appender->count] = row;
		if (appender->count + 1 < APPEND_ROWS)
			appender->rows[appender->count + 1] = NULL;
	}
	appender->count++;
	memset(row->tts_values, 0, row->tts_tupleDescriptor->natts * sizeof(Datum));
	memset(row->tts_isnull, true, row->tts_tupleDescriptor->natts * sizeof(bool));
	return row;
}

/* See own_table.h. */
void
appender_close(Appender *appender)
{
	appender_flush(&appender, 1);
	for (int i = 0; i < APPEND_ROWS && appender->rows[i]; i++)
		ExecDropSingleTupleTableSlot(appender->rows[i]);
	close_indexes(appender);
	if (appender->state)
	{
		ExecCloseIndices(appender->relation);
		FreeExecutorState(appender->state);
	}
	table_close(appender->table, NoLock);
}
