/*
 * binding.h
 *		The application's tables: which relation stands for which source, and
 *		which SQL expression for which canonical column.
 */
#ifndef FEATUL_BINDING_H
#define FEATUL_BINDING_H

#include "lib/stringinfo.h"

typedef enum Source
{
	SOURCE_WORKSPACE,
	SOURCE_MEMBER,
	SOURCE_USER,
	SOURCE_BOARD,
	SOURCE_POST,
	SOURCE_COMMENT,
	SOURCE_VOTE,
	SOURCE_MENTION,
	SOURCE_REACTION,
	SOURCE_COUNT
} Source;

/*
 * The SQL expression of a canonical column as text ("NULL" when absent), to be
 * used where the relation's row is in scope under the alias given to
 * binding_from().  ereports 55000 with a hint when nothing is attached.
 */
extern bool binding_attached(void);
extern void binding_require(void);	/* 55000 unless attached */
extern bool binding_has(Source source);

/*
 * Appends "(SELECT expr AS id, ... FROM schema.table) AS alias": the source as
 * a relation with its canonical columns: ids and other text columns as text,
 * flags as boolean, created_at as timestamptz, upvotes as bigint.
 */
extern void binding_append_relation(StringInfo sql, Source source, const char *alias);

#endif							/* FEATUL_BINDING_H */
