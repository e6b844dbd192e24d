/*
 * payload.c
 *		The canonical JSON payload of an event, keys in the contract's order.
 *
 * Builds text directly: jsonb would reorder the keys, and the bytes written
 * here are the bytes that are signed and sent.  Knows no tables; who may be
 * named is decided here (privacy), what happened is decided in event.c and candidate.c.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "mb/pg_wchar.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "capture/payload.h"
#include "base/settings.h"
#include "base/text.h"

/*
 * Longest any other text (a name, a slug, a status) may be in a payload that
 * does not fit although content and title are cut to nothing.  Our own bound.
 */
#define OTHER_MAX_BYTES 512

/* A longer image is not told: a URL is worth nothing when it is cut.  Our own bound. */
#define IMAGE_MAX_BYTES 2048

/* Cuts to at most so many bytes, on a character boundary. */
static Text
text_clipped(Text text, int max_bytes)
{
	if (text.data != NULL && text.length > max_bytes)
	{
		text.length = pg_mbcliplen(text.data, text.length, max_bytes);
		text.cut = true;
	}
	return text;
}

/* True for a character that a JSON string must escape. */
static inline bool
needs_escape(unsigned char c)
{
	return c < ' ' || c == '"' || c == '\\';
}

/*
 * True if one of eight characters may need an escape: the tests for a byte below
 * n and for a zero byte of "Bit Twiddling Hacks" (S. E. Anderson).
 */
static inline bool
any_needs_escape(const char *eight)
{
	const uint64 ones = UINT64CONST(0x0101010101010101);
	uint64		 bytes;
	uint64		 quote;
	uint64		 backslash;

	memcpy(&bytes, eight, sizeof(bytes));
	quote = bytes ^ (ones * '"');
	backslash = bytes ^ (ones * '\\');
	return (((bytes - ones * ' ') & ~bytes) | ((quote - ones) & ~quote) |
			((backslash - ones) & ~backslash)) &
		   (ones * 0x80);
}

/* The end of the characters from data on that need no escape. */
static const char *
plain_run(const char *data, const char *end)
{
	while (end - data >= sizeof(uint64) && !any_needs_escape(data))
		data += sizeof(uint64);
	while (data < end && !needs_escape(*data))
		data++;
	return data;
}

/*
 * Appends what stands inside a JSON string.  As escape_json() does, but by whole
 * runs of what needs no escape: contents are long, and escapes rare.
 */
static void
append_json_escaped(StringInfo out, const char *data, int length)
{
	const char *end = data + length;

	while (data < end)
	{
		const char *run = data;

		data = plain_run(run, end);
		appendBinaryStringInfo(out, run, data - run);
		if (data == end)
			break;
		if (*data == '"' || *data == '\\')
		{
			appendStringInfoCharMacro(out, '\\');
			appendStringInfoCharMacro(out, *data);
		}
		else if (*data == '\n')
			appendStringInfoString(out, "\\n");
		else if (*data == '\r')
			appendStringInfoString(out, "\\r");
		else if (*data == '\t')
			appendStringInfoString(out, "\\t");
		else
			appendStringInfo(out, "\\u%04x", (unsigned char) *data);
		data++;
	}
}

/* Appends a JSON string. */
static void
append_string(StringInfo out, const char *data, int length)
{
	appendStringInfoCharMacro(out, '"');
	append_json_escaped(out, data, length);
	appendStringInfoCharMacro(out, '"');
}

/* Appends a JSON string, or null. */
static void
append_text(StringInfo out, Text text)
{
	char *string;

	if (text.data == NULL)
		appendStringInfoString(out, "null");
	else if (GetDatabaseEncoding() != PG_SQL_ASCII)
		append_string(out, text.data, text.length);
	else
	{
		string = text_sanitized(text.data, text.length);
		append_string(out, string, strlen(string));
		pfree(string);
	}
}

/* Appends a string literal. */
#define append_literal(out, literal)                                                     \
	appendBinaryStringInfo(out, "" literal, sizeof(literal) - 1)

/* Appends a key, a string literal, and a text. */
#define append_key(out, key, text)                                                       \
	(append_literal(out, "\"" key "\":"), append_text(out, text))

/* Without white space around it. */
static Text
text_trimmed(Text text)
{
	while (text.length > 0 && scanner_isspace(text.data[0]))
	{
		text.data++;
		text.length--;
	}
	while (text.length > 0 && scanner_isspace(text.data[text.length - 1]))
		text.length--;
	return text;
}

/* An e-mail address is cut to the part before the @; any other name stays as it is. */
static Text
name_without_domain(Text name)
{
	Text		address = text_trimmed(name);
	const char *at = memchr(address.data, '@', address.length);

	if (at == NULL || at == address.data || at == address.data + address.length - 1 ||
		memchr(address.data, ' ', address.length) != NULL)
		return name;
	address.length = at - address.data;
	return address;
}

/*
 * The name shown for a person: "Member" on a board that hides identities,
 * "Anonymous" when missing or anonymous; never a whole e-mail address.
 */
static Text
person_name(const Person *person, bool hides_identity)
{
	Text name = person->name;

	if (hides_identity)
		return text_of("Member");
	if (!person->known)
		return text_of("Anonymous");
	if (name.data == NULL || name.length == 0)
		name = person->email;
	if (name.data == NULL || name.length == 0)
		return text_of("Anonymous");
	return name_without_domain(name);
}

/* Appends the slug, percent-encoded as UTF-8 (RFC 3986: unreserved kept). */
static void
append_url_encoded(StringInfo out, Text slug)
{
	char *utf8 = text_to_utf8(slug.data, slug.length);

	for (const unsigned char *c = (unsigned char *) utf8; *c; c++)
	{
		if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
			(*c >= '0' && *c <= '9') || strchr("-._~", *c))
			appendStringInfoChar(out, *c);
		else
			appendStringInfo(out, "%%%02X", *c);
	}
}

/* Appends the post's URL as a JSON string, or null without a slug. */
static void
append_post_url(StringInfo out, Text workspace, Text post)
{
	const char *p = setting_post_url;

	if (post.data == NULL || post.length == 0 || post.cut || workspace.data == NULL ||
		workspace.cut)
	{
		appendStringInfoString(out, "null");
		return;
	}
	appendStringInfoChar(out, '"');
	while (*p)
	{
		if (strncmp(p, "{workspace}", 11) == 0)
		{
			append_url_encoded(out, workspace);
			p += 11;
		}
		else if (strncmp(p, "{post}", 6) == 0)
		{
			append_url_encoded(out, post);
			p += 6;
		}
		else
		{
			int run = 1 + strcspn(p + 1, "{");

			append_json_escaped(out, p, run);
			p += run;
		}
	}
	appendStringInfoChar(out, '"');
}

/* Appends the object workspace, with its key. */
static void
append_workspace(StringInfo out, const Payload *payload)
{
	appendStringInfoString(out, "\"workspace\":{");
	append_key(out, "id", payload->workspace_id);
	appendStringInfoChar(out, ',');
	append_key(out, "name", payload->workspace_name);
	appendStringInfoChar(out, ',');
	append_key(out, "slug", payload->workspace_slug);
	appendStringInfoChar(out, '}');
}

/* Appends the object post, with its key. */
static void
append_post(StringInfo out, const Payload *payload)
{
	char upvotes[MAXINT8LEN + 1];

	appendStringInfoString(out, "\"post\":{");
	append_key(out, "id", payload->post_id);
	appendStringInfoChar(out, ',');
	append_key(out, "title", payload->title);
	appendStringInfoChar(out, ',');
	append_key(out, "content", payload->content);
	appendStringInfoString(out, ",\"url\":");
	append_post_url(out, payload->workspace_slug, payload->slug);
	append_literal(out, ",\"upvotes\":");
	appendBinaryStringInfo(out, upvotes, pg_lltoa(payload->upvotes, upvotes));
	appendStringInfoChar(out, ',');
	append_key(out, "board", payload->board);
	appendStringInfoChar(out, ',');
	append_key(out, "status", payload->status);
	appendStringInfoString(out, ",\"author\":{");
	append_key(out, "name", person_name(&payload->author, payload->hides_identity));
	appendStringInfoChar(out, ',');
	append_key(out, "email",
			   payload->author.known && !payload->hides_identity ? payload->author.email
																 : text_of(NULL));
	appendStringInfoString(out, "},");
	append_key(out, "createdAt", payload->post_created_at);
	appendStringInfoChar(out, ',');
	append_key(out, "image",
			   payload->image.length <= IMAGE_MAX_BYTES ? payload->image : text_of(NULL));
	if (payload->content.cut || payload->title.cut)
		appendStringInfoString(out, ",\"truncated\":true");
	appendStringInfoChar(out, '}');
}

/* Appends the object comment, with its key and the comma before it. */
static void
append_comment(StringInfo out, const Payload *payload)
{
	appendStringInfoString(out, ",\"comment\":{");
	append_key(out, "id", payload->comment_id);
	appendStringInfoChar(out, ',');
	append_key(out, "content", payload->comment_content);
	appendStringInfoString(out, ",\"author\":{");
	append_key(out, "name", person_name(&payload->commenter, payload->hides_identity));
	appendStringInfoChar(out, ',');
	append_key(out, "role",
			   payload->commenter.known && !payload->hides_identity ? payload->role
																	: text_of(NULL));
	appendStringInfoString(out, "},");
	append_key(out, "createdAt", payload->comment_created_at);
	if (payload->comment_content.cut)
		appendStringInfoString(out, ",\"truncated\":true");
	appendStringInfoChar(out, '}');
}

/* Appends the object author, with its key, of whom only the name is told. */
static void
append_author(StringInfo out, Text name)
{
	appendStringInfoString(out, "\"author\":{");
	append_key(out, "name", name);
	appendStringInfoChar(out, '}');
}

/* Appends a flag that was raised, with its key. */
static void
append_raised(StringInfo out, const char *flag)
{
	appendStringInfo(out, ",\"changes\":{\"%s\":{\"from\":false,\"to\":true}}", flag);
}

/* What this event adds to workspace and post.  The compiler complains when one is left out. */
static void
append_specifics(StringInfo out, const Payload *payload)
{
	Text other = person_name(&payload->other, payload->hides_identity);

	switch (payload->event)
	{
		case EVENT_POST_CREATED:
			break;
		case EVENT_POST_STATUS_CHANGED:
			appendStringInfoString(out, ",\"changes\":{\"status\":{");
			append_key(out, "from", payload->from_status);
			appendStringInfoChar(out, ',');
			append_key(out, "to", payload->status);
			appendStringInfoString(out, "}}");
			break;
		case EVENT_POST_PINNED:
			append_raised(out, "pinned");
			break;
		case EVENT_POST_FEATURED:
			append_raised(out, "featured");
			break;
		case EVENT_POST_LOCKED:
			append_raised(out, "locked");
			break;
		case EVENT_POST_UPVOTED:
			appendStringInfoString(out, ",\"vote\":{");
			append_author(out, other);
			appendStringInfoChar(out, '}');
			break;
		case EVENT_POST_MILESTONE:
			appendStringInfo(out, ",\"milestone\":%d", payload->milestone);
			break;
		case EVENT_COMMENT_CREATED:
			append_comment(out, payload);
			break;
		case EVENT_COMMENT_MENTION:
			append_comment(out, payload);
			appendStringInfoString(out, ",\"mention\":{");
			append_key(out, "name", other);
			appendStringInfoChar(out, '}');
			break;
		case EVENT_COMMENT_REACTION:
			append_comment(out, payload);
			appendStringInfoString(out, ",\"reaction\":{");
			append_key(out, "type", payload->reaction);
			appendStringInfoChar(out, ',');
			append_author(out, other);
			appendStringInfoChar(out, '}');
			break;
		case EVENT_COUNT: /* is none */
			break;
	}
}

/* Appends the payload with the texts as they are now. */
static void
append_payload(StringInfo out, const Payload *payload)
{
	appendStringInfoChar(out, '{');
	append_key(out, "event", text_of(event_definitions[payload->event].name));
	appendStringInfoChar(out, ',');
	append_workspace(out, payload);
	appendStringInfoChar(out, ',');
	append_post(out, payload);
	append_specifics(out, payload);
	appendStringInfoChar(out, '}');
}

/* Bytes that what has been appended from there on has as UTF-8. */
static int
utf8_length(const StringInfo text, int start)
{
	char *utf8;
	int	  length;

	if (GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII)
		return text->len - start;
	utf8 = text_to_utf8(text->data + start, text->len - start);
	length = strlen(utf8);
	if (utf8 != text->data + start)
		pfree(utf8);
	return length;
}

/* The text to be cut next: the longest content, then the title. */
static Text *
text_to_cut(Payload *payload)
{
	Text *longest = &payload->content;

	if (payload->comment_content.length > longest->length)
		longest = &payload->comment_content;
	return longest->length > 0 ? longest : &payload->title;
}

/*
 * Bounds everything but title and contents where it is so much that little room
 * would be left for them.
 */
static void
clip_others(Payload *payload)
{
	Text *others[] = {
		&payload->workspace_id,	   &payload->workspace_name, &payload->workspace_slug,
		&payload->board,		   &payload->post_id,		 &payload->slug,
		&payload->status,		   &payload->author.name,	 &payload->author.email,
		&payload->from_status,	   &payload->comment_id,	 &payload->commenter.name,
		&payload->commenter.email, &payload->role,			 &payload->other.name,
		&payload->other.email,	   &payload->reaction
	};

	int sum = 0;

	for (int i = 0; i < lengthof(others); i++)
		sum += others[i]->length;
	if (sum <= TEXT_MAX_BYTES / 8)
		return;
	for (int i = 0; i < lengthof(others); i++)
		*others[i] = text_clipped(*others[i], OTHER_MAX_BYTES);
}

/* Bytes that a text takes as a JSON string in UTF-8. */
static int
encoded_length(Text text)
{
	StringInfoData json;
	int			   length;

	initStringInfo(&json);
	append_text(&json, text);
	length = utf8_length(&json, 0);
	pfree(json.data);
	return length;
}

/*
 * See payload.h.  A text is cut in proportion to what it takes encoded; its
 * escapes may not be spread evenly, so that can take a few rounds.
 */
void
payload_build(StringInfo out, Payload *payload)
{
	int start = out->len;

	clip_others(payload);
	append_payload(out, payload);
	for (;;)
	{
		int	  excess = utf8_length(out, start) - TEXT_MAX_BYTES;
		Text *text;
		int	  keep;
		int	  encoded;

		if (excess <= 0)
			return;
		text = text_to_cut(payload);
		if (text->length == 0)
			return;
		encoded = encoded_length(*text);
		excess += strlen(",\"truncated\":true");
		keep = excess < encoded ? (int64) text->length * (encoded - excess) / encoded : 0;
		/* of two long contents the other may be the longer one then */
		if (payload->content.length > 0 && payload->comment_content.length > 0)
			keep = Max(keep, text->length / 2);
		*text = text_clipped(*text, Min(keep, text->length - 1));
		out->len = start;
		append_payload(out, payload);
	}
}

/* See payload.h. */
char *
payload_test(const char *workspace_id, const char *name, const char *slug)
{
	StringInfoData out;
	Payload		   payload = { 0 };
	const char	  *shown = name ? name : (slug ? slug : workspace_id);

	payload.workspace_id = text_clipped(text_of(workspace_id), OTHER_MAX_BYTES);
	payload.workspace_name = text_clipped(text_of(name), OTHER_MAX_BYTES);
	payload.workspace_slug = text_clipped(text_of(slug), OTHER_MAX_BYTES);
	initStringInfo(&out);
	appendStringInfoString(&out, "{\"event\":\"" EVENT_TEST_NAME "\",");
	append_workspace(&out, &payload);
	appendStringInfoChar(&out, ',');
	append_key(
		&out, "message",
		text_of(psprintf("This is a test notification from featul for %.*s.",
						 text_clipped(text_of(shown), OTHER_MAX_BYTES).length, shown)));
	appendStringInfoChar(&out, '}');
	return out.data;
}

/* See payload.h. */
char *
payload_sample(EventKind event, const char *workspace_id, const char *name,
			   const char *slug)
{
	StringInfoData out;
	Payload		   payload = { 0 };
	Person		   ada = { true, text_of("Ada Lovelace"), text_of("ada@example.com") };
	Person grace = { true, text_of("Grace Hopper"), text_of("grace@example.com") };

	payload.event = event;
	payload.workspace_id = text_of(workspace_id);
	payload.workspace_name = text_of(name);
	payload.workspace_slug = text_of(slug);
	payload.board = text_of("Feature requests");
	payload.post_id = text_of("post_sample");
	payload.title = text_of("Dark mode for the dashboard");
	payload.content = text_of("It would be easier on the eyes at night.");
	payload.slug = text_of("dark-mode-for-the-dashboard");
	payload.upvotes = 12;
	payload.status = text_of("planned");
	payload.author = ada;
	payload.post_created_at = text_of("2026-01-15T09:30:00Z");
	payload.from_status = text_of("under_review");
	payload.milestone = 10;
	payload.comment_id = text_of("comment_sample");
	payload.comment_content = text_of("We would use this every day.");
	payload.commenter = grace;
	payload.role = text_of("member");
	payload.comment_created_at = text_of("2026-01-15T10:00:00Z");
	payload.other = grace;
	payload.reaction = text_of("upvote");
	if (event == EVENT_COMMENT_MENTION || event == EVENT_COMMENT_REACTION)
		payload.other = ada;

	initStringInfo(&out);
	payload_build(&out, &payload);
	return out.data;
}
