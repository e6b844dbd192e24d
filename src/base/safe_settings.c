/*
 * safe_settings.c
 *		The settings that statements and expressions of ours run under.
 */
#include "postgres.h"

#include "utils/guc.h"

#include "base/safe_settings.h"

/* What search_path is; the first of the following */
#define SAFE_SEARCH_PATH "pg_catalog, pg_temp"

typedef struct SafeSetting
{
	const char *name;
	const char *value; /* as GetConfigOption() has it */
} SafeSetting;

/*
 * Every setting that any session may change and that decides how text is parsed, values
 * are read and written, or rows are seen.  Where PostgreSQL has a default, it is that.
 */
static const SafeSetting safe_settings[] = {
	{ "search_path", SAFE_SEARCH_PATH },
	{ "DateStyle", "ISO, MDY" },
	{ "IntervalStyle", "postgres" },
	{ "TimeZone", "UTC" },
	{ "timezone_abbreviations", "Default" },
	{ "extra_float_digits", "1" },
	{ "bytea_output", "hex" },
	{ "lc_monetary", "C" },
	{ "lc_numeric", "C" },
	{ "lc_time", "C" },
	{ "xmlbinary", "base64" },
	{ "xmloption", "content" },
	{ "default_text_search_config", "pg_catalog.simple" },
	{ "standard_conforming_strings", "on" },
	{ "backslash_quote", "safe_encoding" },
	{ "array_nulls", "on" },
	{ "transform_null_equals", "off" },
	{ "quote_all_identifiers", "off" },
	{ "row_security", "on" },
};

/* Sets one until the end of the present nest level. */
static void
set_safely(const SafeSetting *setting)
{
	(void) set_config_option(setting->name, setting->value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/* See safe_settings.h. */
int
safe_search_path_begin(void)
{
	int nest = NewGUCNestLevel();

	set_safely(&safe_settings[0]);
	return nest;
}

/* See safe_settings.h. */
int
safe_settings_begin(void)
{
	int nest = NewGUCNestLevel();

	for (int i = 0; i < lengthof(safe_settings); i++)
		if (strcmp(GetConfigOption(safe_settings[i].name, false, false),
				   safe_settings[i].value) != 0)
			set_safely(&safe_settings[i]);
	return nest;
}

/* See safe_settings.h. */
void
safe_settings_end(int nest)
{
	AtEOXact_GUC(true, nest);
}
