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

#include "utils/timestamp.h"

#include "base/event_kind.h"
#include "base/settings.h"
#include "channel/channel.h"
#include "channel/markup.h"
#include "channel/message.h"
#include "channel/url.h"

/* Limits in code points, counted after escaping: of Discord ... */
#define TITLE_MAX 256
#define AUTHOR_MAX 256
#define DESCRIPTION_MAX 4096
#define FOOTER_MAX 2048

/* ... and our own, so that all together stays below Discord's 6,000 ... */
#define FIELD_MAX 256

/* ... and what tells several posts within a description. */
#define LINE_TITLE_MAX 100
#define LINE_NOTE_MAX 120
#define LINKS_MAX                                                                        \
	(DESCRIPTION_MAX - 50 - MESSAGE_LINES * (LINE_TITLE_MAX + LINE_NOTE_MAX + 6))

/* docs/application.md */
#define EXCERPT_CHARACTERS 300

#define EM_DASH "\xE2\x80\x94" /* U+2014: a field without a value */
#define BULLET "\xE2\x80\xA2 " /* U+2022 */

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

/* Channel.check_url: the forms of docs/application.md and no other. */
static void
check_url(const char *url)
{
	WebhookUrl parts;

	url_parse(url, URL_HINT, &parts);
	if (!parts.default_port || !host_known(parts.host) || !path_known(parts.path) ||
		!query_known(parts.query))
		url_refuse("Not a Discord webhook URL", URL_HINT);
}

/* Markup.append: what has a meaning in Discord's Markdown is escaped. */
static void
append_escaped(StringInfo out, const char *text, const char *c, int bytes)
{
	markup_append_markdown(out, "\\*_~`|<>[]@", text, c, bytes);
}

/* Author line and footer are plain text; all else is Markdown. */
static const Markup plain = { 0 };
static const Markup markdown = { .plain_urls = true, .append = append_escaped };

/* The posts of a message about several, as a description. */
static char *
lines_of(const Message *message)
{
	StringInfoData out;
	int			   room = LINKS_MAX;

	initStringInfo(&out);
	for (int i = 0; i < message->n_lines; i++)
	{
		const MessageLine *line = &message->lines[i];
		char			  *title = markup_clipped(&markdown, line->title, LINE_TITLE_MAX);

		appendStringInfoString(&out, i > 0 ? "\n" BULLET : BULLET);
		/* a label that looks like a URL makes Discord show the link's own text */
		if (line->url && strstr(line->title, "://") == NULL)
			markup_append_link(&out, title, line->url, &room);
		else
			appendStringInfoString(&out, title);
		if (line->note)
			appendStringInfo(&out, " " EM_DASH " %s",
							 markup_clipped(&markdown, line->note, LINE_NOTE_MAX));
	}
	if (message->more)
		appendStringInfo(&out, "\n%s", message->more);
	return out.data;
}

/* Appends a field; none may be empty, so a dash stands for what is not known. */
static void
append_field(StringInfo out, const char *name, const char *value)
{
	appendStringInfoChar(out, '{');
	markup_append_key(out, "name", name);
	appendStringInfoChar(out, ',');
	markup_append_key(out, "value",
					  value ? markup_clipped(&markdown, value, FIELD_MAX) : EM_DASH);
	appendStringInfoString(out, ",\"inline\":true}");
}

/* The colour at an embed's edge; our own choice.  The compiler complains when one is left out. */
static int
colour_of(EventKind kind)
{
	switch (kind)
	{
		case EVENT_POST_CREATED:
			return 0x3B82F6; /* blue */
		case EVENT_POST_STATUS_CHANGED:
			return 0x8B5CF6; /* violet */
		case EVENT_POST_PINNED:
			return 0xF59E0B; /* amber */
		case EVENT_POST_FEATURED:
			return 0xEAB308; /* yellow */
		case EVENT_POST_LOCKED:
			return 0x6B7280; /* grey */
		case EVENT_POST_UPVOTED:
			return 0x10B981; /* emerald */
		case EVENT_POST_MILESTONE:
			return 0xEC4899; /* pink */
		case EVENT_COMMENT_CREATED:
			return 0x06B6D4; /* cyan */
		case EVENT_COMMENT_MENTION:
			return 0xF97316; /* orange */
		case EVENT_COMMENT_REACTION:
			return 0x84CC16; /* lime */
		case EVENT_COUNT:	 /* integration.test */
			break;
	}
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
	char *description = NULL;

	if (message->n_lines > 0)
		description = lines_of(message);
	else if (message->text)
		description = markup_clipped(&markdown, message->text, DESCRIPTION_MAX);

	appendStringInfoString(out, "{\"author\":{");
	/* neither the author line nor the footer is Markdown */
	markup_append_key(out, "name", markup_clipped(&plain, message->headline, AUTHOR_MAX));
	appendStringInfoChar(out, '}');
	if (message->title)
	{
		appendStringInfoChar(out, ',');
		markup_append_key(out, "title",
						  markup_clipped(&markdown, message->title, TITLE_MAX));
	}
	if (message->title && message->url)
	{
		appendStringInfoChar(out, ',');
		markup_append_key(out, "url", message->url);
	}
	if (description)
	{
		appendStringInfoChar(out, ',');
		markup_append_key(out, "description", description);
	}
	appendStringInfo(out, ",\"color\":%d", colour_of(event_kind(event->name)));
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
	if (message->image)
	{
		appendStringInfoString(out, ",\"thumbnail\":{");
		markup_append_key(out, "url", message->image);
		appendStringInfoChar(out, '}');
	}
	if (timestamp)
	{
		appendStringInfoChar(out, ',');
		markup_append_key(out, "timestamp", timestamp);
	}
	appendStringInfoString(out, ",\"footer\":{");
	markup_append_key(out, "text", markup_clipped(&plain, message->footer, FOOTER_MAX));
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

/* Discord's JSON codes; which of them are for good is our reading. */
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
	const char *remaining = http_header(result, "X-RateLimit-Remaining");
	const char *reset_after = http_header(result, "X-RateLimit-Reset-After");
	char	   *retry_after = NULL;

	if (remaining && strcmp(remaining, "0") == 0 && reset_after)
		verdict->pace_ms = Max(channel_seconds_to_ms(reset_after), 0);
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

static const char *const headers[] = { "Retry-After", "X-RateLimit-Remaining",
									   "X-RateLimit-Reset-After", NULL };

StaticAssertDecl(lengthof(headers) <= HTTP_MAX_HEADERS + 1, "too many headers");

const Channel discord_channel = { .type = "discord",
								  .label = "Discord",
								  .user_agent =
									  "DiscordBot (https://featul.com, " FEATUL_VERSION
									  ")",
								  .fixed_hosts = true,
								  .merges = true,
								  .headers = headers,
								  .check_url = check_url,
								  .render = render,
								  .judge = judge };
