/*
 * fault.c
 *		Errors on demand, to test what becomes of them.
 */
#include "postgres.h"

#include "utils/guc.h"

#include "base/fault.h"

#ifdef USE_ASSERT_CHECKING

static char *setting_fault;
static int	 passes =
	0; /* through the place since it was set; -1: it has raised its error */

/* GUC assign hook: begins anew. */
static void
assign_fault(const char *value, void *extra)
{
	passes = 0;
}

/* See fault.h. */
void
fault_define_setting(void)
{
	DefineCustomStringVariable(
		"featul_integrations.fault",
		"Place that raises an error when it is passed, or another bound.", NULL,
		&setting_fault, "", PGC_SIGHUP, GUC_NOT_IN_SAMPLE | GUC_NO_SHOW_ALL, NULL,
		assign_fault, NULL);
}

/* See fault.h. */
void
fault(const char *place)
{
	size_t		length = strlen(place);
	const char *rest = setting_fault + length;

	if (passes < 0 || strncmp(setting_fault, place, length) != 0 ||
		(*rest != '\0' && *rest != ':'))
		return;
	if (++passes < (*rest == ':' ? atoi(rest + 1) : 1))
		return;
	passes = -1;
	elog(ERROR, "fault while %s", place);
}

/* See fault.h. */
int
fault_bound(const char *bound, int otherwise)
{
	size_t length = strlen(bound);

	if (strncmp(setting_fault, bound, length) != 0 || setting_fault[length] != ':')
		return otherwise;
	return atoi(setting_fault + length + 1);
}

#endif
