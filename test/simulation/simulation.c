/*
 * simulation.c
 *		Simulates what decides about deliveries: random mixes of endpoints, a million
 *		steps, and what must hold in all of them.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/settings.h"
#include "world.h"

PG_MODULE_MAGIC;

#define BAD_SITES 1000

/* How long those take that are observed (ms). */
static const int observed_ms[] = { 2, 20, 90, 150, 400, 700, 1000, 1500, 2000 };

/* A site that does no good: hanging, slow, failing, with a backlog or without. */
static void
make_bad(World *world, Site *site, int kind)
{
	switch (kind == 4 ? world_random(world, 4) : kind)
	{
		case 0:
			site->nature = HANGING;
			break;
		case 1:
			site->nature = GOOD; /* but slow */
			site->response = (300 + world_random(world, 8000)) * MS;
			break;
		case 2:
			site->nature = FAILING;
			site->response = (10 + world_random(world, 9000)) * MS;
			break;
		default:
			site->nature = GOOD;
			site->response = 900 * MS;
			break;
	}
	if (world_random(world, 4) > 0)
		site->backlog = 20;
	else
		site->interval = MINUTE;
	site->next_event = world->now + world_random(world, MINUTE);
}

/* Those that are observed, beside the others. */
static void
make_observed(World *world)
{
	for (int i = 0; i < lengthof(observed_ms); i++)
	{
		Site *site = &world->sites[BAD_SITES + i];

		site->nature = GOOD;
		site->response = observed_ms[i] * MS;
		site->interval = Max(site->response / 2, 100 * MS);
		site->is_observed = true;
		site->next_event = world->now + world_random(world, SECOND);
	}
}

/* Reports, and checks of so many, how the observed ones fared. */
static void
check_observed(World *world, const char *when, int checks, StringInfo report)
{
	appendStringInfo(report, "%s:", when);
	for (int i = 0; i < lengthof(observed_ms); i++)
	{
		Site *site = &world->sites[BAD_SITES + i];
		int64 p99 = world_percentile(site, 99);
		int64 bound = observed_ms[i] <= 20 ? 50 * MS : (2 * observed_ms[i] + 100) * MS;

		appendStringInfo(report, " %d=" INT64_FORMAT "(%d)", observed_ms[i], p99 / MS,
						 site->n_took);
		CHECK(i >= checks || p99 <= bound,
			  "%s: 99 %% of what takes %d ms takes up to " INT64_FORMAT " ms", when,
			  observed_ms[i], p99 / MS);
		site->n_took = 0;
	}
	appendStringInfoChar(report, '\n');
}

/* Sites that take the same time and always have a backlog get the same. */
static void
check_fair(World *world)
{
	int64 least = PG_INT32_MAX, most = 0;

	for (int i = 0; i < BAD_SITES; i++)
	{
		const Site *site = &world->sites[i];

		if (site->nature != GOOD || site->backlog == 0 || site->response != 900 * MS)
			continue;
		least = Min(least, site->ended);
		most = Max(most, site->ended);
	}
	CHECK(most == 0 || most <= least + least / 5 + 2,
		  "of two equals one got " INT64_FORMAT " out, the other " INT64_FORMAT, most,
		  least);
}

/* All endpoints are well: everything goes out, and nothing is left in memory. */
static void
drain(World *world)
{
	int64 limit = world->steps + 2000000;
	int	  left = 1;

	for (int i = 0; i < world->n_sites; i++)
	{
		world->sites[i].nature = GOOD;
		world->sites[i].response = 5 * MS;
		world->sites[i].backlog = world->sites[i].interval = 0;
	}
	while (left > 0 || world->unsettled != NIL)
	{
		world_step(world);
		CHECK(world->steps < limit, "%d deliveries are stuck", left);
		left = 0;
		for (int i = 0; i < world->n_sites; i++)
			left += world->sites[i].count;
	}
	CHECK(world->dispatch->loaded == 0 &&
			  hash_get_num_entries(world->dispatch->posts) == 0 &&
			  hash_get_num_entries(world->dispatch->deliveries) == 0,
		  "something is left in memory");
	CHECK(world->dispatch->in_flight == 0, "something is in flight");
}

/*
 * A thousand endpoints that hang, are slow, fail, or all of it, beside some that
 * answer: before and after a restart.
 */
static void
simulate_mix(uint64 seed, int kind, int seconds, StringInfo report)
{
	World *world = world_create(seed, BAD_SITES + lengthof(observed_ms));

	for (int i = 0; i < BAD_SITES; i++)
		make_bad(world, &world->sites[i], kind);
	make_observed(world);
	world_restart(world);
	world_run(world, seconds * SECOND);
	check_observed(world, "nothing was known", 0, report);
	for (int i = 0; i < BAD_SITES; i++)
		world->sites[i].ended = 0;
	world_run(world, seconds * SECOND);
	check_observed(world, "later", lengthof(observed_ms), report);
	check_fair(world);
	world_restart(world);
	world_run(world, seconds * SECOND);
	check_observed(world, "after a restart", lengthof(observed_ms), report);
	drain(world);
	appendStringInfo(report,
					 "steps " INT64_FORMAT ", sent " INT64_FORMAT ", most in flight %d\n",
					 world->steps, world->sent, world->most_in_flight);
	world_destroy(world);
}

/*
 * A thousand endpoints that were quick hang from one moment on, and are quick again
 * later; those that are observed go on answering.
 */
static void
simulate_outage(uint64 seed, int seconds, StringInfo report)
{
	World *world = world_create(seed, BAD_SITES + lengthof(observed_ms));

	for (int i = 0; i < BAD_SITES; i++)
	{
		Site *site = &world->sites[i];

		site->nature = GOOD;
		site->response = (2 + world_random(world, 90)) * MS;
		site->interval = (1 + world_random(world, 10)) * SECOND / (1 + seed % 5);
		site->next_event = world->now + world_random(world, site->interval);
	}
	make_observed(world);
	world_restart(world);
	world_run(world, 20 * SECOND);
	check_observed(world, "before", 0, report);
	for (int i = 0; i < BAD_SITES; i++)
		world->sites[i].nature = HANGING;
	world_run(world, seconds * SECOND);
	check_observed(world, "outage", 0, report);
	for (int i = 0; i < BAD_SITES; i++)
		world->sites[i].nature = GOOD;
	world_run(world, seconds * SECOND);
	check_observed(world, "afterwards", 3, report);
	world_run(world, seconds * SECOND);
	check_observed(world, "in the end", lengthof(observed_ms), report);
	drain(world);
	world_destroy(world);
}

/*
 * All is slow at times, as on a machine that has too much to do: that is no outage, and
 * those that are observed go on.  Beside them are some that hang.
 */
static void
simulate_noise(uint64 seed, int seconds, StringInfo report)
{
	World *world = world_create(seed, BAD_SITES + lengthof(observed_ms));

	for (int i = 0; i < BAD_SITES; i++)
	{
		Site *site = &world->sites[i];

		site->nature = i < 200 ? HANGING : NOISY;
		site->response = (40 + world_random(world, 400)) * MS;
		site->interval = (5 + world_random(world, 10)) * SECOND;
		site->backlog = i < 200 ? 20 : 0;
		site->next_event = world->now + world_random(world, site->interval);
	}
	make_observed(world);
	world_restart(world);
	world_run(world, seconds * SECOND);
	check_observed(world, "nothing was known", 0, report);
	world_run(world, seconds * SECOND);
	check_observed(world, "noise", lengthof(observed_ms), report);
	drain(world);
	world_destroy(world);
}

/* Some sites that answer anything at any time, few places, restarts, changes. */
static void
simulate_moods(uint64 seed, int64 steps, StringInfo report)
{
	World *world = world_create(seed, 40);
	int64  end;

	setting_max_in_flight = 1 + world_random(world, 40);
	setting_max_in_flight_per_integration = 1 + world_random(world, 8);
	for (int i = 0; i < world->n_sites; i++)
	{
		Site *site = &world->sites[i];

		site->nature = MOODY;
		if (i % 2 == 0)
		{
			site->integration.type = "chat";
			site->kinds = 1 + world_random(world, 4);
		}
		site->posts = 1 + world_random(world, 200);
		site->interval = (1 + world_random(world, 500)) * MS;
		site->next_event = world->now;
	}
	world_restart(world);
	for (end = world->steps + steps; world->steps < end;)
	{
		Site *site = &world->sites[world_random(world, world->n_sites)];

		world_step(world);
		switch (world_random(world, 5000))
		{
			case 0:
				world_restart(world);
				break;
			case 1: /* connected again */
				site->integration.updated_at++;
				world_configure(world);
				break;
			case 2: /* a burst about few posts, */
				for (int n =
						 world_random(world, world_random(world, 4) == 0 ? 3000 : 300);
					 n > 0; n--)
					world_queue(world, site, world_random(world, 3));
				break;
			case 3: /* and one about many */
				for (int n = world_random(world, 700); n > 0; n--)
					world_queue(world, site, -1);
				break;
		}
	}
	drain(world);
	appendStringInfo(report,
					 "moods: steps " INT64_FORMAT ", sent " INT64_FORMAT
					 ", ended " INT64_FORMAT ", merged " INT64_FORMAT "\n",
					 world->steps, world->sent, world->ended, world->merged);
	CHECK(world->merged > 0, "nothing has been merged");
	world_destroy(world);
	setting_max_in_flight = 256;
	setting_max_in_flight_per_integration = 8;
}

/* What 10,000 lanes with 100 deliveries each take, above 10,000 without any (bytes). */
static void
simulate_memory(StringInfo report)
{
	World *world = world_create(1, 10000);
	Size   idle, full;

	world_restart(world);
	idle = MemoryContextMemAllocated(world->dispatch->context, true);
	for (int i = 0; i < world->n_sites; i++)
	{
		world->sites[i].nature = HANGING;
		for (int n = 0; n < 100; n++)
			world_queue(world, &world->sites[i], n);
	}
	world_restart(world);
	world_run(world, 30 * SECOND);
	full = MemoryContextMemAllocated(world->dispatch->context, true);
	appendStringInfo(report,
					 "memory: %zu kB idle, %zu kB with 1,000,000 pending, %d in memory\n",
					 idle / 1024, full / 1024, world->dispatch->loaded);
	CHECK(full - idle <= 24 * 1024 * 1024, "10,000 lanes take %zu kB",
		  (full - idle) / 1024);
	world_destroy(world);
}

PGDLLEXPORT Datum simulate(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(simulate);

/* simulate(what text, seed integer, amount integer) returns text */
Datum
simulate(PG_FUNCTION_ARGS)
{
	const char	  *what = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int			   seed = PG_GETARG_INT32(1);
	int			   amount = PG_GETARG_INT32(2);
	StringInfoData report;

	initStringInfo(&report);
	if (strcmp(what, "scenarios") == 0)
		scenarios_run();
	else if (strcmp(what, "memory") == 0)
		simulate_memory(&report);
	else if (strcmp(what, "outage") == 0)
		simulate_outage(seed, amount, &report);
	else if (strcmp(what, "noise") == 0)
		simulate_noise(seed, amount, &report);
	else if (strcmp(what, "moods") == 0)
		simulate_moods(seed, amount, &report);
	else
		simulate_mix(seed, seed % 5, amount, &report);
	PG_RETURN_TEXT_P(cstring_to_text(report.data));
}
