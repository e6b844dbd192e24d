/*
 * unicode.c
 *		Properties of characters.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "base/unicode.h"

typedef struct CharacterRange
{
	pg_wchar first;
	pg_wchar last;
	int		 properties;
} CharacterRange;

#include "base/unicode_table.h"

/* See unicode.h. */
int
unicode_properties(const char *utf8)
{
	pg_wchar code = utf8_to_unicode((const unsigned char *) utf8);
	int		 low = 0;
	int		 high = lengthof(character_ranges) - 1;

	while (low <= high)
	{
		int middle = (low + high) / 2;

		if (code < character_ranges[middle].first)
			high = middle - 1;
		else if (code > character_ranges[middle].last)
			low = middle + 1;
		else
			return character_ranges[middle].properties;
	}
	return 0;
}
