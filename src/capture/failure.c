/*
 * failure.c
 *		Failing without breaking the application's statement.
 */
#include "postgres.h"

#include "application/binding.h"
#include "capture/failure.h"
#include "process/stats.h"

/*
 * True the first time in this session, since attach was run, that this source
 * fails in this way.
 */
static bool
is_new_failure(Source source, int sqlstate)
{
	static struct
	{
		Source source;
		int	   sqlstate;
	} known[64];
	static int	  n_known = 0;
	static uint64 epoch = 0;

	if (epoch != binding_epoch())
		n_known = 0;
	epoch = binding_epoch();
	for (int i = 0; i < n_known; i++)
		if (known[i].source == source && known[i].sqlstate == sqlstate)
			return false;
	if (n_known == lengthof(known))
		return false;
	known[n_known].source = source;
	known[n_known++].sqlstate = sqlstate;
	return true;
}

/*
 * Whether the detail may be shown to whoever has changed the application's rows: where a row
 * of our own violates something it says what is in it, an integration's secret included.
 */
static bool
may_show_detail(const ErrorData *error)
{
	return error->detail && ERRCODE_TO_CATEGORY(error->sqlerrcode) !=
								ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION;
}

/* See failure.h. */
void
failure_report(Source source, const ErrorData *error)
{
	stats_count_failed(error->message);
	if (is_new_failure(source, error->sqlerrcode))
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("could not capture changes of \"%s\": %s",
						source_definitions[source].name, error->message),
				 may_show_detail(error) ? errdetail_internal("%s", error->detail) : 0,
				 error->hint ? errhint("%s", error->hint) : 0));
}
