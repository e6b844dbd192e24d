/*
 * scenarios.c
 *		Endpoints that answer in a certain order, and what must come of it.
 *
 * Each is a promise of docs/reliability.md or docs/receivers.md that is about time:
 * holds, the breaker, failing for days, clocks.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/settings.h"
#include "world.h"

/* A world of sites that have answered a few requests already, with so much pending. */
static World *
make_world(int n_sites, const char *type, int pending)
{
	World *world = world_create(7, n_sites);

	for (int i = 0; i < n_sites; i++)
		world->sites[i].integration.type = (char *) type;
	world_restart(world);
	for (int i = 0; i < n_sites; i++)
		for (int n = 0; n < 12; n++)
		{
			Delivery *delivery;

			world_queue(world, &world->sites[i], n);
			delivery = world_take(world);
			CHECK(delivery != NULL, "nothing is sent");
			world_pass(world, 5 * MS);
			world_answer(world, delivery, VERDICT_DELIVERED, -1);
		}
	for (int i = 0; i < n_sites; i++)
		for (int n = 0; n < pending; n++)
			world_queue(world, &world->sites[i], 100 + n);
	return world;
}

/* Nothing goes out within a time, and something right after it. */
static void
check_waits(World *world, int64 us, const char *why)
{
	world_pass(world, us - 10 * MS);
	CHECK(world_take(world) == NULL, "%s: something was sent", why);
	world_pass(world, 20 * MS);
	CHECK(world_take(world) != NULL, "%s: nothing was sent in the end", why);
}

/* Fails whatever goes out, so many times. */
static void
fail(World *world, int times, int64 pause)
{
	for (int i = 0; i < times; i++)
	{
		Delivery *delivery;
		int		  waits = 0;

		while ((delivery = world_take(world)) == NULL)
		{
			CHECK(++waits < 10000, "nothing is sent any more");
			world_pass(world, pause);
		}
		world_pass(world, MS);
		world_answer(world, delivery, VERDICT_RETRY, -1);
	}
}

/* A success of a request that started before the 429 ends no hold. */
static void
hold_outlasts_older_success(void)
{
	World	 *world = make_world(1, "webhook", 4);
	Delivery *a = world_take(world);
	Delivery *b = world_take(world);

	world_pass(world, 10 * MS);
	world_answer(world, b, VERDICT_HOLD, 30000);
	world_pass(world, 10 * MS);
	world_answer(world, a, VERDICT_DELIVERED, -1);
	check_waits(world, 30 * SECOND - 10 * MS, "a hold of 30 s");
	world_destroy(world);
}

/* A burst of 429s is one hold, with a value or without. */
static void
parallel_holds_are_one(void)
{
	World	 *world = make_world(1, "webhook", 20);
	Delivery *burst[8];

	for (int i = 0; i < lengthof(burst); i++)
		CHECK((burst[i] = world_take(world)) != NULL, "there are not eight at a time");
	for (int i = 0; i < lengthof(burst); i++)
	{
		world_pass(world, MS);
		world_answer(world, burst[i], VERDICT_HOLD, -1);
	}
	CHECK(world_take(world) == NULL, "a hold without a value is none");
	world_pass(world, 12 * SECOND);
	CHECK(world_take(world) != NULL, "eight 429s at once are more than one hold");
	world_destroy(world);
}

/* Holds use up no attempt for a day, and then each does. */
static void
holds_end_after_a_day(void)
{
	World *world = make_world(1, "webhook", 1);
	Moment start = world->now;

	while (world->sites[0].count > 0)
	{
		Delivery *delivery = world_take(world);

		CHECK(world->now < start + 30 * HOUR, "a delivery is held for more than a day");
		if (delivery)
			world_answer(world, delivery, VERDICT_HOLD, 3600000);
		world_pass(world, MINUTE);
	}
	CHECK(world->now > start + 24 * HOUR, "a delivery is held for less than a day");
	world_destroy(world);
}

/* A message that the endpoint will not have holds up no other. */
static void
unwelcome_messages_open_no_breaker(void)
{
	World *world = make_world(1, "webhook", 10);
	Site  *site = &world->sites[0];
	int64  delivered = 0;
	int64  large = site->rows[4].row.id; /* the first five */

	for (int i = 0; i < 60; i++)
	{
		Delivery *delivery;

		while ((delivery = world_take(world)) != NULL)
		{
			bool refused = delivery->key.id <= large;

			delivered += !refused;
			world_pass(world, MS);
			world_answer(world, delivery, refused ? VERDICT_UNWELCOME : VERDICT_DELIVERED,
						 -1);
		}
		if (i == 1)
			CHECK(delivered == 5, "messages wait for others that are refused");
		world_pass(world, SECOND);
	}
	CHECK(site->count == 0, "a refused message is tried more than three times");
	world_destroy(world);
}

/* A probe goes to what was never tried. */
static void
probes_go_to_the_untried(void)
{
	World	 *world = make_world(1, "webhook", 5);
	Site	 *site = &world->sites[0];
	Delivery *delivery;
	int64	  untried;

	fail(world, 10, SECOND);
	world_pass(world, HOUR);
	world_queue(world, site, 200);
	untried = world->last_id;
	delivery = world_take(world);
	CHECK(delivery != NULL && delivery->key.id == untried,
		  "the probe went to a delivery that had failed before");
	CHECK(world_take(world) == NULL, "more than one probe is out");
	world_answer(world, delivery, VERDICT_DELIVERED, -1);
	CHECK(world_take(world) != NULL, "the breaker stays open after a success");
	world_destroy(world);
}

/* What started before the endpoint began to fail, or to succeed again, changes nothing. */
static void
older_answers_change_no_series(void)
{
	World	 *world = make_world(1, "webhook", 30);
	Delivery *old = world_take(world);
	Lane	 *lane = old->key.lane;

	world_pass(world, MS);
	fail(world, 2, SECOND);
	world_answer(world, old, VERDICT_DELIVERED, -1);
	CHECK(lane->failures == 2, "an older success ends failures");
	fail(world, 8, SECOND);
	CHECK(lane_breaker_open(lane), "ten failures open no breaker");

	world_pass(world, HOUR);
	old = world_take(world);
	world_pass(world, MS);
	world_answer(world, old, VERDICT_DELIVERED, -1);
	CHECK(!lane_breaker_open(lane), "a success leaves the breaker open");
	for (int i = 0; i < 6; i++)
		world_answer(world, world_take(world), VERDICT_DELIVERED, -1);
	old = world_take(world);
	world_pass(world, MS);
	fail(world, 1, SECOND);
	world_answer(world, world_take(world), VERDICT_DELIVERED, -1);
	CHECK(lane->failures == 0, "a younger success ends no failures");
	world_answer(world, old, VERDICT_RETRY, -1);
	CHECK(lane->failures == 0, "an older failure begins a series");
	world_destroy(world);
}

/* Two incidents, five days apart, are not five days of failing. */
static void
five_days_are_not_two_incidents(void)
{
	World	*world = make_world(1, "webhook", 40);
	GoneLane gone;

	fail(world, 5, SECOND);
	CHECK(!lane_next_gone(world->dispatch, &gone), "it is gone at once");
	world_pass(world, 5 * DAY + MINUTE);
	fail(world, 1, SECOND);
	CHECK(!lane_next_gone(world->dispatch, &gone), "two incidents make it gone");
	fail(world, 2, SECOND);
	CHECK(lane_next_gone(world->dispatch, &gone), "it is not gone after five days");
	world_destroy(world);
}

/* The same over a restart: what was counted is kept. */
static void
failing_days_outlast_a_restart(void)
{
	World	*world = make_world(1, "webhook", 40);
	GoneLane gone;

	fail(world, 5, SECOND);
	world_pass(world, 2 * SECOND);
	fail(world, 1, SECOND);
	world_restart(world);
	world_pass(world, 5 * DAY + MINUTE);
	fail(world, 3, SECOND);
	CHECK(lane_next_gone(world->dispatch, &gone), "a restart forgets that it fails");
	world_destroy(world);
}

/* The clock is set: what waits, waits as long as it was told. */
static void
clocks_may_be_set(void)
{
	static const int64 jumps[] = { -120 * SECOND, DAY, -DAY };

	for (int i = 0; i < lengthof(jumps); i++)
	{
		World *world = make_world(1, "webhook", 3);

		world_answer(world, world_take(world), VERDICT_HOLD, 1000);
		world->time_offset += jumps[i];
		check_waits(world, SECOND, "a hold of 1 s");
		world_destroy(world);
	}
}

/* What was stored while the clock was wrong is believed within bounds. */
static void
stored_times_are_bounded(void)
{
	World *world = make_world(1, "webhook", 3);

	world->sites[0].integration.hold_until = world->now + world->time_offset + 30 * DAY;
	world_restart(world);
	check_waits(world, HOUR, "a hold of a month");
	world_destroy(world);
}

/* A hold for all of a channel holds all of it, and nobody else. */
static void
channel_holds_hold_the_channel(void)
{
	World  *world = make_world(3, "discord", 3);
	Verdict verdict = { .kind = VERDICT_HOLD, .hold_ms = 20000, .holds_channel = true };

	world_settle(world, world_take(world), &verdict);
	check_waits(world, 20 * SECOND, "a hold of all Discord integrations");
	world_destroy(world);

	world = make_world(2, "webhook", 3);
	verdict.holds_channel = false;
	world_settle(world, world_take(world), &verdict);
	CHECK(world_take(world) != NULL, "one integration's hold holds another");
	world_destroy(world);
}

/* Also if the integration that was told so has been connected again meanwhile. */
static void
channel_holds_outlast_connecting_again(void)
{
	World	 *world = make_world(3, "discord", 3);
	Delivery *delivery = world_take(world);
	Verdict	  verdict = { .kind = VERDICT_HOLD, .hold_ms = 20000, .holds_channel = true };

	for (int i = 0; i < world->n_sites; i++)
		world->sites[i].integration.updated_at++;
	world_configure(world);
	world_settle(world, delivery, &verdict);
	check_waits(world, 20 * SECOND, "a hold that an older connection was told of");
	world_destroy(world);
}

/* It is as long as it was said, however long its integration is held by itself. */
static void
channel_holds_are_their_own(void)
{
	World	 *world = make_world(1, "discord", 4);
	Delivery *a = world_take(world);
	Delivery *b = world_take(world);
	Verdict	  all = { .kind = VERDICT_HOLD, .hold_ms = 1000, .holds_channel = true };

	world_pass(world, 10 * MS);
	world_answer(world, a, VERDICT_HOLD, 3600000);
	world_settle(world, b, &all);
	CHECK(dispatch_channel_hold(world->dispatch, channel_find("discord")) <=
			  world->now + SECOND,
		  "one integration's hold became everybody's");
	world_destroy(world);
}

/* Also where it was not said for how long. */
static void
channel_holds_need_no_time(void)
{
	World  *world = make_world(3, "discord", 3);
	Verdict verdict = { .kind = VERDICT_HOLD, .hold_ms = -1, .holds_channel = true };

	world_settle(world, world_take(world), &verdict);
	world_pass(world, 7 * SECOND);
	CHECK(world_take(world) == NULL, "a hold without a time holds one integration only");
	world_pass(world, 6 * SECOND);
	CHECK(world_take(world) != NULL, "a hold without a time does not end");
	world_destroy(world);
}

/* What another process was told holds here as well, and ends. */
static void
channel_holds_come_from_elsewhere(void)
{
	World		  *world = make_world(2, "discord", 3);
	const Channel *channel = channel_find("discord");

	dispatch_hold_channel(world->dispatch, channel, world->now + 20 * SECOND);
	dispatch_hold_channel(world->dispatch, channel, world->now + SECOND);
	check_waits(world, 20 * SECOND, "a hold that another process was told of");
	world_destroy(world);
}

/* A 429, failures, and days later another 429: that is no series of holds. */
static void
failures_end_a_series_of_holds(void)
{
	World	 *world = make_world(1, "webhook", 1);
	Delivery *delivery;

	world_answer(world, world_take(world), VERDICT_HOLD, 1000);
	world_pass(world, 2 * SECOND);
	fail(world, 3, SECOND);
	CHECK(world->sites[0].count == 0, "three failures are not the end");
	world_pass(world, 2 * DAY);
	world_queue(world, &world->sites[0], 1);
	delivery = world_take(world);
	world_answer(world, delivery, VERDICT_HOLD, 1000);
	CHECK(delivery->attempts == 0, "the first 429 in two days uses up an attempt");
	world_destroy(world);
}

/*
 * Of a thousand endpoints that were never tried and hang, one after the other is tried;
 * one that comes later, and answers, need not wait for all of them, nor does the one that
 * came last before it wait for ever.
 */
static void
newcomers_find_a_place(void)
{
	World *world = world_create(7, 1002);
	Site  *early = &world->sites[1000];
	Site  *late = &world->sites[1001];

	for (int i = 0; i < 1000; i++)
		world->sites[i].nature = HANGING;
	early->response = late->response = 20 * MS;
	world_restart(world);
	for (int i = 0; i <= 1000; i++)
		world_queue(world, &world->sites[i], 1);
	world_run(world, 3 * SECOND);
	world_queue(world, late, 1);
	world_run(world, 7 * SECOND + 100 * MS);
	CHECK(late->count == 0 || late->rows[0].is_done,
		  "a newcomer waits longer than for one time-out");
	world_run(world, 220 * SECOND);
	CHECK(early->count == 0 || early->rows[0].is_done,
		  "a newcomer waits longer than for all that came before");
	world_destroy(world);
}

/* What was put back was not answered: in a mass outage the lane is doubted all the same. */
static void
what_is_put_back_is_no_answer(void)
{
	World	 *world = make_world(1, "webhook", 3);
	Delivery *delivery = world_take(world);
	Lane	 *lane = delivery->key.lane;

	world_pass(world, MS);
	dispatch_put_back(delivery);
	CHECK(lane->answered_at < world->now,
		  "a delivery that was put back counts as an answer");
	world_destroy(world);
}

/* An endpoint that is gone says so for itself, and not for what has succeeded since. */
static void
gone_speaks_for_its_time(void)
{
	World	 *world = make_world(1, "webhook", 3);
	Delivery *delivery = world_take(world);
	Lane	 *lane = delivery->key.lane;

	world_pass(world, 10 * MS);
	lane_recover(lane); /* a test that succeeded */
	world_answer(world, delivery, VERDICT_GONE, -1);
	CHECK(lane->state == LANE_ACTIVE, "an older request makes the integration inactive");
	world_pass(world, MINUTE);
	delivery = world_take(world);
	CHECK(delivery != NULL, "nothing is sent any more");
	world_pass(world, MS);
	world_answer(world, delivery, VERDICT_GONE, -1);
	CHECK(lane->state != LANE_ACTIVE, "what is gone is not believed");
	world_destroy(world);
}

/* Connecting and disconnecting leaves nothing. */
static void
lanes_leave_nothing(void)
{
	World *world = make_world(4, "webhook", 0);
	Size   before = 0;

	for (int i = 0; i < 5000; i++)
	{
		ClosingLane closing;

		world->sites[3].is_gone = i % 2 == 0;
		world_configure(world);
		while (roster_next_closing(world->dispatch, &closing))
			roster_cancelled(closing.lane, 0, 1000);
		world_pass(world, MS);
		if (i == 100)
			before = MemoryContextMemAllocated(world->dispatch->context, true);
	}
	CHECK(MemoryContextMemAllocated(world->dispatch->context, true) == before,
		  "connecting and disconnecting takes memory");
	world_destroy(world);
}

#define SCENARIO(name)                                                                   \
	{                                                                                    \
#name, name                                                                      \
	}

static const struct
{
	const char *name;
	void (*run)(void);
} scenarios[] = {
	SCENARIO(hold_outlasts_older_success),
	SCENARIO(parallel_holds_are_one),
	SCENARIO(holds_end_after_a_day),
	SCENARIO(unwelcome_messages_open_no_breaker),
	SCENARIO(probes_go_to_the_untried),
	SCENARIO(older_answers_change_no_series),
	SCENARIO(five_days_are_not_two_incidents),
	SCENARIO(failing_days_outlast_a_restart),
	SCENARIO(clocks_may_be_set),
	SCENARIO(stored_times_are_bounded),
	SCENARIO(channel_holds_hold_the_channel),
	SCENARIO(channel_holds_outlast_connecting_again),
	SCENARIO(channel_holds_are_their_own),
	SCENARIO(channel_holds_need_no_time),
	SCENARIO(channel_holds_come_from_elsewhere),
	SCENARIO(failures_end_a_series_of_holds),
	SCENARIO(newcomers_find_a_place),
	SCENARIO(what_is_put_back_is_no_answer),
	SCENARIO(gone_speaks_for_its_time),
	SCENARIO(lanes_leave_nothing),
};

/* Error context: which one it is about. */
static void
name_scenario(void *name)
{
	errcontext("scenario %s", (const char *) name);
}

void
scenarios_run(void)
{
	for (int i = 0; i < lengthof(scenarios); i++)
	{
		ErrorContextCallback callback = { .previous = error_context_stack,
										  .callback = name_scenario,
										  .arg = (void *) scenarios[i].name };

		error_context_stack = &callback;
		scenarios[i].run();
		error_context_stack = callback.previous;
	}
}
