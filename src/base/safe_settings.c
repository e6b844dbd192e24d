/*
 * safe_settings.c
 *		The settings that statements and expressions of ours run under.
 */
#include "postgres.h"

#include "utils/guc.h"

#include "base/safe_settings.h"

/* See safe_settings.h. */
int
safe_settings_begin(void)
{
	int nest = NewGUCNestLevel();

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return nest;
}

/* See safe_settings.h. */
void
safe_settings_end(int nest)
{
	AtEOXact_GUC(true, nest);
}
