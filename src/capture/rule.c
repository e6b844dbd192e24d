/*
 * rule.c
 *		Rules of integrations: jsonpath predicates over the payload, bounded in what
 *		they may cost.
 *
 * The parsed rule is walked once, as it would be evaluated: of each step we know how many
 * items it can give at most for any payload, and how many bytes of text stand in them, and
 * so what it can cost.  Wildcards multiply, filters and subscripts evaluate what stands in
 * them for each item.  The payload is ours, so how it is built is known.
 *
 * There is no second guard while a rule runs: what it would cut off would be an event that
 * is lost, or told to who does not want it, as the machine's load has it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "base/compat.h"
#include "capture/pattern.h"
#include "capture/rule.h"

#define RULE_MAX_BYTES 1024

/*
 * What a rule may cost, in instructions: a good millisecond of a slow processor, which leaves
 * the rest of two to the parsing of the payload.  test/fuzz/rules counts both.
 */
#define RULE_MAX_COST 4.5e6

/* The payload: its bytes (docs/application.md), nodes, the keys of its widest object, levels. */
#define PAYLOAD_BYTES 65536
#define PAYLOAD_NODES 40
#define PAYLOAD_KEYS 16
#define PAYLOAD_LEVELS 5

/* All of it but contents and titles; a timestamp. */
#define OTHER_BYTES 8192
#define TIME_BYTES 32

/* Digits of a number in the payload, of a double precision, of a number in a rule. */
#define PAYLOAD_DIGITS 20
#define DOUBLE_DIGITS 330
#define LITERAL_DIGITS 40

/* Measured (see pattern.c): an item that a step gives; a byte compared, and read as a value. */
#define COST_ITEM 700
#define COST_BYTE_COMPARED 1
#define COST_BYTE_CONVERTED 16
#define COST_BYTE_READ 30
/* Reading a date tries a dozen formats, each number in them being looked for to its end. */
#define COST_DATE 20000
#define COST_BYTE_DATE 400

/* What a step gives, at most. */
typedef struct Items
{
	double count;  /* over all evaluations */
	double most;   /* in one of them */
	double text;   /* bytes of text that are themselves items */
	double below;  /* bytes of text in and below the items */
	double digits; /* of a number among them */
} Items;

typedef struct Judgement
{
	double		cost;
	const char *objection;
} Judgement;

static Items judge_path(Judgement *judgement, JsonPathItem *item, const Items *current,
						double times);

/* One small item for each of so many evaluations: a literal, a truth value. */
static Items
small_items(double times, double bytes)
{
	return (Items){ .count = times,
					.most = 1,
					.text = bytes * times,
					.below = bytes * times,
					.digits = LITERAL_DIGITS };
}

/* These items, each so many times as many. */
static Items
multiplied(const Items *items, double by)
{
	return (Items){ .count = items->count * by,
					.most = items->most * by,
					.text = items->text * by,
					.below = items->below * by,
					.digits = items->digits };
}

/* Both operands, each item of one with each of the other; how many pairs that are. */
static double
judge_pairs(Judgement *judgement, JsonPathItem *item, const Items *current, double times,
			Items *left, Items *right)
{
	JsonPathItem operand;
	double		 pairs;

	jspGetLeftArg(item, &operand);
	*left = judge_path(judgement, &operand, current, times);
	jspGetRightArg(item, &operand);
	*right = judge_path(judgement, &operand, current, times);
	pairs = left->count * right->most;
	judgement->cost += COST_ITEM * pairs;
	return pairs;
}

/* A comparison: of texts, dates, or numbers. */
static void
judge_comparison(Judgement *judgement, JsonPathItem *item, const Items *current,
				 double times)
{
	bool  converts = GetDatabaseEncoding() != PG_UTF8;
	Items left;
	Items right;

	(void) judge_pairs(judgement, item, current, times, &left, &right);
	judgement->cost += (left.text * right.most + right.text * left.most) *
					   (converts ? COST_BYTE_CONVERTED : COST_BYTE_COMPARED);
}

/* An arithmetic operator: long numbers multiply digit by digit. */
static Items
judge_arithmetic(Judgement *judgement, JsonPathItem *item, const Items *current,
				 double times)
{
	Items  left;
	Items  right;
	Items  result = small_items(times, 0);
	double pairs = judge_pairs(judgement, item, current, times, &left, &right);

	judgement->cost += pairs * left.digits * right.digits;
	result.digits = left.digits + right.digits;
	return result;
}

/* like_regex: compiled once, matched with each item. */
static void
judge_regex(Judgement *judgement, JsonPathItem *item, const Items *current, double times)
{
	PatternCost	 cost = { 0 };
	JsonPathItem operand;
	Items		 items;
	const char	*objection = pattern_judge(item->content.like_regex.pattern,
										   item->content.like_regex.patternlen,
										   item->content.like_regex.flags, &cost);

	if (objection)
	{
		judgement->objection = objection;
		return;
	}
	jspInitByBuffer(&operand, item->base, item->content.like_regex.expr);
	items = judge_path(judgement, &operand, current, times);
	judgement->cost +=
		cost.compile + items.count * cost.per_string + items.text * cost.per_byte;
}

/* [subscripts]: there are no arrays in the payload, and each names the item itself again. */
static Items
judge_subscripts(Judgement *judgement, JsonPathItem *item, const Items *items)
{
	int	  count = item->content.array.nelems;
	Items each = { .count = items->count, .most = 1, .below = items->below };

	for (int i = 0; i < count; i++)
	{
		JsonPathItem from;
		JsonPathItem to;

		if (jspGetArraySubscript(item, &from, &to, i))
			(void) judge_path(judgement, &to, &each, items->count);
		(void) judge_path(judgement, &from, &each, items->count);
	}
	return multiplied(items, count);
}

/* .key: of the payload's texts, only contents, titles and an encoded slug can be long. */
static Items
judge_key(JsonPathItem *item, const Items *items)
{
	static const char *const long_ones[] = { "post", "comment", "content", "title",
											 "url" };
	Items					 result = *items;
	int32					 length;
	const char				*key = jspGetString(item, &length);
	double most = strcmp(key, "createdAt") == 0 ? TIME_BYTES : OTHER_BYTES;

	for (int i = 0; i < lengthof(long_ones); i++)
		if (strcmp(key, long_ones[i]) == 0)
			most = PAYLOAD_BYTES;
	result.text = result.below = Min(items->below, items->count * most);
	return result;
}

/* A filter: evaluated for each item. */
static Items
judge_filter(Judgement *judgement, JsonPathItem *item, const Items *items)
{
	Items		 each = *items;
	JsonPathItem predicate;

	each.most = 1;
	jspGetArg(item, &predicate);
	(void) judge_path(judgement, &predicate, &each, items->count);
	return *items;
}

/* A method that reads a text as a number or date, or writes one. */
static Items
judge_conversion(Judgement *judgement, JsonPathItem *item, const Items *items)
{
	Items  result = small_items(items->count, LITERAL_DIGITS);
	double per_byte = COST_BYTE_READ;

	result.most = items->most;
	result.digits = item->type == jpiDouble ? DOUBLE_DIGITS : PAYLOAD_BYTES;
	if (item->type == jpiDatetime && item->content.arg)
	{
		JsonPathItem argument;
		int32		 length;

		jspGetArg(item, &argument);
		(void) jspGetString(&argument, &length);
		per_byte *= Max(length, 1);
	}
	else if (item->type != jpiDouble)
		per_byte = COST_BYTE_DATE;
	judgement->cost += items->count * COST_DATE + items->text * per_byte;
	return result;
}

/* The operand of an operator that has one. */
static Items
judge_operand(Judgement *judgement, JsonPathItem *item, const Items *current,
			  double times)
{
	JsonPathItem operand;

	jspGetArg(item, &operand);
	return judge_path(judgement, &operand, current, times);
}

/* A predicate; its truth value, for each evaluation. */
static Items
judge_predicate(Judgement *judgement, JsonPathItem *item, const Items *current,
				double times)
{
	Items left;
	Items right;

	switch (item->type)
	{
		case jpiAnd:
		case jpiOr:
		case jpiStartsWith:
			(void) judge_pairs(judgement, item, current, times, &left, &right);
			break;
		case jpiLikeRegex:
			judge_regex(judgement, item, current, times);
			break;
		case jpiNot:
		case jpiIsUnknown:
		case jpiExists:
			(void) judge_operand(judgement, item, current, times);
			break;
		default:
			judge_comparison(judgement, item, current, times);
			break;
	}
	return small_items(times, 5);
}

/* A method: .type(), .double(), ...; one that is not known here is not accepted. */
static Items
judge_method(Judgement *judgement, JsonPathItem *item, const Items *items)
{
	Items result = *items;

	switch (item->type)
	{
		case jpiType:
		case jpiSize:
		case jpiAbs:
		case jpiFloor:
		case jpiCeiling:
			judgement->cost += items->count * items->digits;
			result.text = result.below = items->count * LITERAL_DIGITS;
			break;
		case jpiDouble:
		case jpiDatetime:
			return judge_conversion(judgement, item, items);
		default:
			if (compat_jsonpath_converts(item->type))
				return judge_conversion(judgement, item, items);
			judgement->objection =
				psprintf("It uses %s().", jspOperationName(item->type));
			break;
	}
	return result;
}

/* An accessor: .key, .*, .**, [...], a filter; or else a method. */
static Items
judge_accessor(Judgement *judgement, JsonPathItem *item, const Items *items)
{
	Items result = *items;

	switch (item->type)
	{
		case jpiKey:
			return judge_key(item, items);
		case jpiAnyArray:
			break;
		case jpiAnyKey:
			result = multiplied(items, PAYLOAD_KEYS);
			result.text = result.below = items->below;
			break;
		case jpiAny:
			result = multiplied(items, PAYLOAD_NODES);
			result.text = items->below;
			result.below = items->below * PAYLOAD_LEVELS;
			break;
		case jpiIndexArray:
			return judge_subscripts(judgement, item, items);
		case jpiFilter:
			return judge_filter(judgement, item, items);
		default:
			return judge_method(judgement, item, items);
	}
	return result;
}

/* A number in the rule. */
static Items
judge_number(Judgement *judgement, JsonPathItem *item, double times)
{
	char *digits = DatumGetCString(
		DirectFunctionCall1(numeric_out, NumericGetDatum(jspGetNumeric(item))));

	if (strlen(digits) > LITERAL_DIGITS)
		judgement->objection = "It has a number of more than 40 digits.";
	return small_items(times, 0);
}

/* One step of a path: what it makes of the items so far, or begins with. */
static Items
judge_step(Judgement *judgement, JsonPathItem *item, const Items *items,
		   const Items *current, double times)
{
	switch (item->type)
	{
		case jpiNull:
		case jpiBool:
		case jpiVariable:
		case jpiLast:
			return small_items(times, 0);
		case jpiNumeric:
			return judge_number(judgement, item, times);
		case jpiString:
			return small_items(times, item->content.value.datalen);
		case jpiRoot:
			return (Items){ .count = times,
							.most = 1,
							.below = PAYLOAD_BYTES * times,
							.digits = PAYLOAD_DIGITS };
		case jpiCurrent:
			return *current;
		case jpiPlus:
		case jpiMinus:
			return judge_operand(judgement, item, current, times);
		case jpiAdd:
		case jpiSub:
		case jpiMul:
		case jpiDiv:
		case jpiMod:
			return judge_arithmetic(judgement, item, current, times);
		case jpiAnd:
		case jpiOr:
		case jpiNot:
		case jpiIsUnknown:
		case jpiEqual:
		case jpiNotEqual:
		case jpiLess:
		case jpiGreater:
		case jpiLessOrEqual:
		case jpiGreaterOrEqual:
		case jpiStartsWith:
		case jpiLikeRegex:
		case jpiExists:
			return judge_predicate(judgement, item, current, times);
		default:
			return judge_accessor(judgement, item, items);
	}
}

/*
 * A path, or a predicate: evaluated so many times, @ being one of current each time.
 * What it gives in the end.
 */
static Items
judge_path(Judgement *judgement, JsonPathItem *item, const Items *current, double times)
{
	Items		 items = *current;
	JsonPathItem next;

	check_stack_depth();
	while (judgement->objection == NULL)
	{
		items = judge_step(judgement, item, &items, current, times);
		judgement->cost += COST_ITEM * items.count;
		if (judgement->cost > RULE_MAX_COST)
			judgement->objection = "It could take too long for a long post: use fewer "
								   "wildcards, filters or regular expressions.";
		if (!jspGetNext(item, &next))
			break;
		*item = next;
	}
	return items;
}

/* ------------------------------------------------------------------------
 * What can be seen from the text
 *
 * Reading a jsonpath compiles its regular expressions, so what would make that take
 * seconds has to be seen before.
 * ------------------------------------------------------------------------ */

/* Characters of all regular expressions, with repetitions written out (see pattern.c). */
#define MAX_ATOMS 512

typedef struct RuleText
{
	const char *next;
	char		string[RULE_MAX_BYTES + 1]; /* the last */
	int			length;
	int			atoms;
	const char *objection;
} RuleText;

/* Goes behind white space. */
static void
skip_space(RuleText *text)
{
	text->next += strspn(text->next, " \t\n\r\f");
}

/* Reads a string, behind its quotation mark; an escape is the letter that it is written with. */
static void
read_string(RuleText *text)
{
	text->length = 0;
	while (*text->next && *text->next != '"')
	{
		if (text->next[0] == '\\' && text->next[1])
			text->next++;
		text->string[text->length++] = *text->next++;
	}
	text->string[text->length] = '\0';
	if (*text->next)
		text->next++;
}

/* Judges the regular expression that was read, by its flags, which come next. */
static void
judge_pattern(RuleText *text)
{
	RuleText flags = *text;
	bool	 quoted = false;
	bool	 ignores_case = true; /* unless it is seen that it does not */

	skip_space(&flags);
	if (pg_strncasecmp(flags.next, "flag", strlen("flag")) == 0)
	{
		flags.next += strlen("flag");
		skip_space(&flags);
		if (*flags.next++ == '"')
		{
			read_string(&flags);
			quoted = strchr(flags.string, 'q') != NULL;
			ignores_case = strchr(flags.string, 'i') != NULL;
		}
	}
	else if (*flags.next != '/')
		ignores_case = false;
	if (!quoted)
		text->objection =
			pattern_objection(text->string, text->length, ignores_case, &text->atoms);
	if (text->objection == NULL && text->atoms > MAX_ATOMS)
		text->objection = "Its regular expressions are too long, with all repetitions.";
}

/* Why a rule is not even to be read, or NULL. */
static const char *
objection_to_text(const char *rule)
{
	static const char keyword[] = "like_regex";
	RuleText		  text = { .next = rule };
	bool			  is_pattern = false; /* the next string */

	if (strlen(rule) > RULE_MAX_BYTES)
		return "It is longer than 1024 bytes.";
	for (const char *c = rule; *c; c++)
		if (*c == '\\' && c[1] && strchr("ux", *++c) != NULL)
			return "It names a character by its code: write the character.";
	while (*text.next && text.objection == NULL)
	{
		const char *c = text.next++;
		const char *end = c[0] == '/' && c[1] == '*' ? strstr(c + 2, "*/") : NULL;

		if (end)
			text.next = end + 2;
		else if (*c == '\\')
			text.objection = "It has a backslash outside of a string.";
		else if (*c == '"')
		{
			read_string(&text);
			if (is_pattern)
				judge_pattern(&text);
			is_pattern = false;
		}
		else if (pg_strncasecmp(c, keyword, strlen(keyword)) == 0)
			is_pattern = true;
	}
	return text.objection;
}

/* See rule.h. */
JsonPath *
rule_read(const char *text, const char **objection)
{
	Judgement	 judgement = { .objection = objection_to_text(text) };
	JsonPath	*rule = NULL;
	JsonPathItem item;
	Items		 none = { 0 };

	if (judgement.objection == NULL)
	{
		rule = DatumGetJsonPathP(DirectFunctionCall1(jsonpath_in, CStringGetDatum(text)));
		jspInit(&item, rule);
		(void) judge_path(&judgement, &item, &none, 1);
	}
	*objection = judgement.objection;
	return judgement.objection ? NULL : rule;
}

/* Rules remembered as accepted: a workspace's, or a few's */
#define REMEMBERED 32

/* See rule.h. */
JsonPath *
rule_read_again(const char *text, const char **objection)
{
	static char *remembered[REMEMBERED];
	static int	 next = 0;
	JsonPath	*rule;

	*objection = NULL;
	for (int i = 0; i < REMEMBERED && remembered[i]; i++)
		if (strcmp(remembered[i], text) == 0)
			return DatumGetJsonPathP(
				DirectFunctionCall1(jsonpath_in, CStringGetDatum(text)));
	rule = rule_read(text, objection);
	if (rule)
	{
		char *copy = MemoryContextStrdup(TopMemoryContext, text);

		if (remembered[next])
			pfree(remembered[next]);
		remembered[next] = copy;
		next = (next + 1) % REMEMBERED;
	}
	return rule;
}

/* See rule.h. */
bool
rule_accepts(JsonPath *rule, Jsonb *payload)
{
	LOCAL_FCINFO(call, 4);
	Datum result;

	InitFunctionCallInfoData(*call, NULL, 4, InvalidOid, NULL, NULL);
	call->args[0].value = JsonbPGetDatum(payload);
	call->args[1].value = PointerGetDatum(rule);
	call->args[2].value = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
	call->args[3].value = BoolGetDatum(true); /* silent */
	for (int i = 0; i < 4; i++)
		call->args[i].isnull = false;
	result = jsonb_path_match_tz(call);
	return !call->isnull && DatumGetBool(result);
}
