/*
 * source.c
 *		The definitions of sources and canonical columns.
 */
#include "postgres.h"

#include "application/source.h"

const SourceDefinition source_definitions[SOURCE_COUNT] = {
	[SOURCE_WORKSPACE] = { "workspace",
						   { "workspace", "workspaces" },
						   true,
						   { { "id", COLUMN_TEXT, true },
							 { "name", COLUMN_TEXT, true },
							 { "slug", COLUMN_TEXT, true },
							 { "plan", COLUMN_TEXT, true },
							 { "owner_id", COLUMN_TEXT, true } } },
	[SOURCE_MEMBER] = { "member",
						{ "workspace_member", "workspace_members" },
						true,
						{ { "workspace_id", COLUMN_TEXT, true },
						  { "user_id", COLUMN_TEXT, true },
						  { "role", COLUMN_TEXT, true },
						  { "is_active", COLUMN_FLAG },
						  { "can_manage", COLUMN_FLAG } } },
	[SOURCE_USER] = { "user",
					  { "user", "users" },
					  false,
					  { { "id", COLUMN_TEXT },
						{ "name", COLUMN_TEXT },
						{ "email", COLUMN_TEXT } } },
	[SOURCE_BOARD] = { "board",
					   { "board", "boards" },
					   true,
					   { { "id", COLUMN_TEXT, true },
						 { "workspace_id", COLUMN_TEXT, true },
						 { "name", COLUMN_TEXT, true },
						 { "slug", COLUMN_TEXT },
						 { "is_system", COLUMN_FLAG },
						 { "hides_identity", COLUMN_FLAG, false,
						   "hide_public_member_identity" },
						 { "roadmap_statuses", COLUMN_TEXT } } },
	[SOURCE_POST] = { "post",
					  { "post", "posts" },
					  true,
					  { { "id", COLUMN_TEXT, true },
						{ "board_id", COLUMN_TEXT, true },
						{ "title", COLUMN_TEXT, true },
						{ "content", COLUMN_TEXT, true },
						{ "slug", COLUMN_TEXT },
						{ "image", COLUMN_TEXT },
						{ "author_id", COLUMN_TEXT },
						{ "is_anonymous", COLUMN_FLAG },
						{ "fingerprint", COLUMN_TEXT },
						{ "visible", COLUMN_FLAG },
						{ "status", COLUMN_TEXT, false, "roadmap_status" },
						{ "upvotes", COLUMN_NUMBER },
						{ "is_pinned", COLUMN_FLAG },
						{ "is_locked", COLUMN_FLAG },
						{ "is_featured", COLUMN_FLAG },
						{ "created_at", COLUMN_TIME } } },
	[SOURCE_COMMENT] = { "comment",
						 { "comment", "comments" },
						 false,
						 { { "id", COLUMN_TEXT },
						   { "post_id", COLUMN_TEXT },
						   { "content", COLUMN_TEXT },
						   { "author_id", COLUMN_TEXT },
						   { "author_name", COLUMN_TEXT },
						   { "is_anonymous", COLUMN_FLAG },
						   { "fingerprint", COLUMN_TEXT },
						   { "is_internal", COLUMN_FLAG },
						   { "visible", COLUMN_FLAG },
						   { "created_at", COLUMN_TIME } } },
	[SOURCE_VOTE] = { "vote",
					  { "vote", "votes" },
					  false,
					  { { "id", COLUMN_TEXT },
						{ "post_id", COLUMN_TEXT },
						{ "user_id", COLUMN_TEXT },
						{ "fingerprint", COLUMN_TEXT } } },
	[SOURCE_MENTION] = { "mention",
						 { "comment_mention", "comment_mentions" },
						 false,
						 { { "id", COLUMN_TEXT },
						   { "comment_id", COLUMN_TEXT },
						   { "user_id", COLUMN_TEXT, false, "mentioned_user_id" },
						   { "by_user_id", COLUMN_TEXT, false, "mentioned_by" } } },
	[SOURCE_REACTION] = { "reaction",
						  { "comment_reaction", "comment_reactions" },
						  false,
						  { { "id", COLUMN_TEXT },
							{ "comment_id", COLUMN_TEXT },
							{ "user_id", COLUMN_TEXT },
							{ "fingerprint", COLUMN_TEXT },
							{ "type", COLUMN_TEXT } } },
};

/* See source.h. */
Source
source_by_name(const char *name, int length)
{
	Source source;

	for (source = 0; source < SOURCE_COUNT; source++)
	{
		const char *known = source_definitions[source].name;

		if (strlen(known) == length && memcmp(known, name, length) == 0)
			break;
	}
	return source;
}

/* See source.h. */
int
column_by_name(Source source, const char *name, int length)
{
	const ColumnDefinition *columns = source_definitions[source].columns;

	for (int i = 0; columns[i].name; i++)
		if (strlen(columns[i].name) == length &&
			memcmp(columns[i].name, name, length) == 0)
			return i;
	return -1;
}

/* See source.h. */
bool
column_defaults_to_true(Source source, int column)
{
	return (source == SOURCE_POST && column == POST_VISIBLE) ||
		   (source == SOURCE_COMMENT && column == COMMENT_VISIBLE);
}

/* See source.h. */
bool
plan_is_paid(Text plan)
{
	static const char *const paid[] = { "starter", "professional" };

	for (int i = 0; i < lengthof(paid); i++)
		if (plan.data && plan.length == strlen(paid[i]) &&
			memcmp(plan.data, paid[i], plan.length) == 0)
			return true;
	return false;
}
