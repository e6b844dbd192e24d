/*
 * safe_settings.h
 *		The settings that statements and expressions of ours run under, whatever
 *		the session's are.
 */
#ifndef FEATUL_SAFE_SETTINGS_H
#define FEATUL_SAFE_SETTINGS_H

/*
 * For statements over our own tables: search_path = pg_catalog, pg_temp until
 * safe_settings_end(result) or the abort of the present (sub)transaction.
 */
extern int safe_search_path_begin(void);

/*
 * For what bindings say: likewise, and every setting that the meaning of an
 * expression's text, or the input and output of a value, depends on.  Costs next
 * to nothing where they are so already.
 */
extern int safe_settings_begin(void);

extern void safe_settings_end(int nest);

#endif /* FEATUL_SAFE_SETTINGS_H */
