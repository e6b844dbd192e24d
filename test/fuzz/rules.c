/*
 * rules.c
 *		Makes hostile rules, and runs those that are accepted, to be counted.
 *
 * Part of test/fuzz/rules, which starts a single-user session with this under callgrind; only
 * measured() is counted.  Nothing here is part of the extension.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "common/pg_prng.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "regex/regex.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/subtransaction.h"
#include "capture/payload.h"
#include "capture/rule.h"

static pg_prng_state state;

/* A number from 0 up to, without, this. */
static int
any(int below)
{
	return pg_prng_uint64_range(&state, 0, below - 1);
}

#define ONE_OF(...)                                                                      \
	(((const char *const[]){ __VA_ARGS__ })[any(                                         \
		lengthof(((const char *const[]){ __VA_ARGS__ })))])

/* ------------------------------------------------------------------------
 * Rules
 * ------------------------------------------------------------------------ */

static void add_predicate(StringInfo rule, int depth, bool filtering);

/* What may be accepted has few parts; a few have many, or parts that are worse. */
static void
add_regex(StringInfo rule, int depth)
{
	for (int parts = 1 + any(any(6) ? 4 : 24); parts > 0; parts--)
	{
		if (depth > 0 && any(4) == 0)
		{
			appendStringInfoString(rule, any(2) ? "(" : "(?:");
			add_regex(rule, depth - 1);
			appendStringInfoChar(rule, ')');
		}
		else
			appendStringInfoString(
				rule, ONE_OF("a", "b", "c", "ab", "crash", ".", "[ab]", "[^a]", "[a-z]",
							 "\\\\w", "\\\\s", "\\\\d", "\\\\m", "\\\\y", "^", "$", "|", "é",
							 "[[:alpha:]]", "[^[:space:]]", "[à-ý]", "\\\\W", "bb"));
		if (any(3) == 0)
			appendStringInfoString(rule, ONE_OF("*", "+", "?", "*?", "{2}", "{1,3}",
												"{3,}", "{12}", "{0,40}", "{250}"));
	}
}

static void
add_path(StringInfo rule, int depth, bool filtering)
{
	if (filtering && any(3))
		appendStringInfoString(rule, "@");
	else
		appendStringInfoString(rule, ONE_OF("$", "$.post.content", "$.post.content", "$.**", "$.*"));
	for (int steps = any(3); steps > 0; steps--)
		if (depth > 0 && any(4) == 0)
		{
			appendStringInfoString(rule, " ? (");
			add_predicate(rule, depth - 1, true);
			appendStringInfoChar(rule, ')');
		}
		else
			appendStringInfoString(
				rule, ONE_OF(".post", ".post.content", ".post.title", ".comment", ".content",
							 ".*", ".**", ".**{0 to 2}", "[*]", "[0]", "[0,0]", "[0,0,0,0,0]",
							 "[0 to 2147483647]", ".post.upvotes", ".type()", ".size()",
							 ".double()", ".datetime()",
							 ".datetime(\"YYYY-MM-DD TMMonth TMDay\")", ".keyvalue()", ".abs()"));
}

static void
add_operand(StringInfo rule, int depth, bool filtering)
{
	if (any(8) == 0)
	{
		appendStringInfoChar(rule, '(');
		add_operand(rule, depth - 1, filtering);
		appendStringInfoString(rule, ONE_OF(" * ", " + ", " / ", " % ", " - "));
		add_operand(rule, depth - 1, filtering);
		appendStringInfoChar(rule, ')');
	}
	else if (any(3) == 0)
		appendStringInfoString(rule, ONE_OF("1", "\"a\"", "true", "null", "1e300", "0.1234567"));
	else
		add_path(rule, depth, filtering);
}

static void
add_predicate(StringInfo rule, int depth, bool filtering)
{
	int kind = any(depth > 0 ? 10 : 7);

	if (kind < 2)
	{
		add_operand(rule, depth, filtering);
		appendStringInfoString(rule, ONE_OF(" == ", " != ", " < ", " >= "));
		add_operand(rule, depth, filtering);
	}
	else if (kind == 2)
	{
		add_path(rule, depth, filtering);
		appendStringInfoString(rule, " starts with \"a\"");
	}
	else if (kind < 7)
	{
		add_path(rule, depth, filtering);
		appendStringInfoString(rule, " like_regex \"");
		add_regex(rule, 3);
		appendStringInfoString(rule, "\"");
		appendStringInfoString(rule, ONE_OF("", " flag \"i\"", " flag \"s\"", " flag \"im\""));
	}
	else if (kind == 7)
	{
		appendStringInfoString(rule, "exists(");
		add_path(rule, depth, filtering);
		appendStringInfoChar(rule, ')');
	}
	else
	{
		appendStringInfoChar(rule, '(');
		add_predicate(rule, depth - 1, filtering);
		appendStringInfoString(rule, ONE_OF(" && ", " || "));
		add_predicate(rule, depth - 1, filtering);
		appendStringInfoChar(rule, ')');
	}
}

/* ------------------------------------------------------------------------
 * Running them
 * ------------------------------------------------------------------------ */

typedef struct Run
{
	const char *rule;
	const char *objection;
	JsonPath   *accepted;
} Run;

/* Step: judges a rule. */
static void
judge(void *argument)
{
	Run *run = argument;

	run->accepted = rule_read(run->rule, &run->objection);
}

/*
 * The largest payload, of the event with the most in it: its texts made of bytes that the
 * rule has, which drive its automaton from state to state, or of letters of several bytes.
 */
static char *
largest_payload(const char *rule, int kind)
{
	static const char *const few[] = { "ab", "ab \n1c", "éàb世", "1" };
	const char	  *letters = kind < lengthof(few) ? few[kind] : rule;
	char		  *content = palloc(100001);
	StringInfoData out;
	Payload		   payload = { .event = EVENT_COMMENT_MENTION,
							   .workspace_id = text_of("w"),
							   .post_id = text_of("p"),
							   .title = text_of("Crash"),
							   .upvotes = 9 };
	int			   length = 0;

	while (length < 65000)
	{
		const char *letter = letters + any(strlen(letters));
		int			bytes;

		while ((*letter & 0xC0) == 0x80)
			letter--;
		bytes = pg_mblen(letter);
		memcpy(content + length, letter, bytes);
		length += bytes;
	}
	content[length] = '\0';
	payload.content = text_of(content);
	payload.comment_content = text_of("a");
	initStringInfo(&out);
	payload_build(&out, &payload);
	return out.data;
}

extern PGDLLEXPORT bool measured(const char *rule, const char *payload);
extern PGDLLEXPORT Datum hostile_rules(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(hostile_rules);

/* What an INSERT has to do for a rule, in a session that knows it, or one like any other does. */
pg_noinline bool
measured(const char *rule, const char *payload)
{
	const char *objection;
	JsonPath   *path = rule_read_again(rule, &objection);

	return path && rule_accepts(path, DatumGetJsonbP(DirectFunctionCall1(
									  jsonb_in, CStringGetDatum(payload))));
}

/* Has PostgreSQL forget the regular expressions it has compiled: it keeps 32. */
static void
forget_patterns(void)
{
	for (int i = 0; i < 40; i++)
		(void) RE_compile_and_cache(cstring_to_text(psprintf("forget %d", i)), 0,
									DEFAULT_COLLATION_OID);
}

/*
 * Judges a rule; runs it over each payload if it is accepted, a line on stderr for each.
 * The first run is that of a session that has never seen it.
 */
static bool
run_rule(const char *rule, int payloads)
{
	Run run = { .rule = rule };

	if (subtransaction_run(judge, &run) != NULL || run.accepted == NULL)
		return false;
	forget_patterns();
	for (int kind = 0; kind < payloads; kind++)
	{
		char *payload = largest_payload(rule, kind);

		fprintf(stderr, "run\t%d\t%s\n", kind, rule);
		(void) measured(rule, payload);
		pfree(payload);
	}
	return true;
}

/*
 * hostile_rules(seed, count, payloads): makes so many rules that are accepted; how many
 * it has made for that.
 */
Datum
hostile_rules(PG_FUNCTION_ARGS)
{
	int			  wanted = PG_GETARG_INT32(1);
	int			  made = 0;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "rule",
												  ALLOCSET_DEFAULT_SIZES);

	pg_prng_seed(&state, PG_GETARG_INT32(0));
	while (wanted > 0)
	{
		MemoryContext  caller = MemoryContextSwitchTo(context);
		StringInfoData rule;

		initStringInfo(&rule);
		add_predicate(&rule, any(3), false);
		wanted -= run_rule(rule.data, PG_GETARG_INT32(2));
		made++;
		MemoryContextSwitchTo(caller);
		MemoryContextReset(context);
	}
	PG_RETURN_INT32(made);
}
