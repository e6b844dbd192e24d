/*
 * sender.c
 *		Starting requests.
 *
 * dispatch.c says what goes out.  Here the events of a batch of deliveries are
 * read, rendered and given to the network.  One statement for many events is much
 * cheaper than one for each: what the same lanes will send next is read along, and
 * kept.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "lib/ilist.h"

#include "base/compat.h"
#include "channel/channel.h"
#include "channel/message.h"
#include "delivery/sender.h"
#include "delivery/settler.h"
#include "delivery/statement.h"
#include "network/http.h"

/* Requests started before the network gets its turn again. */
#define START_BATCH 64

/* Events read with one statement: of those being started, then of those to come. */
#define EVENT_BATCH 256

/* Events kept for what will be sent soon (bytes), and for how long at most (ms). */
#define MAX_CACHED_BYTES (4 * 1024 * 1024)
#define MAX_CACHED_MS 60000

/* ------------------------------------------------------------------------
 * Events kept for later
 * ------------------------------------------------------------------------ */

/* An event kept for one delivery. */
typedef struct CachedEvent
{
	int64		id; /* hash key: the delivery's */
	EventKey	key;
	Event	   *event;
	TimestampTz since;
	dlist_node	node;
} CachedEvent;

typedef struct EventCache
{
	MemoryContext context; /* of all of it */
	HTAB		 *events;
	dlist_head	  by_age; /* the oldest first */
	Size		  bytes;
} EventCache;

/* Creates a cache in a context of its own. */
static EventCache *
cache_create(void)
{
	MemoryContext context = AllocSetContextCreate(
		TopMemoryContext, "featul_integrations events", ALLOCSET_DEFAULT_SIZES);
	EventCache *cache = MemoryContextAllocZero(context, sizeof(EventCache));
	HASHCTL		info = { .keysize = sizeof(int64),
						 .entrysize = sizeof(CachedEvent),
						 .hcxt = context };

	cache->context = context;
	cache->events =
		hash_create("events", 256, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	dlist_init(&cache->by_age);
	return cache;
}

/* Takes an entry out; its event is the caller's to pfree. */
static Event *
cache_remove(EventCache *cache, CachedEvent *entry)
{
	Event *event = entry->event;

	dlist_delete(&entry->node);
	cache->bytes -= GetMemoryChunkSpace(event);
	hash_search(cache->events, &entry->id, HASH_REMOVE, NULL);
	return event;
}

/* Lets go of what was kept for deliveries that did not go out after all. */
static void
cache_expire(EventCache *cache, TimestampTz now)
{
	while (!dlist_is_empty(&cache->by_age))
	{
		CachedEvent *entry = dlist_head_element(CachedEvent, node, &cache->by_age);

		if (now - entry->since < MAX_CACHED_MS * INT64CONST(1000))
			break;
		pfree(cache_remove(cache, entry));
	}
}

/* The event kept for a delivery, the caller's to pfree from now on; or NULL. */
static Event *
cache_take(EventCache *cache, int64 id, EventKey key)
{
	CachedEvent *entry = hash_search(cache->events, &id, HASH_FIND, NULL);

	if (entry == NULL || entry->key.partition != key.partition || entry->key.id != key.id)
		return NULL;
	return cache_remove(cache, entry);
}

/* Copies a string to *room, which moves on; NULL stays NULL. */
static const char *
copy_string(char **room, const char *string)
{
	char *copy = *room;

	if (string == NULL)
		return NULL;
	strcpy(copy, string);
	*room += strlen(string) + 1;
	return copy;
}

static Size
string_size(const char *string)
{
	return string ? strlen(string) + 1 : 0;
}

/* An event in one piece of memory. */
static Event *
copy_event(MemoryContext context, const Event *event)
{
	Event *copy = MemoryContextAlloc(
		context, sizeof(Event) + string_size(event->name) +
					 string_size(event->webhook_id) + string_size(event->payload) +
					 string_size(event->labels) + string_size(event->traceparent));
	char *room = (char *) (copy + 1);

	*copy = *event;
	copy->name = copy_string(&room, event->name);
	copy->webhook_id = copy_string(&room, event->webhook_id);
	copy->payload = copy_string(&room, event->payload);
	copy->labels = copy_string(&room, event->labels);
	copy->traceparent = copy_string(&room, event->traceparent);
	return copy;
}

/* Keeps a copy of the event of a delivery, unless too much is kept already. */
static void
cache_put(EventCache *cache, int64 id, EventKey key, const Event *event, TimestampTz now)
{
	Event		*copy;
	CachedEvent *entry;
	bool		 found;

	if (cache->bytes >= MAX_CACHED_BYTES)
		return;
	copy = copy_event(cache->context, event);
	entry = hash_search(cache->events, &id, HASH_ENTER, &found);
	if (found)
	{
		cache->bytes -= GetMemoryChunkSpace(entry->event);
		pfree(entry->event);
		dlist_delete(&entry->node);
	}
	entry->key = key;
	entry->event = copy;
	entry->since = now;
	dlist_push_tail(&cache->by_age, &entry->node);
	cache->bytes += GetMemoryChunkSpace(copy);
}

/* ------------------------------------------------------------------------
 * Beginning
 * ------------------------------------------------------------------------ */

/* See sender.h. */
void
sender_reset(Worker *worker)
{
	if (worker->events)
		MemoryContextDelete(worker->events->context);
	worker->events = NULL;
	worker->events = cache_create();
}

/* ------------------------------------------------------------------------
 * A batch
 * ------------------------------------------------------------------------ */

/* What is being started, and the events that are read for it. */
typedef struct Sending
{
	Worker	   *worker;
	TimestampTz now;
	int			count;
	Outgoing outgoing[START_BATCH]; /* delivery NULL once that has succeeded or failed */
	int		 rendering; /* index of the one being rendered: an error is on its account */
	int		 n_events;
	EventKey keys[EVENT_BATCH];
	int		 index[EVENT_BATCH]; /* in outgoing; -1: to be kept */
	int64	 ids[EVENT_BATCH];	 /* of the deliveries */
} Sending;

/*
 * Renders and sends one, which tells an event, and maybe others besides.  What that takes
 * is freed at once: a batch may have many of the largest.
 */
static void
start_delivery(Sending *batch, int index, const Event *event, const Event *others,
			   int n_others)
{
	Outgoing	 *outgoing = &batch->outgoing[index];
	MemoryContext context = AllocSetContextCreate(
		CurrentMemoryContext, "featul_integrations request", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	Event		  whole = *event;
	HttpRequest	  request;

	Assert(outgoing->delivery != NULL);
	batch->rendering = index;
	whole.count = outgoing->count;
	whole.posts = outgoing->posts;
	whole.n_others = n_others;
	whole.others = others;
	channel_request(&outgoing->endpoint, &whole, &request);
	request.tag = outgoing->delivery;
	http_start(batch->worker->http, &request);
	outgoing->delivery = NULL;
	batch->rendering = -1;
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
}

/* Events that are told together, in a context of theirs. */
typedef struct Told
{
	MemoryContext context;
	bool		  in_a_row; /* up to the first that is not kept any more */
	int			  count;
	Event		  events[MAX_TOLD];
} Told;

/* queue_read_events() callback: they come in the order of their keys. */
static void
take_told(int index, const Event *event, void *argument)
{
	Told *told = argument;

	if (index == told->count || !told->in_a_row)
		told->events[told->count++] = *copy_event(told->context, event);
}

/* It could not be sent with others, of which any may be at fault: each goes by itself. */
static void
send_alone(Outgoing *outgoing)
{
	dispatch_put_back_alone(outgoing->delivery);
	outgoing->delivery = NULL;
}

/* Sends one that tells several events. */
static void
start_told(Sending *batch, int index)
{
	Outgoing *outgoing = &batch->outgoing[index];
	Told	 *told = palloc(sizeof(Told));

	told->context = AllocSetContextCreate(
		table_context(), "featul_integrations told events", ALLOCSET_DEFAULT_SIZES);
	/* mentions go with their comment; of a burst the others are told */
	told->in_a_row = outgoing->may_take;
	told->count = 0;
	queue_read_events(outgoing->told, outgoing->n_told, take_told, told);
	batch->rendering = index;
	if (outgoing->may_take && told->count > 0)
	{
		dispatch_take(outgoing, message_mentions(&told->events[0], &told->events[1],
												 told->count - 1));
		told->count = outgoing->n_told;
	}
	if (told->count > 0)
		start_delivery(batch, index, &told->events[0], &told->events[1], told->count - 1);
	else
		send_alone(outgoing);
	batch->rendering = -1;
	MemoryContextDelete(told->context);
	pfree(told);
}

/* Adds an event to those that are to be read. */
static void
want_event(Sending *batch, EventKey key, int64 id, int index)
{
	Assert(batch->n_events < EVENT_BATCH);
	batch->keys[batch->n_events] = key;
	batch->ids[batch->n_events] = id;
	batch->index[batch->n_events] = index;
	batch->n_events++;
}

/* Sends those whose events are here already; the others' are to be read. */
static void
start_cached(Sending *batch)
{
	batch->n_events = 0;
	for (int i = 0; i < batch->count; i++)
	{
		Outgoing *outgoing = &batch->outgoing[i];
		Event	 *event;

		if (outgoing->delivery == NULL || outgoing->n_told > 0)
			continue;
		event = cache_take(batch->worker->events, outgoing->id, outgoing->event);
		if (event)
		{
			start_delivery(batch, i, event, NULL, 0);
			pfree(event);
		}
		else
			want_event(batch, outgoing->event, outgoing->id, i);
	}
}

/* Adds what their lanes will send next. */
static void
look_ahead(Sending *batch)
{
	Delivery *deliveries[START_BATCH];
	Following following[EVENT_BATCH];
	int		  needed = batch->n_events;
	int		  count;

	for (int i = 0; i < needed; i++)
		deliveries[i] = batch->outgoing[batch->index[i]].delivery;
	count = dispatch_following(deliveries, needed, following, EVENT_BATCH - needed);
	for (int i = 0; i < count; i++)
		want_event(batch, following[i].event, following[i].id, -1);
}

/* queue_read_events() callback: sends the event's delivery, or keeps it for later. */
static void
send_or_keep(int index, const Event *event, void *argument)
{
	Sending *batch = argument;

	int outgoing = batch->index[index];

	if (outgoing >= 0)
	{
		/* were an event there twice, it would be sent once */
		if (batch->outgoing[outgoing].delivery)
			start_delivery(batch, outgoing, event, NULL, 0);
	}
	else
		cache_put(batch->worker->events, batch->ids[index], batch->keys[index], event,
				  batch->now);
}

/* Reads the events of what is being started, and sends them. */
static void
start_batch(Sending *batch)
{
	EventCache *cache = batch->worker->events;

	table_begin("sending");
	for (int i = 0; i < batch->count; i++)
		if (batch->outgoing[i].delivery && batch->outgoing[i].n_told > 0)
			start_told(batch, i);
	start_cached(batch);
	if (batch->n_events > 0)
	{
		cache_expire(cache, batch->now);
		if (cache->bytes < MAX_CACHED_BYTES)
			look_ahead(batch);
		queue_read_events(batch->keys, batch->n_events, send_or_keep, batch);
	}
	table_commit();
}

/* Settles one of those being started as failed. */
static void
fail_outgoing(Sending *batch, int index, const char *error)
{
	settler_fail(batch->worker, batch->outgoing[index].delivery, error);
	batch->outgoing[index].delivery = NULL;
}

/*
 * In PG_CATCH: the one that could not be rendered fails, and nothing else does.  Of
 * several that were to be told together any may be at fault: each is tried by itself.
 */
static void
rendering_failed(Sending *batch)
{
	Outgoing  *outgoing = &batch->outgoing[batch->rendering];
	ErrorData *error = recovery_take_error(batch->worker->recovery.context);

	if (outgoing->n_told > 1)
		send_alone(outgoing);
	else
		fail_outgoing(batch, batch->rendering, error->message);
	batch->rendering = -1;
}

/*
 * Tries to start what is left of the batch.  Returns true if there is nothing more
 * to try: then *failed tells whether the database could not be read.
 */
static bool
try_batch(Sending *batch, bool *failed)
{
	volatile bool done = true;

	*failed = false;
	PG_TRY();
	{
		start_batch(batch);
	}
	PG_CATCH();
	{
		if (batch->rendering >= 0)
		{
			rendering_failed(batch);
			done = false;
		}
		else
		{
			recovery_after_error(&batch->worker->recovery);
			*failed = true;
		}
	}
	PG_END_TRY();
	MemoryContextSwitchTo(batch->worker->recovery.context);
	return done;
}

/* See sender.h. */
Moment
sender_due(const Worker *worker)
{
	return dispatch_ready(worker->dispatch) && !settler_stuck(worker) ? MOMENT_PAST : 0;
}

/* See sender.h. */
bool
sender_send(Worker *worker)
{
	TimestampTz now = GetCurrentTimestamp();
	Sending	   *batch;
	bool		failed;

	batch = palloc(sizeof(Sending)); /* large, and little of it is used */
	batch->worker = worker;
	batch->now = now;
	batch->count = 0;
	batch->rendering = -1;
	while (batch->count < START_BATCH &&
		   dispatch_next(worker->dispatch, &batch->outgoing[batch->count]))
		batch->count++;
	while (!try_batch(batch, &failed))
		;
	for (int i = 0; i < batch->count; i++)
	{
		if (batch->outgoing[i].delivery == NULL)
			continue;
		if (failed)
			dispatch_put_back(batch->outgoing[i].delivery);
		else
			fail_outgoing(batch, i, "the event is no longer kept");
	}
	http_work(worker->http);
	return !failed;
}
