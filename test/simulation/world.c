/*
 * world.c
 *		A world for what decides about deliveries: see world.h.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/memutils.h"

#include "base/settings.h"
#include "world.h"

#define TIMEOUT (10 * SECOND)

/* Rows that a lane reads before others get their turn, as in the worker. */
#define READ_BATCH 16

/* The settings, as they are by default, and the channel: what is simulated knows no more. */
int setting_request_timeout = 10000;
int setting_max_attempts = 3;
int setting_retry_delay = 10000;
int setting_max_in_flight = 256;
int setting_max_in_flight_per_integration = 8;

bool
settings_may_deliver(void)
{
	return true;
}

static const Channel channels[] = { { .type = "webhook" },
									{ .type = "discord" },
									{ .type = "chat", .merges = true } };

const Channel *
channel_find(const char *type)
{
	for (int i = 0; i < lengthof(channels); i++)
		if (strcmp(type, channels[i].type) == 0)
			return &channels[i];
	return NULL;
}

/* What merges: on one post, on none, and with what another may mention. */
static const EventKind kinds[] = { EVENT_POST_UPVOTED, EVENT_POST_CREATED,
								   EVENT_COMMENT_CREATED, EVENT_COMMENT_MENTION };

int64
world_random(World *world, int64 n)
{
	world->random ^= world->random << 13;
	world->random ^= world->random >> 7;
	world->random ^= world->random << 17;
	return (world->random >> 11) % n;
}

static void
set_time(World *world)
{
	dispatch_set_time(world->dispatch, world->now, world->now + world->time_offset);
}

/* pairingheap_comparator: the earliest first. */
static int
compare_answers(const pairingheap_node *a, const pairingheap_node *b, void *unused)
{
	Moment x = pairingheap_const_container(Answer, node, a)->at;
	Moment y = pairingheap_const_container(Answer, node, b)->at;

	return x < y ? 1 : x > y ? -1 : 0;
}

World *
world_create(uint64 seed, int n_sites)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "world", ALLOCSET_DEFAULT_SIZES);
	World *world;

	MemoryContextSwitchTo(context);
	world = palloc0(sizeof(World));
	world->context = context;
	world->random = seed * UINT64CONST(0x9E3779B97F4A7C15) + 1;
	world->now = HOUR;
	world->time_offset = GetCurrentTimestamp() - world->now;
	world->n_sites = n_sites;
	world->sites = palloc0(n_sites * sizeof(Site));
	world->answers = pairingheap_allocate(compare_answers, NULL);
	pg_prng_seed(&pg_global_prng_state, seed);
	for (int i = 0; i < n_sites; i++)
	{
		Site *site = &world->sites[i];

		site->index = i;
		site->posts = 1000;
		memcpy(site->integration.id.data, &i, sizeof(i));
		site->integration.workspace_id = psprintf("w%d", i);
		site->integration.type = "webhook";
		site->integration.webhook_url = psprintf("https://%d.example.com/", i);
		site->integration.is_active = site->integration.is_ours = true;
		site->integration.updated_at = 1;
		site->integration.response_ms = -1;
		site->room = 16;
		site->rows = palloc(site->room * sizeof(Row));
	}
	return world;
}

void
world_destroy(World *world)
{
	dispatch_destroy(world->dispatch);
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextDelete(world->context);
}

/* ------------------------------------------------------------------------
 * The queue
 * ------------------------------------------------------------------------ */

/* The index of the first row of a site with at least this id. */
static int
find_row(const Site *site, int64 id)
{
	int low = 0, high = site->count;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (site->rows[middle].row.id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The row of a delivery, which must be there. */
static Row *
row_of(Site *site, int64 id)
{
	int i = find_row(site, id);

	CHECK(i < site->count && site->rows[i].row.id == id,
		  "delivery " INT64_FORMAT " is not in the queue", id);
	return &site->rows[i];
}

void
world_queue(World *world, Site *site, int64 post)
{
	Row *row;

	if (site->count == site->room)
	{
		site->room *= 2;
		site->rows = repalloc_huge(site->rows, site->room * sizeof(Row));
	}
	row = &site->rows[site->count++];
	*row = (Row){ .queued_at = world->now };
	row->row.integration_id = site->integration.id;
	row->row.id = row->row.event.id = ++world->last_id;
	row->row.kind =
		site->kinds > 0 ? kinds[world_random(world, site->kinds)] : EVENT_COUNT;
	row->row.xid = 1;
	row->row.post = post >= 0 ? post : world_random(world, site->posts);
	if (world->dispatch)
		window_new(world->dispatch, &row->row);
}

/* The site of a delivery. */
static Site *
site_of(World *world, const pg_uuid_t *id)
{
	int index;

	memcpy(&index, id->data, sizeof(index));
	return &world->sites[index];
}

/* What the worker does with settlements: records them, and says so. */
static void
record_settlements(World *world)
{
	ListCell *cell;

	foreach (cell, world->unsettled)
	{
		Settlement *settlement = lfirst(cell);
		Site	   *site = site_of(world, &settlement->integration_id);
		Row		   *row = row_of(site, settlement->id);

		if (settlement->ends)
		{
			int i = row - site->rows;

			if (site->is_observed && strcmp(settlement->state, "delivered") == 0)
			{
				if ((site->n_took & (site->n_took - 1)) == 0)
					site->took =
						site->took ? repalloc_huge(site->took, Max(2 * site->n_took, 16) *
																   sizeof(int64))
								   : palloc(16 * sizeof(int64));
				site->took[site->n_took++] =
					settlement->at - world->time_offset - row->queued_at;
			}
			memmove(row, row + 1, (site->count - i - 1) * sizeof(Row));
			site->count--;
			site->ended++;
			world->ended++;
		}
		else
		{
			row->row.attempts = settlement->attempts;
			row->row.next_attempt_at = settlement->next_attempt_at;
		}
		outcome_settled(settlement);
		pfree(settlement);
	}
	list_free(world->unsettled);
	world->unsettled = NIL;
}

/* Likewise health. */
static void
save_health(World *world)
{
	int			  count;
	HealthChange *changes = lane_health_due(world->dispatch, 500, &count);

	for (int i = 0; i < count; i++)
	{
		HealthChange *change = &changes[i];
		Integration	 *integration = &site_of(world, &change->integration_id)->integration;

		integration->failures = change->failures;
		integration->failing_since = change->failing_since;
		integration->failing_days = change->failing_days;
		integration->held_since = change->held_since;
		integration->hold_until = change->hold_until;
		integration->response_ms = change->response_ms;
		change->saved = true;
	}
	lane_health_saved(world->dispatch, changes, count);
	if (changes)
		pfree(changes);
}

/* What the worker reads. */
static void
read_lanes(World *world)
{
	RowsWanted wanted;

	for (int n = 0; n < READ_BATCH && window_next_wanted(world->dispatch, &wanted); n++)
	{
		Site	 *site = site_of(world, &wanted.integration_id);
		int		  i = find_row(site, wanted.after + 1);
		QueueRows rows = { .count = Min(wanted.limit, site->count - i) };

		rows.rows = palloc((rows.count + 1) * sizeof(QueueRow));
		for (int j = 0; j < rows.count; j++)
			rows.rows[j] = site->rows[i + j].row;
		window_take_rows(&wanted, &rows);
		pfree(rows.rows);
	}
}

void
world_configure(World *world)
{
	Integrations integrations = { 0 };
	Delivery	*delivery;

	integrations.rows = palloc(world->n_sites * sizeof(Integration));
	for (int i = 0; i < world->n_sites; i++)
		if (!world->sites[i].is_gone)
			integrations.rows[integrations.count++] = world->sites[i].integration;
	set_time(world);
	roster_take(world->dispatch, &integrations);
	pfree(integrations.rows);
	while ((delivery = roster_next_abort(world->dispatch)) != NULL)
	{
		ListCell *cell;

		foreach (cell, world->in_flight)
			if (((Answer *) lfirst(cell))->delivery == delivery)
				((Answer *) lfirst(cell))->aborted = true;
	}
}

void
world_restart(World *world)
{
	while (!pairingheap_is_empty(world->answers))
		pfree(pairingheap_container(Answer, node,
									pairingheap_remove_first(world->answers)));
	list_free(world->in_flight);
	list_free_deep(world->unsettled);
	world->in_flight = world->unsettled = NIL;
	dispatch_destroy(world->dispatch);
	world->dispatch = dispatch_create();
	set_time(world);
	for (int i = 0; i < world->n_sites; i++)
	{
		Site *site = &world->sites[i];

		site->in_flight = 0;
		for (int j = 0; j < site->count; j++)
			site->rows[j].in_flight = site->rows[j].is_done = false;
		window_unread(world->dispatch, &site->integration.id, 0);
	}
	world_configure(world);
}

/* ------------------------------------------------------------------------
 * Sending
 * ------------------------------------------------------------------------ */

/* Order, and one message at a time: a delivery that goes out with it must be allowed to. */
static void
check_delivery(World *world, Site *site, int64 id)
{
	Row *row = row_of(site, id);

	for (Row *other = site->rows; other < site->rows + site->count; other++)
	{
		if (other->row.post != row->row.post || other->is_done)
			continue;
		if (other->in_flight && other->message == world->sent)
			continue;
		CHECK(!other->in_flight, "two messages about one post are in flight");
		CHECK(other->row.id >= row->row.id, "a delivery overtakes an earlier one");
		break; /* the first of the post is all that matters: the others come later */
	}
	row->in_flight = true;
	row->message = world->sent;
}

/* Likewise all of them, and the bounds. */
static void
check_sending(World *world, Site *site, const Outgoing *outgoing)
{
	const Flight *flight = outgoing->delivery->flight;
	dlist_iter	  iter;

	world->sent++;
	check_delivery(world, site, outgoing->id);
	dlist_foreach (iter, (dlist_head *) &flight->merged)
		check_delivery(world, site, dlist_container(Delivery, node, iter.cur)->key.id);
	CHECK(outgoing->count == 1 + flight->n_merged && outgoing->n_told <= outgoing->count,
		  "a message of %d tells %d", outgoing->count, outgoing->n_told);
	world->merged += flight->n_merged;
	site->in_flight++;
	CHECK(site->in_flight <= setting_max_in_flight_per_integration,
		  "an integration has %d requests in flight", site->in_flight);
	CHECK(list_length(world->in_flight) < setting_max_in_flight,
		  "there are more requests in flight than allowed");
}

/* How long the site takes to answer. */
static int64
response_time(World *world, Site *site)
{
	switch (site->nature)
	{
		case HANGING:
			return TIMEOUT;
		case NOISY:
			return site->response * (1 + world_random(world, 5));
		case MOODY:
			return Min(TIMEOUT, (int64) 1000 << world_random(world, 15));
		default:
			return site->response;
	}
}

/* Sends what dispatch says. */
static void
send_deliveries(World *world)
{
	Outgoing outgoing;

	for (int n = 0; n < 64 && dispatch_next(world->dispatch, &outgoing); n++)
	{
		Answer *answer;
		Site   *site = site_of(world, &outgoing.delivery->key.lane->id);

		if (outgoing.may_take)
			dispatch_take(&outgoing, world_random(world, outgoing.n_told));
		check_sending(world, site, &outgoing);
		answer = palloc0(sizeof(Answer));
		answer->delivery = outgoing.delivery;
		answer->site = site;
		answer->started_at = world->now;
		answer->at = world->now + response_time(world, site);
		pairingheap_add(world->answers, &answer->node);
		world->in_flight = lappend(world->in_flight, answer);
	}
	world->most_in_flight = Max(world->most_in_flight, list_length(world->in_flight));
}

/* The consequences of an attempt. */
static void
settle(World *world, Site *site, Delivery *delivery, const Attempt *attempt)
{
	int			 count = outcome_count(delivery);
	Settlement **settlements = palloc(count * sizeof(Settlement *));

	site->in_flight--;
	for (int i = 0; i < count; i++)
		settlements[i] = palloc0(sizeof(Settlement));
	outcome_of_attempt(delivery, attempt, settlements);
	for (int i = 0; i < count; i++)
	{
		Row *row = row_of(site, settlements[i]->id);

		CHECK(row->in_flight && row->message == row_of(site, settlements[0]->id)->message,
			  "what did not go out is settled");
		CHECK(settlements[i]->ends || settlements[i]->next_attempt_at == 0 ||
				  settlements[i]->next_attempt_at >= settlements[i]->at,
			  "an attempt is due before it failed");
		row->in_flight = false;
		row->is_done = settlements[i]->ends;
		world->unsettled = lappend(world->unsettled, settlements[i]);
	}
	pfree(settlements);
}

/* What the site makes of a request. */
static Attempt
attempt_at(World *world, const Answer *answer)
{
	static const VerdictKind moods[] = { VERDICT_DELIVERED, VERDICT_DELIVERED,
										 VERDICT_RETRY,		VERDICT_HOLD,
										 VERDICT_REJECTED,	VERDICT_UNWELCOME };
	Attempt attempt = { .duration_ms = (world->now - answer->started_at) / MS };

	attempt.verdict.hold_ms = -1;
	switch (answer->site->nature)
	{
		case GOOD:
		case NOISY:
			attempt.verdict.kind = VERDICT_DELIVERED;
			break;
		case MOODY:
			attempt.verdict.kind = moods[world_random(world, lengthof(moods))];
			if (world_random(world, 2) == 0)
				attempt.verdict.hold_ms = world_random(world, 5000);
			break;
		default:
			attempt.verdict.kind = VERDICT_RETRY;
			break;
	}
	if (attempt.verdict.kind != VERDICT_DELIVERED)
		attempt.verdict.error = "it failed";
	return attempt;
}

/* Takes the answers that have arrived. */
static void
take_answers(World *world)
{
	while (!pairingheap_is_empty(world->answers))
	{
		Answer *answer =
			pairingheap_container(Answer, node, pairingheap_first(world->answers));
		Attempt attempt;

		if (answer->at > world->now)
			break;
		pairingheap_remove_first(world->answers);
		world->in_flight = list_delete_ptr(world->in_flight, answer);
		if (!answer->aborted)
		{
			attempt = attempt_at(world, answer);
			settle(world, answer->site, answer->delivery, &attempt);
		}
		pfree(answer);
	}
}

/* What happens in the application. */
static void
take_events(World *world)
{
	for (int i = 0; i < world->n_sites; i++)
	{
		Site *site = &world->sites[i];

		while (site->count < site->backlog)
			world_queue(world, site, -1);
		if (site->interval == 0 || site->next_event > world->now)
			continue;
		world_queue(world, site, -1);
		/* half of it to half more */
		site->next_event =
			world->now + site->interval / 2 + world_random(world, site->interval + 1);
	}
}

/* When something happens next; 0: never. */
static Moment
next_moment(World *world)
{
	Moment next = dispatch_due(world->dispatch);

	if (!pairingheap_is_empty(world->answers))
		next = clock_earlier(
			next,
			pairingheap_container(Answer, node, pairingheap_first(world->answers))->at);
	for (int i = 0; i < world->n_sites; i++)
		if (world->sites[i].interval > 0)
			next = clock_earlier(next, world->sites[i].next_event);
	return next;
}

/* True if there is something to do without time passing. */
static bool
more_to_do(World *world)
{
	RowsWanted wanted;

	return window_next_wanted(world->dispatch, &wanted);
}

void
world_step(World *world)
{
	Moment next = more_to_do(world) ? world->now : next_moment(world);

	/* what is due in the same moment, more or less, comes together */
	world->now = Max(world->now + MS / 10, next);
	world->steps++;
	set_time(world);
	take_answers(world);
	take_events(world);
	dispatch_advance(world->dispatch);
	read_lanes(world);
	send_deliveries(world);
	/* as the worker does: some time later */
	if (list_length(world->unsettled) > 64 || world_random(world, 4) == 0)
		record_settlements(world);
	save_health(world);
}

void
world_run(World *world, int64 us)
{
	Moment end = world->now + us;

	while (world->now < end)
		world_step(world);
}

/* ------------------------------------------------------------------------
 * Step by step
 * ------------------------------------------------------------------------ */

void
world_pass(World *world, int64 us)
{
	world->now += us;
	set_time(world);
	dispatch_advance(world->dispatch);
	read_lanes(world);
}

Delivery *
world_take(World *world)
{
	Outgoing outgoing;
	Site	*site;

	world_pass(world, 0);
	if (!dispatch_next(world->dispatch, &outgoing))
		return NULL;
	site = site_of(world, &outgoing.delivery->key.lane->id);
	check_sending(world, site, &outgoing);
	return outgoing.delivery;
}

void
world_answer(World *world, Delivery *delivery, VerdictKind kind, int64 hold_ms)
{
	Verdict verdict = { .kind = kind, .hold_ms = hold_ms };

	world_settle(world, delivery, &verdict);
}

void
world_settle(World *world, Delivery *delivery, const Verdict *verdict)
{
	Attempt attempt = { .verdict = *verdict };

	CHECK(delivery != NULL, "nothing is sent");
	if (verdict->kind != VERDICT_DELIVERED)
		attempt.verdict.error = "it failed";
	set_time(world);
	settle(world, site_of(world, &delivery->key.lane->id), delivery, &attempt);
	record_settlements(world);
	save_health(world);
}

/* qsort() comparator */
static int
compare_times(const void *a, const void *b)
{
	int64 x = *(const int64 *) a;
	int64 y = *(const int64 *) b;

	return x < y ? -1 : x > y;
}

int64
world_percentile(Site *site, double per_cent)
{
	int n;

	if (site->n_took == 0)
		return 0;
	qsort(site->took, site->n_took, sizeof(int64), compare_times);
	n = (int) (site->n_took * per_cent / 100);
	return site->took[Min(n, site->n_took - 1)];
}
