/*
 * text.h
 *		Texts on their way from the database to the wire: encodings and
 *		JSON strings.
 *
 * "Sanitized" is valid in the database encoding; "UTF-8" is what leaves.  All
 * results are palloc'd and NUL-terminated; nothing here raises an error on
 * account of a text's content.
 */
#ifndef FEATUL_TEXT_H
#define FEATUL_TEXT_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/*
 * Most of a text that is ever read: no body has room for more (docs/receivers.md:
 * a body is at most 65,536 bytes).
 */
#define TEXT_MAX_BYTES 65536

/* A text: bytes in the database encoding, not NUL-terminated. */
typedef struct Text
{
	const char *data; /* NULL: SQL NULL */
	int			length;
	bool		cut; /* shorter than the original */
} Text;

/* A text from a C string, which it points to; NULL is SQL NULL. */
extern Text text_of(const char *string);

/*
 * A text from a text datum: at most TEXT_MAX_BYTES of it, copied to the
 * current memory context.  A longer one is never detoasted as a whole.
 */
extern Text text_of_datum(Datum datum);

/*
 * ISO 8601 in UTC, to the second, as the contract wants it; NULL where the
 * timestamp is infinite.  Palloc'd.
 */
extern Text text_of_timestamp(TimestampTz timestamp);

/* Any bytes of the database, invalid UTF-8 replaced where nothing is checked (SQL_ASCII). */
extern char *text_sanitized(const char *data, int length);

/* Database encoding to UTF-8; what cannot be converted becomes U+FFFD. */
extern char *text_to_utf8(const char *data, int length);

/*
 * Foreign bytes (a response) as at most so many characters valid in the
 * database encoding: invalid UTF-8 and control characters replaced.
 */
extern char *text_from_foreign(const char *data, int length, int max_characters);

/* Appends UTF-8 as a JSON string, quotes included. */
extern void text_append_json(StringInfo out, const char *utf8);

/* Appends an item to "a, b, c", which is empty for the first. */
extern void text_append_item(StringInfo list, const char *item);

extern int text_utf16_units(const char *utf8);

/* A text, number or boolean at a path ("post", "author", "name", NULL) as UTF-8; NULL if absent or null. */
extern char *text_json_get(Jsonb *json, const char *const *path);

#endif /* FEATUL_TEXT_H */
