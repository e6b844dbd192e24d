/*
 * featul_integrations.c
 *		The module: settings, shared memory and background processes are set
 *		up here, and nowhere else.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "process/apply_status.h"
#include "process/channel_hold.h"
#include "process/utility_hook.h"
#include "process/launcher.h"
#include "base/settings.h"
#include "capture/nesting.h"
#include "process/slots.h"
#include "process/stats.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	settings_define();
	nesting_init();
	if (!process_shared_preload_libraries_in_progress)
		return;
	slots_init();
	stats_init();
	channel_hold_init();
	apply_status_init();
	utility_hook_init();
	launcher_register();
}
