/*
 * pattern.c
 *		What a regular expression may cost.
 *
 * PostgreSQL matches by building, as it goes along, the deterministic automaton of a
 * pattern: state sets, each found once and kept, as many as twice the states of the
 * nondeterministic one.  While they fit, a character costs a look into a table; when they do
 * not, every character may cost the finding of a new set, which takes longer by two orders
 * of magnitude.  That is decided by the pattern alone, so we build the same automaton first
 * (regexport.h gives PostgreSQL's own, as pg_trgm uses it) and refuse what does not fit.
 *
 * What would not be decided by it (back references, lookaround) is refused, and so is
 * what takes long to compile although little comes of it.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "nodes/bitmapset.h"
#include "regex/regex.h"
#include "regex/regexport.h"
#include "utils/builtins.h"
#include "utils/jsonpath.h"

#include "base/compat.h"
#include "capture/pattern.h"

/* Bounds of our own: of a pattern, and of it with its repetitions written out. */
#define PATTERN_MAX_BYTES 256
#define PATTERN_MAX_ATOMS 256
#define PATTERN_MAX_NESTING 16

/*
 * Measured with callgrind (test/fuzz/rules), PostgreSQL 15 to 18: a character's way to
 * wide characters and through the automaton; the beginning of a match; what a set of
 * states costs to find, at least; a class of characters, a state and an arc to compile.
 */
#define COST_BYTE 30
#define COST_MATCH 3000
#define COST_SET 250
#define COST_CLASS 60000
#define COST_STATE 3000
#define COST_ARC 300

/* What finding the sets may cost; a larger sum is not computed to its end. */
#define SETS_MAX_COST 1e6

/* ------------------------------------------------------------------------
 * What can be seen from the text
 * ------------------------------------------------------------------------ */

/* A group that is open; the pattern itself is the first. */
typedef struct OpenGroup
{
	int	 atoms;		  /* with repetitions written out */
	bool constrained; /* holds ^, $ or the like */
} OpenGroup;

typedef struct PatternScan
{
	const char *next;
	const char *end;
	bool		ignores_case;
	int			depth;
	OpenGroup	group[PATTERN_MAX_NESTING];
	OpenGroup	last; /* what a quantifier would be about */
	int			classes;
	const char *objection;
} PatternScan;

/* Counts an atom. */
static void
add_atom(PatternScan *scan)
{
	scan->last = (OpenGroup){ .atoms = 1 };
	scan->group[scan->depth].atoms++;
}

/* Counts a constraint, which no quantifier can be about. */
static void
add_constraint(PatternScan *scan)
{
	scan->last = (OpenGroup){ 0 };
	scan->group[scan->depth].constrained = true;
}

/* An escape, behind its backslash. */
static void
scan_escape(PatternScan *scan)
{
	char c = scan->next < scan->end ? *scan->next++ : '\0';

	if (c == 'u' || c == 'U' || c == 'x' || c == '0')
		scan->objection =
			"Its regular expression names a character by its code: write the character.";
	else if (strchr("mMyYAZ", c) != NULL)
		add_constraint(scan);
	else
		add_atom(scan);
	if (strchr("dDsSwWmMyY", c) != NULL)
		scan->classes++;
}

/* What stands in a bracket expression, behind its first byte. */
static void
scan_element(PatternScan *scan, const char *c)
{
	char following = scan->next < scan->end ? *scan->next : '\0';

	if (*c == '\\')
		scan_escape(scan);
	else if (*c == '[' && (following == '.' || following == '='))
		scan->objection = "Its regular expression has a collating element.";
	else if (*c == '[' && following == ':')
	{
		scan->classes++;
		/* [[:<:]] and [[:>:]]: where a word begins and ends */
		if (scan->next + 1 < scan->end && strchr("<>", scan->next[1]) != NULL)
			scan->group[scan->depth].constrained = scan->last.constrained = true;
		while (scan->next < scan->end && *scan->next++ != ']')
			;
	}
	else if (*c == '-' && scan->ignores_case &&
			 (IS_HIGHBIT_SET(c[-1]) || IS_HIGHBIT_SET(following)))
		scan->objection = "Its regular expression has a range of letters other than "
						  "ASCII's, in either case.";
}

/* A bracket expression, behind its bracket. */
static void
scan_bracket(PatternScan *scan)
{
	const char *first = scan->next;

	add_atom(scan);
	if (scan->next < scan->end && *scan->next == '^')
		first = ++scan->next;
	while (scan->next < scan->end && (*scan->next != ']' || scan->next == first))
	{
		const char *c = scan->next++;

		scan_element(scan, c);
	}
	if (scan->next < scan->end)
		scan->next++;
}

/* A parenthesis. */
static void
scan_group(PatternScan *scan, char c)
{
	OpenGroup *group = &scan->group[scan->depth];

	if (c == '(')
	{
		if (scan->end - scan->next >= 2 && scan->next[0] == '?' && scan->next[1] == ':')
			scan->next += 2;
		else if (scan->next < scan->end && *scan->next == '?')
			scan->objection =
				"Its regular expression looks around, or has options inside.";
		if (scan->depth + 1 == PATTERN_MAX_NESTING)
			scan->objection = "Its regular expression is nested too deep.";
		else
			scan->group[++scan->depth] = (OpenGroup){ 0 };
		scan->last = (OpenGroup){ 0 };
	}
	else if (scan->depth > 0)
	{
		scan->last = *group;
		scan->depth--;
		group--;
		group->atoms += scan->last.atoms;
		group->constrained = group->constrained || scan->last.constrained;
	}
}

/* The larger bound of a {m,n} whose brace has been read; one more for {m,}. */
static int
scan_bound(PatternScan *scan)
{
	int bound = 0;
	int number = 0;

	while (scan->next < scan->end && *scan->next != '}')
	{
		char c = *scan->next++;

		if (c >= '0' && c <= '9')
			number = Min(number * 10 + c - '0', PATTERN_MAX_ATOMS + 1);
		else
		{
			bound = number + 1;
			number = 0;
		}
	}
	if (scan->next < scan->end)
		scan->next++;
	return Max(bound, number);
}

/* A quantifier, about what was last. */
static void
scan_quantifier(PatternScan *scan, char c)
{
	int times = c == '{' ? scan_bound(scan) : 1;

	/* PostgreSQL breaks up loops of nothing but constraints, at a price */
	if (c != '?' && scan->last.constrained)
		scan->objection =
			"Its regular expression repeats what has ^, $ or the like inside.";
	scan->group[scan->depth].atoms += scan->last.atoms * Max(times - 1, 0);
	/* whether it is greedy */
	if (scan->next < scan->end && *scan->next == '?')
		scan->next++;
}

/* Goes through the pattern, if it is one: nothing has parsed it yet. */
static void
scan_pattern(PatternScan *scan)
{
	while (scan->next < scan->end && scan->objection == NULL)
	{
		char c = *scan->next++;

		if (c == '\\')
			scan_escape(scan);
		else if (c == '[')
			scan_bracket(scan);
		else if (c == '(' || c == ')')
			scan_group(scan, c);
		else if (strchr("*+?", c) != NULL || (c == '{' && scan->next < scan->end &&
											  *scan->next >= '0' && *scan->next <= '9'))
			scan_quantifier(scan, c);
		else if (c == '^' || c == '$')
			add_constraint(scan);
		else if (c != '|' && !((c & 0xC0) == 0x80))
			add_atom(scan);
		if (scan->group[scan->depth].atoms > PATTERN_MAX_ATOMS)
			scan->objection = "Its regular expression repeats too often: use * or +.";
	}
}

/* See pattern.h. */
const char *
pattern_objection(const char *pattern, int length, bool ignores_case, int *atoms)
{
	PatternScan scan = { .next = pattern,
						 .end = pattern + length,
						 .ignores_case = ignores_case };

	if (length > PATTERN_MAX_BYTES)
		return "Its regular expression is longer than 256 bytes.";
	scan_pattern(&scan);
	for (int i = 0; i <= scan.depth; i++)
		*atoms += scan.group[i].atoms;
	return scan.objection;
}

/* ------------------------------------------------------------------------
 * The automaton
 * ------------------------------------------------------------------------ */

/* The nondeterministic automaton, as PostgreSQL searches with it. */
typedef struct Automaton
{
	int			  states;
	int			  colors;
	int			  final;
	int			 *n_arcs;
	regex_arc_t **arcs;
	bool		 *is_pseudo; /* colors that are no characters */
	List		 *sets;		 /* Bitmapset *: state sets found */
	double		  cost;		 /* of finding them */
} Automaton;

/* Copies the automaton; how many arcs it has. */
static int
export_automaton(const regex_t *regex, Automaton *automaton)
{
	int total = 0;

	automaton->states = pg_reg_getnumstates(regex);
	automaton->colors = pg_reg_getnumcolors(regex);
	automaton->final = pg_reg_getfinalstate(regex);
	automaton->n_arcs = palloc(automaton->states * sizeof(int));
	automaton->arcs = palloc(automaton->states * sizeof(regex_arc_t *));
	automaton->is_pseudo = palloc(automaton->colors * sizeof(bool));
	for (int color = 0; color < automaton->colors; color++)
		automaton->is_pseudo[color] =
			pg_reg_colorisbegin(regex, color) || pg_reg_colorisend(regex, color);
	for (int state = 0; state < automaton->states; state++)
	{
		int count = pg_reg_getnumoutarcs(regex, state);

		automaton->n_arcs[state] = count;
		automaton->arcs[state] = palloc(Max(count, 1) * sizeof(regex_arc_t));
		pg_reg_getoutarcs(regex, state, automaton->arcs[state], count);
		total += count;
	}
	return total;
}

/* The states that a color leads to from a set; as miss() in PostgreSQL's rege_dfa.c. */
static Bitmapset *
next_set(Automaton *automaton, const Bitmapset *set, int color)
{
	Bitmapset *next = NULL;
	int		   state = -1;
	int		   arcs = 0;

	while ((state = bms_next_member(set, state)) >= 0)
	{
		arcs += automaton->n_arcs[state];
		for (int i = 0; i < automaton->n_arcs[state]; i++)
		{
			const regex_arc_t *arc = &automaton->arcs[state][i];

			if (arc->co == color ||
				(arc->co == COLOR_RAINBOW && !automaton->is_pseudo[color]))
				next = bms_add_member(next, arc->to);
		}
	}
	automaton->cost += COST_SET + 5 * (arcs + list_length(automaton->sets)) +
					   3 * (automaton->states + automaton->colors);
	return next;
}

/* Notes a state set, unless it is known. */
static void
add_set(Automaton *automaton, Bitmapset *set)
{
	ListCell *cell;

	foreach (cell, automaton->sets)
		if (bms_equal(lfirst(cell), set))
			return;
	automaton->sets = lappend(automaton->sets, set);
}

/*
 * Finds all state sets there can be; false if there are more than PostgreSQL
 * keeps (newdfa() in rege_dfa.c), or finding them costs too much.
 */
static bool
find_sets(Automaton *automaton, int initial)
{
	add_set(automaton, bms_make_singleton(initial));
	for (int i = 0; i < list_length(automaton->sets); i++)
	{
		const Bitmapset *set = list_nth(automaton->sets, i);

		if (bms_is_member(automaton->final, set))
			continue; /* has matched */
		for (int color = 0; color < automaton->colors; color++)
		{
			Bitmapset *next = next_set(automaton, set, color);

			if (next)
				add_set(automaton, next);
		}
		if (list_length(automaton->sets) > 2 * automaton->states ||
			automaton->cost > SETS_MAX_COST)
			return false;
	}
	return true;
}

/* See pattern.h. */
const char *
pattern_judge(const char *pattern, int length, uint32 xflags, PatternCost *cost)
{
	PatternScan scan = { .next = pattern,
						 .end = pattern + length,
						 .ignores_case = (xflags & JSP_REGEX_ICASE) != 0 };
	Automaton	automaton = { 0 };
	regex_t	   *regex;
	int			arcs;

	if (length > PATTERN_MAX_BYTES)
		return "Its regular expression is longer than 256 bytes.";
	if ((xflags & JSP_REGEX_QUOTE) == 0)
		scan_pattern(&scan);
	if (scan.objection)
		return scan.objection;
	/* the cache's: it is what evaluating the rule will use */
	regex = RE_compile_and_cache(cstring_to_text_with_len(pattern, length),
								 compat_regex_flags(xflags) | REG_NOSUB,
								 DEFAULT_COLLATION_OID);
	if (regex->re_info & (REG_UBACKREF | REG_ULOOKAROUND))
		return "Its regular expression has a back reference, or looks around.";
	arcs = export_automaton(regex, &automaton);
	if (!find_sets(&automaton, pg_reg_getinitialstate(regex)))
		return "Its regular expression could be true in too many ways at once: "
			   "use fewer repetitions, or * and + in place of numbers.";
	cost->compile = (double) COST_CLASS * scan.classes +
					(double) COST_STATE * automaton.states + (double) COST_ARC * arcs;
	cost->per_string = COST_MATCH + automaton.cost;
	cost->per_byte = COST_BYTE;
	return NULL;
}
