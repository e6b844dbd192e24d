/*
 * access.c
 *		Who may do what: the acting user, the workspace, role and plan.
 *
 * Reads the application's tables through their binding; decides nothing about
 * integrations themselves.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/jsonb.h"

#include "api/access.h"
#include "application/binding.h"
#include "application/user_context.h"
#include "api/query.h"
#include "base/settings.h"
#include "base/errors.h"

/*
 * The sub of a JWT's claims in the current context; NULL if there is none or
 * the claims are no JSON object.  Safe without a subtransaction: parsing
 * touches nothing but memory.
 */
static char *
subject_of(const char *claims)
{
	MemoryContext context = CurrentMemoryContext;
	char *volatile subject = NULL;

	PG_TRY();
	{
		Jsonb *json =
			DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(claims)));
		JsonbValue value;

		if (JB_ROOT_IS_OBJECT(json) &&
			getKeyJsonValueFromContainer(&json->root, "sub", 3, &value) != NULL &&
			value.type == jbvString && value.val.string.len > 0)
			subject = pnstrdup(value.val.string.val, value.val.string.len);
	}
	PG_CATCH();
	{
		int category = ERRCODE_TO_CATEGORY(geterrcode());

		MemoryContextSwitchTo(context);
		/* bad JSON, and JSON nested too deep */
		if (category != ERRCODE_DATA_EXCEPTION &&
			category != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
			PG_RE_THROW();
		FlushErrorState();
	}
	PG_END_TRY();
	return subject;
}

/* The acting user's id in the current context, NULL if there is none. */
static char *
acting_user(void)
{
	const char *claims;

	if (setting_user_id && *setting_user_id)
		return pstrdup(setting_user_id);
	claims = GetConfigOption("request.jwt.claims", true, false);
	return claims && *claims ? subject_of(claims) : NULL;
}

/* See access.h. */
void
access_authenticate(void)
{
	if (!setting_operator && acting_user() == NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATUL_UNAUTHENTICATED), errmsg("Authentication required"),
			 errhint(
				 "Set featul_integrations.user_id, or request.jwt.claims to a JSON object with a \"sub\".%s",
				 superuser_arg(GetOuterUserId())
					 ? " A superuser may SET featul_integrations.operator = on instead."
					 : "")));
}

/*
 * True if the user is an active member who may manage: an admin, or where
 * member.can_manage is bound whoever that says.  Needs an SPI connection.
 */
static bool
is_manager(const char *workspace_id, const char *user_id)
{
	StringInfoData	sql;
	QueryParameters parameters = { 0 };

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT FROM ");
	binding_append_rows(&sql, SOURCE_MEMBER, MEMBER_WORKSPACE_ID, "$1", "m");
	appendStringInfo(&sql,
					 " WHERE m.user_id = $2"
					 " AND %s AND m.is_active IS NOT FALSE LIMIT 1",
					 binding_has_column(SOURCE_MEMBER, MEMBER_CAN_MANAGE)
						 ? "m.can_manage"
						 : "m.role = 'admin'");
	query_add_text(&parameters, workspace_id);
	query_add_text(&parameters, user_id);
	return query_read_bound(&parameters, SOURCE_MEMBER, sql.data) > 0;
}

/* 403 unless the acting user owns the workspace or is an active admin of it. */
static void
require_role(const char *workspace_id, const char *owner_id, Permission permission)
{
	static const char *const actions[] = { [PERMISSION_VIEW] = "view",
										   [PERMISSION_TEST] = "test",
										   [PERMISSION_MANAGE] = "manage" };
	char					*user = acting_user();

	if (user &&
		((owner_id && strcmp(owner_id, user) == 0) || is_manager(workspace_id, user)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATUL_FORBIDDEN),
			 errmsg("You don't have permission to %s integrations", actions[permission]),
			 errhint("Only the workspace's owner and its active admins may do this.")));
}

/* See access.h. */
Workspace *
access_workspace(const char *slug, Permission permission, bool needs_plan)
{
	StringInfoData	sql;
	QueryParameters parameters = { 0 };
	Workspace	   *workspace = palloc0(sizeof(Workspace));
	char		   *owner_id;

	binding_require();
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT w.id, w.name, w.slug, w.plan, w.owner_id FROM ");
	binding_append_rows(&sql, SOURCE_WORKSPACE, WORKSPACE_SLUG, "$1", "w");
	appendStringInfoString(&sql, " ORDER BY w.id LIMIT 1");
	query_add_text(&parameters, slug);
	if (query_read_bound(&parameters, SOURCE_WORKSPACE, sql.data) == 0)
		access_workspace_not_found();
	workspace->id = query_result(0, 1);
	workspace->name = query_result(0, 2);
	workspace->slug = query_result(0, 3);
	workspace->paid = plan_is_paid(text_of(query_result(0, 4)));
	owner_id = query_result(0, 5);

	if (!setting_operator)
		require_role(workspace->id, owner_id, permission);
	if (needs_plan && !workspace->paid)
		ereport(ERROR,
				(errcode(ERRCODE_FEATUL_FORBIDDEN),
				 errmsg("Integrations are available on Starter or Professional plans"),
				 errhint("Upgrade the workspace's plan.")));
	return workspace;
}

/* See access.h. */
void
access_lock_workspace(const Workspace *workspace)
{
	StringInfoData	sql;
	QueryParameters parameters = { 0 };
	UserContext		state;
	int64			rows;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT");
	/* an id that is not stored cannot be locked: it was there a moment ago */
	if (!binding_append_row_by_id(&sql, SOURCE_WORKSPACE, "$1"))
		return;
	appendStringInfoString(&sql, " FOR KEY SHARE");
	query_add_text(&parameters, workspace->id);
	user_context_as_table_owner(&state, binding_relid(SOURCE_WORKSPACE));
	rows = query_write(&parameters, sql.data);
	user_context_restore(&state);
	if (rows == 0)
		access_workspace_not_found();
}

/* See access.h. */
void
access_workspace_not_found(void)
{
	ereport(ERROR, (errcode(ERRCODE_FEATUL_NOT_FOUND), errmsg("Workspace not found"),
					errhint("Give the slug of a workspace that exists.")));
}
