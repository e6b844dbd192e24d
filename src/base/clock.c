/*
 * clock.c
 *		Durations: the monotonic clock.
 */
#include "postgres.h"

#include <time.h>

#include "base/clock.h"

/* See clock.h. */
Moment
clock_now(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_MONOTONIC, &now);
	/* one more, so that it is never 0 */
	return (Moment) now.tv_sec * 1000000 + now.tv_nsec / 1000 + 1;
}

/* See clock.h. */
Moment
clock_of_timestamp(TimestampTz at, Moment now, int64 max_ms)
{
	TimestampTz here = GetCurrentTimestamp();

	if (at == 0)
		return 0;
	if (at <= here)
		return now;
	return now + Min(at - here, max_ms * 1000);
}

/* See clock.h. */
TimestampTz
clock_timestamp_of(Moment moment, Moment now)
{
	return moment == 0 ? 0 : GetCurrentTimestamp() + (moment - now);
}
