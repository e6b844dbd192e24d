/*
 * clock.h
 *		Durations: the monotonic clock, and the way from and to times of day.
 *
 * Whatever waits, waits on the monotonic clock, which nobody sets.  A time of
 * day is what tables and people see; where one is read from a table it is
 * bounded, since the clock may have been wrong when it was written.
 */
#ifndef FEATUL_CLOCK_H
#define FEATUL_CLOCK_H

#include "utils/timestamp.h"

/* A moment on the monotonic clock, in microseconds; 0 stands for never or none. */
typedef int64 Moment;

/* A moment that has passed: for what is due at once. */
#define MOMENT_PAST INT64CONST(1)

/* Now. */
extern Moment clock_now(void);

static inline Moment
clock_after_ms(Moment moment, int64 ms)
{
	return moment + ms * 1000;
}

/* The earlier of two moments, 0 meaning never. */
static inline Moment
clock_earlier(Moment a, Moment b)
{
	return a == 0 ? b : b == 0 ? a : Min(a, b);
}

/*
 * When a time of day will be, as a moment: not before now and at most so many
 * milliseconds from now.  0 stays 0.
 */
extern Moment clock_of_timestamp(TimestampTz at, Moment now, int64 max_ms);

/* What time of day a moment is, as far as is known now.  0 stays 0. */
extern TimestampTz clock_timestamp_of(Moment moment, Moment now);

#endif /* FEATUL_CLOCK_H */
