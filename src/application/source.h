/*
 * source.h
 *		Sources and their canonical columns: what the application's tables are
 *		read as (docs/architecture.md has the table).
 */
#ifndef FEATUL_SOURCE_H
#define FEATUL_SOURCE_H

#include "base/text.h"

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

/* The canonical columns of each source, in the order of the contract's table. */
enum
{
	WORKSPACE_ID,
	WORKSPACE_NAME,
	WORKSPACE_SLUG,
	WORKSPACE_PLAN,
	WORKSPACE_OWNER_ID
};
enum
{
	MEMBER_WORKSPACE_ID,
	MEMBER_USER_ID,
	MEMBER_ROLE,
	MEMBER_IS_ACTIVE,
	MEMBER_CAN_MANAGE
};
enum
{
	USER_ID,
	USER_NAME,
	USER_EMAIL
};
enum
{
	BOARD_ID,
	BOARD_WORKSPACE_ID,
	BOARD_NAME,
	BOARD_SLUG,
	BOARD_IS_SYSTEM,
	BOARD_HIDES_IDENTITY,
	BOARD_ROADMAP_STATUSES
};
enum
{
	POST_ID,
	POST_BOARD_ID,
	POST_TITLE,
	POST_CONTENT,
	POST_SLUG,
	POST_IMAGE,
	POST_AUTHOR_ID,
	POST_IS_ANONYMOUS,
	POST_FINGERPRINT,
	POST_VISIBLE,
	POST_STATUS,
	POST_UPVOTES,
	POST_IS_PINNED,
	POST_IS_LOCKED,
	POST_IS_FEATURED,
	POST_CREATED_AT
};
enum
{
	COMMENT_ID,
	COMMENT_POST_ID,
	COMMENT_CONTENT,
	COMMENT_AUTHOR_ID,
	COMMENT_AUTHOR_NAME,
	COMMENT_IS_ANONYMOUS,
	COMMENT_FINGERPRINT,
	COMMENT_IS_INTERNAL,
	COMMENT_VISIBLE,
	COMMENT_CREATED_AT
};
enum
{
	VOTE_ID,
	VOTE_POST_ID,
	VOTE_USER_ID,
	VOTE_FINGERPRINT
};
enum
{
	MENTION_ID,
	MENTION_COMMENT_ID,
	MENTION_USER_ID,
	MENTION_BY_USER_ID
};
enum
{
	REACTION_ID,
	REACTION_COMMENT_ID,
	REACTION_USER_ID,
	REACTION_FINGERPRINT,
	REACTION_TYPE
};

#define MAX_COLUMNS 16
#define COLUMN_BIT(column) (((uint32) 1) << (column))

typedef enum ColumnType
{
	COLUMN_TEXT,
	COLUMN_FLAG,
	COLUMN_NUMBER, /* bigint */
	COLUMN_TIME	   /* timestamptz */
} ColumnType;

typedef struct ColumnDefinition
{
	const char *name; /* NULL ends a source's list */
	ColumnType	type;
	bool		required;
	const char *alias; /* featul's own name where it differs, or NULL */
} ColumnDefinition;

typedef struct SourceDefinition
{
	const char		*name;
	const char		*tables[3]; /* by default, first found wins; NULL-terminated */
	bool			 required;
	ColumnDefinition columns[MAX_COLUMNS + 1];
} SourceDefinition;

extern const SourceDefinition source_definitions[SOURCE_COUNT];

/* SOURCE_COUNT if there is no such source */
extern Source source_by_name(const char *name, int length);

/* Whether an absent column counts as true (visible), not as NULL. */
extern bool column_defaults_to_true(Source source, int column);

/* -1 if the source has no such canonical column */
extern int column_by_name(Source source, const char *name, int length);

/* Whether a workspace's plan has integrations: paid ones have, unknown ones have not. */
extern bool plan_is_paid(Text plan);

#endif /* FEATUL_SOURCE_H */
