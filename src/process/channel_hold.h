/*
 * channel_hold.h
 *		Holds that are for all of a server: what one of its workers was told, all know.
 */
#ifndef FEATUL_CHANNEL_HOLD_H
#define FEATUL_CHANNEL_HOLD_H

#include "base/clock.h"

/* Channels that there can be, numbered from 0. */
#define CHANNEL_HOLDS_MAX 8

/* Requests shared memory; called from _PG_init while preloading. */
extern void channel_hold_init(void);

/*
 * A channel is held until then (0: not as far as is known here).  Returns until when
 * it is held after all that anybody has said, at most max_ms from now.
 */
extern Moment channel_hold_share(int channel, Moment until, int64 max_ms);

#endif /* FEATUL_CHANNEL_HOLD_H */
