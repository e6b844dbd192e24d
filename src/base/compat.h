/*
 * compat.h
 *		Differences between PostgreSQL 15 to 19, named by feature.
 *
 * Include it after PostgreSQL's own headers.
 */
#ifndef FEATUL_COMPAT_H
#define FEATUL_COMPAT_H

#include "common/base64.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"

/* VARDATA and friends left postgres.h in 16. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/*
 * A function that SQL calls: PG_FUNCTION_INFO_V1, exported although the library
 * hides all else (-fvisibility=hidden), which PostgreSQL 15 leaves to us.
 */
#define FEATUL_FUNCTION(name)                                                            \
	extern PGDLLEXPORT Datum name(PG_FUNCTION_ARGS);                                     \
	PG_FUNCTION_INFO_V1(name)

/* A function that does not return: an attribute after it until 17. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

/*
 * What a GUC check hook allocates: plain malloc until 15, guc_malloc since.
 */
#if PG_VERSION_NUM < 160000
#define guc_malloc(elevel, size) malloc(size)
#endif

/*
 * A WaitEventSet that lives as long as the process: owned by a memory context
 * until 16, by a resource owner (NULL: by nobody) since.
 */
static inline WaitEventSet *
compat_create_wait_event_set(int nevents)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, nevents);
#else
	return CreateWaitEventSet(TopMemoryContext, nevents);
#endif
}

/* Base64 of bytes: char until 17, uint8 since. */
static inline int
compat_base64_encode(const uint8 *bytes, int length, char *out, int out_size)
{
#if PG_VERSION_NUM >= 180000
	return pg_b64_encode(bytes, length, out, out_size);
#else
	return pg_b64_encode((const char *) bytes, length, out, out_size);
#endif
}

static inline int
compat_base64_decode(const char *text, int length, uint8 *out, int out_size)
{
#if PG_VERSION_NUM >= 180000
	return pg_b64_decode(text, length, out, out_size);
#else
	return pg_b64_decode(text, length, (char *) out, out_size);
#endif
}

/* Ownership checks: one function per kind of object until 15. */
#include "catalog/pg_proc.h"
#if PG_VERSION_NUM < 160000
#define compat_extension_ownercheck(oid, role) pg_extension_ownercheck(oid, role)
#define compat_relation_ownercheck(oid, role) pg_class_ownercheck(oid, role)
#define compat_database_ownercheck(oid, role) pg_database_ownercheck(oid, role)
#define compat_function_aclcheck(oid, role, mode) pg_proc_aclcheck(oid, role, mode)
#else
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_proc.h"
#define compat_extension_ownercheck(oid, role)                                           \
	object_ownercheck(ExtensionRelationId, oid, role)
#define compat_relation_ownercheck(oid, role)                                            \
	object_ownercheck(RelationRelationId, oid, role)
#define compat_database_ownercheck(oid, role)                                            \
	object_ownercheck(DatabaseRelationId, oid, role)
#define compat_function_aclcheck(oid, role, mode)                                        \
	object_aclcheck(ProcedureRelationId, oid, role, mode)
#endif

/* Whether a lock is held; can be asked for a stronger one, too, since 17. */
#include "storage/lock.h"
#if PG_VERSION_NUM >= 170000
#define compat_lock_held(tag, mode) LockHeldByMe(tag, mode, false)
#else
#define compat_lock_held(tag, mode) LockHeldByMe(tag, mode)
#endif

/* Scans; of an index, counts for EXPLAIN since 18; of both, options since 19. */
#include "access/genam.h"
#include "access/tableam.h"
#if PG_VERSION_NUM >= 190000
#define compat_table_beginscan(relation, snapshot)                                       \
	table_beginscan(relation, snapshot, 0, NULL, SO_NONE)
#else
#define compat_table_beginscan(relation, snapshot)                                       \
	table_beginscan(relation, snapshot, 0, NULL)
#endif
#if PG_VERSION_NUM >= 190000
#define compat_index_beginscan(relation, index, snapshot, keys)                          \
	index_beginscan(relation, index, snapshot, NULL, keys, 0, SO_NONE)
#elif PG_VERSION_NUM >= 180000
#define compat_index_beginscan(relation, index, snapshot, keys)                          \
	index_beginscan(relation, index, snapshot, NULL, keys, 0)
#else
#define compat_index_beginscan(relation, index, snapshot, keys)                          \
	index_beginscan(relation, index, snapshot, keys, 0)
#endif

/*
 * Index entries of a newly inserted row; can be only summarizing ones since
 * 16, flags instead of booleans since 19.
 */
#include "executor/executor.h"
#if PG_VERSION_NUM >= 190000
#define compat_insert_index_tuples(relation, slot, state)                                \
	ExecInsertIndexTuples(relation, state, 0, slot, NIL, NULL)
#elif PG_VERSION_NUM >= 160000
#define compat_insert_index_tuples(relation, slot, state)                                \
	ExecInsertIndexTuples(relation, slot, state, false, false, NULL, NIL, false)
#else
#define compat_insert_index_tuples(relation, slot, state)                                \
	ExecInsertIndexTuples(relation, slot, state, false, false, NULL, NIL)
#endif

/*
 * An expression over a relation's rows with its virtual generated columns
 * (new in 18) replaced by what generates them: a trigger's rows lack them.
 */
#include "utils/relcache.h"
#if PG_VERSION_NUM >= 180000
#include "rewrite/rewriteHandler.h"
#endif
static inline Node *
compat_expand_virtual_columns(Node *node, Relation relation)
{
#if PG_VERSION_NUM >= 180000
	return expand_generated_columns_in_expr(node, relation, 1);
#else
	return node;
#endif
}

/*
 * The columns in an expression that belongs to no query, marked so that planning does
 * not look their table up there: since 19 it asks of a column beneath IS NULL whether it
 * is declared NOT NULL, unless an outer join may have made it NULL, and falls over.
 */
#if PG_VERSION_NUM >= 190000
#include "nodes/nodeFuncs.h"
static inline bool
compat_mark_columns(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		castNode(Var, node)->varnullingrels = bms_make_singleton(1);
	return expression_tree_walker(node, compat_mark_columns, context);
}
#else
#define compat_mark_columns(node, context) ((void) 0)
#endif

/* The oldest transaction that the commit log still has (under XactTruncationLock). */
#include "access/transam.h"
#if PG_VERSION_NUM >= 170000
#define compat_oldest_clog_xid() (TransamVariables->oldestClogXid)
#else
#define compat_oldest_clog_xid() (ShmemVariableCache->oldestClogXid)
#endif

/* A hash table in shared memory; may grow beyond its size until 18, which ours never do. */
#include "storage/shmem.h"
#if PG_VERSION_NUM >= 190000
#define compat_shmem_hash(name, size, info, flags) ShmemInitHash(name, size, info, flags)
#else
#define compat_shmem_hash(name, size, info, flags)                                       \
	ShmemInitHash(name, size, size, info, flags)
#endif

/* The flags of jsonpath's like_regex as the regular expressions' own: errors can be soft since 16. */
#include "utils/jsonpath.h"
static inline int
compat_regex_flags(uint32 xflags)
{
#if PG_VERSION_NUM >= 160000
	int flags;

	(void) jspConvertRegexFlags(xflags, &flags, NULL);
	return flags;
#else
	return jspConvertRegexFlags(xflags);
#endif
}

/* Whether it is one of the methods of jsonpath that read or write a scalar, which are new in 17. */
static inline bool
compat_jsonpath_converts(JsonPathItemType type)
{
#if PG_VERSION_NUM >= 170000
	switch (type)
	{
		case jpiBigint:
		case jpiBoolean:
		case jpiDate:
		case jpiDecimal:
		case jpiInteger:
		case jpiNumber:
		case jpiStringFunc:
		case jpiTime:
		case jpiTimeTz:
		case jpiTimestamp:
		case jpiTimestampTz:
			return true;
		default:
			break;
	}
#endif
	return false;
}
/* Of the transaction that an apply worker commits: variables of their own until 18. */
#include "replication/origin.h"
#if PG_VERSION_NUM >= 190000
#define compat_origin_lsn() (replorigin_xact_state.origin_lsn)
#define compat_origin_timestamp() (replorigin_xact_state.origin_timestamp)
#else
#define compat_origin_lsn() replorigin_session_origin_lsn
#define compat_origin_timestamp() replorigin_session_origin_timestamp
#endif

/* Where a setting's value comes from (the default, if there is no such setting): found by name since 16. */
#include "utils/guc_tables.h"
static inline GucSource
compat_setting_source(const char *name)
{
#if PG_VERSION_NUM >= 160000
	struct config_generic *setting = find_option(name, false, true, DEBUG5);

	return setting ? setting->source : PGC_S_DEFAULT;
#else
	struct config_generic **settings = get_guc_variables();

	for (int i = 0; i < GetNumConfigOptions(); i++)
		if (strcmp(settings[i]->name, name) == 0)
			return settings[i]->source;
	return PGC_S_DEFAULT;
#endif
}

#endif /* FEATUL_COMPAT_H */
