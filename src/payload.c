/*
 * payload.c
 *		The canonical JSON payload of an event, keys in the contract's order.
 *
 * Builds text directly: jsonb would reorder the keys, and the bytes written
 * here are the bytes that are signed and sent.  Knows no tables; who may be
 * named is decided here (privacy), what happened is decided in capture.c.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "payload.h"
#include "settings.h"
#include "text.h"

/*
 * Longest any other text (a name, a slug, a status) may be in a payload that
 * does not fit although content and title are cut to nothing.  Our own bound.
 */
#define OTHER_MAX_BYTES 512

const char *const payload_event_names[] = {
	"post.created",
	"post.status_changed",
	"post.pinned",
	"post.featured",
	"post.locked",
	"post.upvoted",
	"post.milestone",
	"comment.created",
	"comment.mention",
	"comment.reaction",
	NULL
};

/* A text of the payload: bytes in database encoding, not NUL-terminated. */
typedef struct Text
{
	const char *data;			/* NULL: SQL NULL */
	int			length;
	bool		cut;			/* shorter than the original */
} Text;

/* A person as the row and the user table know them. */
typedef struct Person
{
	bool		known;			/* neither missing nor anonymous */
	Text		name;
	Text		email;
} Person;

/* Everything a payload can show. */
typedef struct Payload
{
	Text		event;
	Text		workspace_id;
	Text		workspace_name;
	Text		workspace_slug;
	bool		hides_identity;
	Text		board;
	Text		post_id;
	Text		title;
	Text		content;
	Text		slug;
	int64		upvotes;
	Text		status;
	Person		author;
	Text		post_created_at;
	Text		from_status;
	int			milestone;
	Text		comment_id;
	Text		comment_content;
	Person		commenter;
	Text		role;
	Text		comment_created_at;
	Person		other;			/* voter, mentioned or reactor */
	Text		reaction;
} Payload;

/* True if this is the name of an event that can be subscribed to. */
bool
payload_event_known(const char *name)
{
	for (const char *const *known = payload_event_names; *known; known++)
		if (strcmp(*known, name) == 0)
			return true;
	return false;
}

static Text
text_of(const char *string)
{
	Text		text = { string, string ? strlen(string) : 0, false };

	return text;
}

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

/* Appends a JSON string, or null. */
static void
append_text(StringInfo out, Text text)
{
	char	   *string;

	if (text.data == NULL)
	{
		appendStringInfoString(out, "null");
		return;
	}
	string = text_sanitized(text.data, text.length);
	escape_json(out, string);
	pfree(string);
}

static void
append_key(StringInfo out, const char *key, Text text)
{
	appendStringInfo(out, "\"%s\":", key);
	append_text(out, text);
}

/*
 * The name shown for a person: "Member" on a board that hides identities,
 * "Anonymous" when missing or anonymous; never a whole e-mail address.
 */
static Text
person_name(const Person *person, bool hides_identity)
{
	Text		name = person->name;
	const char *at;

	if (hides_identity)
		return text_of("Member");
	if (!person->known)
		return text_of("Anonymous");
	if (name.data == NULL || name.length == 0)
		name = person->email;
	if (name.data == NULL || name.length == 0)
		return text_of("Anonymous");
	at = memchr(name.data, '@', name.length);
	if (at != NULL && at > name.data && at < name.data + name.length - 1 &&
		memchr(name.data, ' ', name.length) == NULL)
		name.length = at - name.data;
	return name;
}

/* Appends the slug, percent-encoded as UTF-8 (RFC 3986: unreserved kept). */
static void
append_url_encoded(StringInfo out, Text slug)
{
	char	   *utf8 = text_to_utf8(slug.data, slug.length);

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
	StringInfoData url;
	const char *p = setting_post_url;

	if (post.data == NULL || post.length == 0 || workspace.data == NULL)
	{
		appendStringInfoString(out, "null");
		return;
	}
	initStringInfo(&url);
	while (*p)
	{
		if (strncmp(p, "{workspace}", 11) == 0)
		{
			append_url_encoded(&url, workspace);
			p += 11;
		}
		else if (strncmp(p, "{post}", 6) == 0)
		{
			append_url_encoded(&url, post);
			p += 6;
		}
		else
			appendStringInfoChar(&url, *p++);
	}
	escape_json(out, url.data);
	pfree(url.data);
}

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

static void
append_post(StringInfo out, const Payload *payload)
{
	appendStringInfoString(out, "\"post\":{");
	append_key(out, "id", payload->post_id);
	appendStringInfoChar(out, ',');
	append_key(out, "title", payload->title);
	appendStringInfoChar(out, ',');
	append_key(out, "content", payload->content);
	appendStringInfoString(out, ",\"url\":");
	append_post_url(out, payload->workspace_slug, payload->slug);
	appendStringInfo(out, ",\"upvotes\":" INT64_FORMAT ",", payload->upvotes);
	append_key(out, "board", payload->board);
	appendStringInfoChar(out, ',');
	append_key(out, "status", payload->status);
	appendStringInfoString(out, ",\"author\":{");
	append_key(out, "name", person_name(&payload->author, payload->hides_identity));
	appendStringInfoChar(out, ',');
	append_key(out, "email",
			   payload->author.known && !payload->hides_identity ?
			   payload->author.email : text_of(NULL));
	appendStringInfoString(out, "},");
	append_key(out, "createdAt", payload->post_created_at);
	if (payload->content.cut || payload->title.cut)
		appendStringInfoString(out, ",\"truncated\":true");
	appendStringInfoChar(out, '}');
}

static void
append_comment(StringInfo out, const Payload *payload)
{
	appendStringInfoString(out, "\"comment\":{");
	append_key(out, "id", payload->comment_id);
	appendStringInfoChar(out, ',');
	append_key(out, "content", payload->comment_content);
	appendStringInfoString(out, ",\"author\":{");
	append_key(out, "name", person_name(&payload->commenter, payload->hides_identity));
	appendStringInfoChar(out, ',');
	append_key(out, "role",
			   payload->commenter.known && !payload->hides_identity ?
			   payload->role : text_of(NULL));
	appendStringInfoString(out, "},");
	append_key(out, "createdAt", payload->comment_created_at);
	if (payload->comment_content.cut)
		appendStringInfoString(out, ",\"truncated\":true");
	appendStringInfoChar(out, '}');
}

/* What this event adds to workspace and post. */
static void
append_specifics(StringInfo out, const Payload *payload)
{
	const char *event = payload->event.data;
	Text		other = person_name(&payload->other, payload->hides_identity);

	if (strcmp(event, "post.status_changed") == 0)
	{
		appendStringInfoString(out, ",\"changes\":{\"status\":{");
		append_key(out, "from", payload->from_status);
		appendStringInfoChar(out, ',');
		append_key(out, "to", payload->status);
		appendStringInfoString(out, "}}");
	}
	else if (strcmp(event, "post.pinned") == 0 || strcmp(event, "post.featured") == 0 ||
			 strcmp(event, "post.locked") == 0)
		appendStringInfo(out, ",\"changes\":{\"%s\":{\"from\":false,\"to\":true}}",
						 event + strlen("post."));
	else if (strcmp(event, "post.milestone") == 0)
		appendStringInfo(out, ",\"milestone\":%d", payload->milestone);
	else if (strcmp(event, "post.upvoted") == 0)
	{
		appendStringInfoString(out, ",\"vote\":{\"author\":{");
		append_key(out, "name", other);
		appendStringInfoString(out, "}}");
	}
	else if (strncmp(event, "comment.", 8) == 0)
	{
		appendStringInfoChar(out, ',');
		append_comment(out, payload);
		if (strcmp(event, "comment.mention") == 0)
		{
			appendStringInfoString(out, ",\"mention\":{");
			append_key(out, "name", other);
			appendStringInfoChar(out, '}');
		}
		else if (strcmp(event, "comment.reaction") == 0)
		{
			appendStringInfoString(out, ",\"reaction\":{");
			append_key(out, "type", payload->reaction);
			appendStringInfoString(out, ",\"author\":{");
			append_key(out, "name", other);
			appendStringInfoString(out, "}}");
		}
	}
}

static void
append_payload(StringInfo out, const Payload *payload)
{
	resetStringInfo(out);
	appendStringInfoChar(out, '{');
	append_key(out, "event", payload->event);
	appendStringInfoChar(out, ',');
	append_workspace(out, payload);
	appendStringInfoChar(out, ',');
	append_post(out, payload);
	append_specifics(out, payload);
	appendStringInfoChar(out, '}');
}

/* Bytes that this text has as UTF-8. */
static int
utf8_length(const StringInfo text)
{
	char	   *utf8;
	int			length;

	if (GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII)
		return text->len;
	utf8 = text_to_utf8(text->data, text->len);
	length = strlen(utf8);
	if (utf8 != text->data)
		pfree(utf8);
	return length;
}

/* The text to be cut next: the longest content, then the title. */
static Text *
text_to_cut(Payload *payload)
{
	Text	   *longest = &payload->content;

	if (payload->comment_content.length > longest->length)
		longest = &payload->comment_content;
	return longest->length > 0 ? longest : &payload->title;
}

/* Last resort against absurd names: bounds everything else. */
static void
clip_others(Payload *payload)
{
	Text	   *others[] = {
		&payload->workspace_id, &payload->workspace_name, &payload->workspace_slug,
		&payload->board, &payload->post_id, &payload->slug, &payload->status,
		&payload->author.name, &payload->author.email, &payload->from_status,
		&payload->comment_id, &payload->commenter.name, &payload->commenter.email,
		&payload->role, &payload->other.name, &payload->other.email, &payload->reaction
	};

	for (int i = 0; i < lengthof(others); i++)
		*others[i] = text_clipped(*others[i], OTHER_MAX_BYTES);
}

/*
 * Builds the payload within PAYLOAD_MAX_BYTES.  Each round cuts in proportion
 * to what is over, so a few rounds do whatever the escapes cost.
 */
static void
build_payload(StringInfo out, Payload *payload)
{
	append_payload(out, payload);
	for (;;)
	{
		int			excess = utf8_length(out) - PAYLOAD_MAX_BYTES;
		Text	   *text;
		int			keep;

		if (excess <= 0)
			return;
		text = text_to_cut(payload);
		if (text->length == 0)
		{
			clip_others(payload);
			append_payload(out, payload);
			return;
		}
		/* 18: ,"truncated":true */
		keep = text->length - Max(1, (int) ((int64) text->length * (excess + 18) /
											Max(out->len, 1)));
		*text = text_clipped(*text, Max(keep, 0));
		append_payload(out, payload);
	}
}

/*
 * ISO 8601 in UTC, to the second, as the contract wants it; NULL where the
 * timestamp is infinite.  Result palloc'd.
 */
static Text
text_of_timestamp(TimestampTz timestamp)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (TIMESTAMP_NOT_FINITE(timestamp) ||
		timestamp2tm(timestamp, NULL, &tm, &fsec, NULL, NULL) != 0)
		return text_of(NULL);
	return text_of(psprintf("%s%04d-%02d-%02dT%02d:%02d:%02dZ",
							tm.tm_year < 0 ? "-" : "", abs(tm.tm_year), tm.tm_mon,
							tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec));
}

/* A text argument, at most PAYLOAD_MAX_BYTES of it detoasted. */
static Text
argument_text(FunctionCallInfo fcinfo, int n)
{
	Text		text = { NULL, 0, false };
	struct varlena *value;

	if (PG_ARGISNULL(n))
		return text;
	value = (struct varlena *) PG_GETARG_POINTER(n);
	if (toast_raw_datum_size(PointerGetDatum(value)) - VARHDRSZ > PAYLOAD_MAX_BYTES)
	{
		value = PG_DETOAST_DATUM_SLICE(PointerGetDatum(value), 0, PAYLOAD_MAX_BYTES);
		text.cut = true;
	}
	else
		value = PG_DETOAST_DATUM_PACKED(PointerGetDatum(value));
	text.data = VARDATA_ANY(value);
	text.length = VARSIZE_ANY_EXHDR(value);
	if (text.cut)				/* the slice may end within a character */
		text.length = pg_mbcliplen(text.data, text.length, text.length);
	return text;
}

static Person
argument_person(FunctionCallInfo fcinfo, int n)
{
	Person		person;

	person.known = !PG_ARGISNULL(n) && PG_GETARG_BOOL(n);
	person.name = argument_text(fcinfo, n + 1);
	person.email = argument_text(fcinfo, n + 2);
	return person;
}

static Text
argument_timestamp(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? text_of(NULL) : text_of_timestamp(PG_GETARG_TIMESTAMPTZ(n));
}

FEATUL_FUNCTION(featul_payload);

/*
 * featul_integrations.payload(...) RETURNS json: called by the capture
 * statement for each event; see the install script for the arguments.
 */
Datum
featul_payload(PG_FUNCTION_ARGS)
{
	Payload		payload = { 0 };
	StringInfoData out;
	int			n = 0;

	payload.event = text_of(text_to_cstring(PG_GETARG_TEXT_PP(n++)));
	payload.workspace_id = argument_text(fcinfo, n++);
	payload.workspace_name = argument_text(fcinfo, n++);
	payload.workspace_slug = argument_text(fcinfo, n++);
	payload.hides_identity = !PG_ARGISNULL(n) && PG_GETARG_BOOL(n);
	n++;
	payload.board = argument_text(fcinfo, n++);
	payload.post_id = argument_text(fcinfo, n++);
	payload.title = argument_text(fcinfo, n++);
	payload.content = argument_text(fcinfo, n++);
	payload.slug = argument_text(fcinfo, n++);
	payload.upvotes = PG_ARGISNULL(n) ? 0 : PG_GETARG_INT64(n);
	n++;
	payload.status = argument_text(fcinfo, n++);
	payload.author = argument_person(fcinfo, n);
	n += 3;
	payload.post_created_at = argument_timestamp(fcinfo, n++);
	payload.from_status = argument_text(fcinfo, n++);
	payload.milestone = PG_ARGISNULL(n) ? 0 : PG_GETARG_INT32(n);
	n++;
	payload.comment_id = argument_text(fcinfo, n++);
	payload.comment_content = argument_text(fcinfo, n++);
	payload.commenter = argument_person(fcinfo, n);
	n += 3;
	payload.role = argument_text(fcinfo, n++);
	payload.comment_created_at = argument_timestamp(fcinfo, n++);
	payload.other = argument_person(fcinfo, n);
	n += 3;
	payload.reaction = argument_text(fcinfo, n++);
	Assert(n == PG_NARGS());

	initStringInfo(&out);
	build_payload(&out, &payload);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}

/* See payload.h. */
char *
payload_test(const char *workspace_id, const char *name, const char *slug)
{
	StringInfoData out;
	Payload		payload = { 0 };
	const char *shown = name ? name : (slug ? slug : workspace_id);

	payload.workspace_id = text_clipped(text_of(workspace_id), OTHER_MAX_BYTES);
	payload.workspace_name = text_clipped(text_of(name), OTHER_MAX_BYTES);
	payload.workspace_slug = text_clipped(text_of(slug), OTHER_MAX_BYTES);
	initStringInfo(&out);
	appendStringInfoString(&out, "{\"event\":\"integration.test\",");
	append_workspace(&out, &payload);
	appendStringInfoChar(&out, ',');
	append_key(&out, "message",
			   text_of(psprintf("This is a test notification from featul for %.*s.",
								text_clipped(text_of(shown), OTHER_MAX_BYTES).length,
								shown)));
	appendStringInfoChar(&out, '}');
	return out.data;
}

/* See payload.h. */
char *
payload_sample(const char *event, const char *workspace_id, const char *name,
			   const char *slug)
{
	StringInfoData out;
	Payload		payload = { 0 };
	Person		ada = { true, text_of("Ada Lovelace"), text_of("ada@example.com") };
	Person		grace = { true, text_of("Grace Hopper"), text_of("grace@example.com") };

	payload.event = text_of(event);
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
	if (strcmp(event, "comment.mention") == 0 || strcmp(event, "comment.reaction") == 0)
		payload.other = ada;

	initStringInfo(&out);
	build_payload(&out, &payload);
	return out.data;
}
