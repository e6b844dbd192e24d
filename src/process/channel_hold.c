/*
 * channel_hold.c
 *		Holds that are for all of a server: what one of its workers was told, all know.
 *
 * The monotonic clock is the same in all processes, so a moment can be shared.  Of two
 * holds the longer one counts, and nothing ends one early; so an atomic maximum does.
 * A restart of the server forgets them: then one worker is told anew.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "process/channel_hold.h"

typedef struct ChannelHolds
{
	pg_atomic_uint64 until[CHANNEL_HOLDS_MAX];
} ChannelHolds;

static ChannelHolds *holds = NULL;

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

static void
request_shared_memory(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	RequestAddinShmemSpace(sizeof(ChannelHolds));
}

static void
start_shared_memory(void)
{
	bool found;

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	holds = ShmemInitStruct("featul_integrations channel holds", sizeof(ChannelHolds),
							&found);
	for (int i = 0; !found && i < CHANNEL_HOLDS_MAX; i++)
		pg_atomic_init_u64(&holds->until[i], 0);
	LWLockRelease(AddinShmemInitLock);
}

/* See channel_hold.h. */
void
channel_hold_init(void)
{
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
}

/* See channel_hold.h. */
Moment
channel_hold_share(int channel, Moment until, int64 max_ms)
{
	pg_atomic_uint64 *shared = &holds->until[channel];
	uint64			  known = pg_atomic_read_u64(shared);

	Assert(channel < CHANNEL_HOLDS_MAX);
	while (known < (uint64) until &&
		   !pg_atomic_compare_exchange_u64(shared, &known, (uint64) until))
		;
	return Min((Moment) Max(known, (uint64) until), clock_after_ms(clock_now(), max_ms));
}
