/*
 * discord.c
 *		Webhooks of Discord: one embed a message.
 *
 * Sources: https://discord.com/developers/docs/resources/webhook (URLs),
 * .../resources/message#embed-object (limits),
 * .../topics/rate-limits (headers and body of a 429),
 * .../topics/opcodes-and-status-codes#json (codes) and
 * .../reference#user-agent.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/timestamp.h"

#include "channel/channel.h"
#include "channel/message.h"
#include "base/settings.h"
#include "base/text.h"
#include "channel/url.h"

/* Limits in code points, counted after escaping: of Discord ... */
#define TITLE_MAX 256
#define AUTHOR_MAX 256
#define DESCRIPTION_MAX 4096
#define FOOTER_MAX 2048

/* ... and our own, so that all together stays below Discord's 6,000. */
#define FIELD_MAX 256

/* Design 5. */
#define EXCERPT_CHARACTERS 300

#define ELLIPSIS "\xE2\x80\xA6" /* U+2026 */
#define EM_DASH "\xE2\x80\x94"	/* U+2014: a field without a value */

#define URL_HINT                                                                         \
	"Copy it from the channel's settings, Integrations, Webhooks: "                      \
	"https://discord.com/api/webhooks/ID/TOKEN"

/* discord.com and discordapp.com, also of the ptb and canary builds. */
static bool
host_known(const char *host)
{
	if (strncmp(host, "ptb.", 4) == 0)
		host += 4;
	else if (strncmp(host, "canary.", 7) == 0)
		host += 7;
	return strcmp(host, "discord.com") == 0 || strcmp(host, "discordapp.com") == 0;
}

/* /api/webhooks/ID/TOKEN or /api/vN/webhooks/ID/TOKEN */
static bool
path_known(const char *path)
{
	size_t digits;

	if (strncmp(path, "/api/", 5) != 0)
		return false;
	path += 5;
	if (*path == 'v')
	{
		digits = strspn(path + 1, "0123456789");
		if (digits == 0 || path[1 + digits] != '/')
			return false;
		path += 1 + digits + 1;
	}
	if (strncmp(path, "webhooks/", 9) != 0)
		return false;
	path += 9;
	digits = strspn(path, "0123456789");
	if (digits == 0 || path[digits] != '/')
		return false;
	path = url_skip_segment(path + digits + 1);
	return path != NULL && *path == '\0';
}

/* None, or thread_id=ID */
static bool
query_known(const char *query)
{
	if (query == NULL)
		return true;
	if (strncmp(query, "thread_id=", 10) != 0 || query[10] == '\0')
		return false;
	return query[10 + strspn(query + 10, "0123456789")] == '\0';
}

/* Channel.check_url: design 3's forms and no other. */
static void
check_url(const char *url)
{
	WebhookUrl parts;

	url_parse(url, URL_HINT, &parts);
	if (!parts.default_port || !host_known(parts.host) || !path_known(parts.path) ||
		!query_known(parts.query))
		url_refuse("Not a Discord webhook URL", URL_HINT);
}

/*
 * True if Discord's Markdown could take this character for its own.  A
 * backslash before any other than a letter, digit or space is not shown.
 */
static bool
is_markdown(const char *text, const char *c)
{
	if (strchr("\\*_~`|<>[]@", *c))
		return true;
	/* headings, lists and quotes: only where a line starts */
	if (c == text)
		return strchr("#-+", *c) != NULL;
	return (*c == '.' || *c == ')') && strspn(text, "0123456789") == c - text;
}

/*
 * A copy of at most so many code points, escapes (if escaped) and ellipsis
 * included; neither a character nor an escape is cut.
 */
static char *
clipped(const char *utf8, int max_code_points, bool escaped)
{
	StringInfoData out;
	int			   count = 0;
	int			   kept = 0; /* bytes that leave room for the ellipsis */

	initStringInfo(&out);
	for (const char *c = utf8; *c;)
	{
		bool escape = escaped && is_markdown(utf8, c);
		int	 size = pg_utf_mblen((const unsigned char *) c);

		count += escape ? 2 : 1;
		if (count > max_code_points)
		{
			out.len = kept;
			out.data[kept] = '\0';
			appendStringInfoString(&out, ELLIPSIS);
			break;
		}
		if (escape)
			appendStringInfoChar(&out, '\\');
		appendBinaryStringInfo(&out, c, size);
		if (count < max_code_points)
			kept = out.len;
		c += size;
	}
	return out.data;
}

/* Appends "key":"text". */
static void
append_key(StringInfo out, const char *key, const char *utf8)
{
	appendStringInfo(out, "\"%s\":", key);
	text_append_json(out, utf8);
}

/* Appends a field; none may be empty, so a dash stands for what is not known. */
static void
append_field(StringInfo out, const char *name, const char *value)
{
	appendStringInfoChar(out, '{');
	append_key(out, "name", name);
	appendStringInfoChar(out, ',');
	append_key(out, "value", value ? clipped(value, FIELD_MAX, true) : EM_DASH);
	appendStringInfoString(out, ",\"inline\":true}");
}

/* The colour at an embed's edge, by event; our own choice. */
static int
colour_of(const char *event)
{
	static const struct
	{
		const char *event;
		int			colour;
	} colours[] = {
		{ "post.created", 0x3B82F6 },		 /* blue */
		{ "post.status_changed", 0x8B5CF6 }, /* violet */
		{ "post.pinned", 0xF59E0B },		 /* amber */
		{ "post.featured", 0xEAB308 },		 /* yellow */
		{ "post.locked", 0x6B7280 },		 /* grey */
		{ "post.upvoted", 0x10B981 },		 /* emerald */
		{ "post.milestone", 0xEC4899 },		 /* pink */
		{ "comment.created", 0x06B6D4 },	 /* cyan */
		{ "comment.mention", 0xF97316 },	 /* orange */
		{ "comment.reaction", 0x84CC16 },	 /* lime */
	};

	for (int i = 0; i < lengthof(colours); i++)
		if (strcmp(colours[i].event, event) == 0)
			return colours[i].colour;
	return 0x64748B; /* slate */
}

/* ISO 8601 in UTC, as an embed's timestamp wants it; NULL if it is not finite. */
static char *
iso_timestamp(TimestampTz timestamp)
{
	struct pg_tm tm;
	fsec_t		 fsec;

	if (TIMESTAMP_NOT_FINITE(timestamp) ||
		timestamp2tm(timestamp, NULL, &tm, &fsec, NULL, NULL) != 0)
		return NULL;
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year, tm.tm_mon, tm.tm_mday,
					tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* Appends the embed. */
static void
append_embed(StringInfo out, const Event *event, const Message *message)
{
	char *timestamp = iso_timestamp(event->created_at);

	appendStringInfoString(out, "{\"author\":{");
	/* neither the author line nor the footer is Markdown */
	append_key(out, "name", clipped(message->headline, AUTHOR_MAX, false));
	appendStringInfoChar(out, '}');
	if (message->title)
	{
		appendStringInfoChar(out, ',');
		append_key(out, "title", clipped(message->title, TITLE_MAX, true));
	}
	if (message->title && message->url)
	{
		appendStringInfoChar(out, ',');
		append_key(out, "url", message->url);
	}
	if (message->text)
	{
		appendStringInfoChar(out, ',');
		append_key(out, "description", clipped(message->text, DESCRIPTION_MAX, true));
	}
	appendStringInfo(out, ",\"color\":%d", colour_of(event->name));
	if (message->title)
	{
		appendStringInfoString(out, ",\"fields\":[");
		append_field(out, "Board", message->board);
		appendStringInfoChar(out, ',');
		append_field(out, "Status", message->status);
		appendStringInfoChar(out, ',');
		append_field(out, "Submitted by", message->author);
		appendStringInfoChar(out, ']');
	}
	if (timestamp)
	{
		appendStringInfoChar(out, ',');
		append_key(out, "timestamp", timestamp);
	}
	appendStringInfoString(out, ",\"footer\":{");
	append_key(out, "text", clipped(message->footer, FOOTER_MAX, false));
	appendStringInfoString(out, "}}");
}

/* Channel.render: one embed that pings nobody. */
static void
render(const Event *event, StringInfo body)
{
	Message message;

	message_compose(event, EXCERPT_CHARACTERS, &message);
	appendStringInfoString(body, "{\"embeds\":[");
	append_embed(body, event, &message);
	appendStringInfoString(body, "],\"allowed_mentions\":{\"parse\":[]}}");
}

/*
 * Where the value of a key of the outermost JSON object starts; NULL if there
 * is none.  Works on any bytes and depth without recursion and raises nothing,
 * which PostgreSQL's own parser does not promise (stack depth, encodings).
 */
static const char *
find_top_level(const char *json, const char *key)
{
	int	   depth = 0;
	size_t key_length = strlen(key);
	bool   expects_key = false;

	for (const char *c = json; *c; c++)
	{
		if (*c == '{' || *c == '[')
			expects_key = ++depth == 1 && *c == '{';
		else if (*c == '}' || *c == ']')
			depth--;
		else if (*c == ',')
			expects_key = depth == 1 && *json == '{';
		else if (*c == '"')
		{
			const char *start = c + 1;

			for (c++; *c != '"'; c++)
			{
				if (*c == '\\' && c[1] != '\0')
					c++;
				else if (*c == '\0')
					return NULL;
			}
			if (expects_key && depth == 1 && c - start == key_length &&
				memcmp(start, key, key_length) == 0)
			{
				c += 1 + strspn(c + 1, " \t\r\n");
				return *c == ':' ? c + 1 + strspn(c + 1, " \t\r\n") : NULL;
			}
			expects_key = false;
		}
	}
	return NULL;
}

/* A top-level number, true or false as the text it stands there, or NULL. */
static char *
top_level_value(const char *json, const char *key)
{
	const char *value;
	size_t		length;

	json += strspn(json, " \t\r\n");
	value = *json == '{' ? find_top_level(json, key) : NULL;
	if (value == NULL)
		return NULL;
	length = strcspn(value, ",}] \t\r\n");
	return length > 0 && length < 32 ? pnstrdup(value, length) : NULL;
}

/* Discord's JSON codes; which of them are for good is design 5. */
static const struct
{
	const char *code;
	const char *reason; /* NULL: the message is malformed */
} codes[] = {
	{ "10015", "Discord says that this webhook was deleted" },
	{ "10003", "Discord says that the channel was deleted" },
	{ "50027", "Discord says that this webhook's token is not valid" },
	{ "50013", "Discord says that this webhook lacks permission to post" },
	{ "220001",
	  "Discord says that webhooks can only post to threads of this forum channel" },
	{ "50035", NULL },	/* invalid form body */
	{ "50006", NULL },	/* cannot send an empty message */
	{ "40005", NULL },	/* request entity too large */
	{ "240000", NULL }, /* blocked by harmful links filter */
};

/*
 * Whether a 429 is for this server, not for one webhook: Discord's global limit
 * (https://discord.com/developers/docs/topics/rate-limits), or Cloudflare's in front
 * of it (error 1015, which has no JSON).
 */
static bool
holds_everybody(const HttpResult *result)
{
	char *global = top_level_value(result->body, "global");

	if (global)
		return strcmp(global, "true") == 0;
	return strstr(result->body, "1015") != NULL &&
		   top_level_value(result->body, "retry_after") == NULL;
}

/* Rate limits: when the next request is allowed, by header and by body. */
static void
judge_rate(const HttpResult *result, Verdict *verdict)
{
	char *retry_after = NULL;

	if (result->ratelimit_remaining && strcmp(result->ratelimit_remaining, "0") == 0 &&
		result->ratelimit_reset_after)
		verdict->pace_ms = Max(channel_seconds_to_ms(result->ratelimit_reset_after), 0);
	if (result->status == 429)
	{
		retry_after = top_level_value(result->body, "retry_after");
		verdict->holds_channel = holds_everybody(result);
	}
	/* the body has the fraction that the header rounds up */
	if (retry_after && channel_seconds_to_ms(retry_after) > 0)
		verdict->hold_ms = channel_seconds_to_ms(retry_after);
}

/* Channel.judge: rate limits and codes. */
static bool
judge(const HttpResult *result, Verdict *verdict)
{
	char *code;

	judge_rate(result, verdict);
	if (result->status / 100 != 4 ||
		(code = top_level_value(result->body, "code")) == NULL)
		return false;
	for (int i = 0; i < lengthof(codes); i++)
	{
		if (strcmp(codes[i].code, code) != 0)
			continue;
		verdict->kind = codes[i].reason ? VERDICT_GONE : VERDICT_REJECTED;
		verdict->error = psprintf("HTTP %d: code %s", result->status, code);
		verdict->reason =
			codes[i].reason ? psprintf("%s (code %s).", codes[i].reason, code) : NULL;
		return true;
	}
	return false;
}

const Channel discord_channel = { .type = "discord",
								  .label = "Discord",
								  .user_agent =
									  "DiscordBot (https://featul.com, " FEATUL_VERSION
									  ")",
								  .fixed_hosts = true,
								  .merges = true,
								  .check_url = check_url,
								  .render = render,
								  .judge = judge };
