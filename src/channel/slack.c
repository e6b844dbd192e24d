/*
 * slack.c
 *		Incoming webhooks of Slack: Block Kit messages.
 *
 * Sources: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
 * (URLs, errors), https://docs.slack.dev/reference/block-kit/blocks and
 * .../composition-objects/text-object (limits),
 * https://docs.slack.dev/messaging/formatting-message-text (escapes) and
 * https://docs.slack.dev/apis/web-api/rate-limits (one message a second).
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "channel/channel.h"
#include "channel/message.h"
#include "base/text.h"
#include "channel/url.h"

/* Limits in UTF-16 units, counted after escaping. */
#define HEADER_MAX 150
#define TEXT_MAX 3000

/* Our own: what stands beside other things. */
#define TITLE_MAX 500
#define CONTEXT_MAX 150

/* Design 5. */
#define EXCERPT_CHARACTERS 200

#define ELLIPSIS "\xE2\x80\xA6" /* U+2026 */

#define URL_HINT                                                                         \
	"Copy it from the Slack app's page \"Incoming Webhooks\": "                          \
	"https://hooks.slack.com/services/..."

/* Channel.check_url: design 3's forms and no other. */
static void
check_url(const char *url)
{
	WebhookUrl	parts;
	const char *path;

	url_parse(url, URL_HINT, &parts);
	if (strcmp(parts.host, "hooks.slack.com") != 0 &&
		strcmp(parts.host, "hooks.slack-gov.com") != 0)
		url_refuse("Not a Slack webhook URL", URL_HINT);
	if (strncmp(parts.path, "/workflows/", 11) == 0 ||
		strncmp(parts.path, "/triggers/", 10) == 0)
		url_refuse(
			"Slack workflow and trigger URLs are not supported",
			"Use an incoming webhook instead: create a Slack app, switch on Incoming Webhooks and copy its https://hooks.slack.com/services/... URL.");
	if (!parts.default_port || parts.query != NULL ||
		strncmp(parts.path, "/services/", 10) != 0)
		url_refuse("Not a Slack webhook URL", URL_HINT);

	path = parts.path + strlen("/services");
	while (*path == '/' && (path = url_skip_segment(path + 1)) != NULL)
		if (*path == '\0')
			return;
	url_refuse("Not a Slack webhook URL", URL_HINT);
}

/* What a character becomes in mrkdwn, where & < > are Slack's own; NULL: itself. */
static const char *
escape_of(char c)
{
	switch (c)
	{
		case '&':
			return "&amp;";
		case '<':
			return "&lt;";
		case '>':
			return "&gt;";
		default:
			return NULL;
	}
}

/*
 * A copy of at most so many UTF-16 units, escapes (if escaped) and ellipsis
 * included; neither a character nor an escape is cut.
 */
static char *
clipped(const char *utf8, int max_units, bool escaped)
{
	StringInfoData out;
	int			   units = 0;
	int			   kept = 0; /* bytes that leave room for the ellipsis */

	initStringInfo(&out);
	while (*utf8)
	{
		const char *escape = escaped ? escape_of(*utf8) : NULL;
		int			size = pg_utf_mblen((const unsigned char *) utf8);

		units += escape ? strlen(escape) : (size == 4 ? 2 : 1);
		if (units > max_units)
		{
			out.len = kept;
			out.data[kept] = '\0';
			appendStringInfoString(&out, ELLIPSIS);
			break;
		}
		if (escape)
			appendStringInfoString(&out, escape);
		else
			appendBinaryStringInfo(&out, utf8, size);
		if (units < max_units)
			kept = out.len;
		utf8 += size;
	}
	return out.data;
}

/* Appends a plain_text object, in which nothing has a meaning. */
static void
append_plain_text(StringInfo out, const char *utf8, int max_units)
{
	appendStringInfoString(out, "{\"type\":\"plain_text\",\"text\":");
	text_append_json(out, clipped(utf8, max_units, false));
	appendStringInfoString(out, ",\"emoji\":false}");
}

/* The linked title as a section of its own. */
static void
append_title(StringInfo out, const Message *message)
{
	char *title = clipped(message->title, TITLE_MAX, true);
	char *url = message->url ? clipped(message->url, TEXT_MAX, true) : NULL;
	char *text;

	/* an URL that does not fit is no link at all */
	if (url != NULL && text_utf16_units(url) + TITLE_MAX + 5 <= TEXT_MAX)
		text = psprintf("*<%s|%s>*", url, title);
	else
		text = psprintf("*%s*", title);
	appendStringInfoString(out, ",{\"type\":\"section\",\"text\":"
								"{\"type\":\"mrkdwn\",\"text\":");
	text_append_json(out, text);
	appendStringInfoString(out, ",\"verbatim\":true}}");
}

/* One element of the context block; none where nothing is known. */
static void
append_context(StringInfo out, const char *label, const char *value, int *count)
{
	if (value == NULL)
		return;
	appendStringInfoString(out, (*count)++ == 0 ? ",{\"type\":\"context\",\"elements\":["
												: ",");
	append_plain_text(out, psprintf("%s: %s", label, value), CONTEXT_MAX);
}

/* Appends the message's blocks. */
static void
append_blocks(StringInfo out, const Message *message)
{
	int count = 0;

	appendStringInfoString(out, "[{\"type\":\"header\",\"text\":");
	append_plain_text(out, message->headline, HEADER_MAX);
	appendStringInfoChar(out, '}');
	if (message->title)
		append_title(out, message);
	if (message->text)
	{
		appendStringInfoString(out, ",{\"type\":\"section\",\"text\":");
		append_plain_text(out, message->text, TEXT_MAX);
		appendStringInfoChar(out, '}');
	}
	append_context(out, "Board", message->board, &count);
	append_context(out, "Status", message->status, &count);
	append_context(out, "Submitted by", message->author, &count);
	if (count > 0)
		appendStringInfoString(out, "]}");
	appendStringInfoString(out, ",{\"type\":\"context\",\"elements\":[");
	append_plain_text(out, message->footer, TEXT_MAX);
	appendStringInfoString(out, "]}]");
}

/* Channel.render: blocks, and a text for notifications and old clients. */
static void
render(const Event *event, StringInfo body)
{
	Message message;
	char   *fallback;

	message_compose(event, EXCERPT_CHARACTERS, &message);
	if (message.title)
		fallback = psprintf(event->count > 1 ? "%s on %s" : "%s: %s", message.headline,
							message.title);
	else
		fallback = psprintf("%s: %s", message.headline,
							message.text ? message.text : message.footer);
	appendStringInfoString(body, "{\"text\":");
	text_append_json(body, clipped(fallback, TEXT_MAX, true));
	appendStringInfoString(body, ",\"blocks\":");
	append_blocks(body, &message);
	appendStringInfoString(body, ",\"unfurl_links\":false,\"unfurl_media\":false}");
}

/*
 * The codes Slack answers with, as bare text (source: "Handling errors" of the
 * incoming webhooks' page; which of them are for good is design 5).
 */
static const struct
{
	const char *code;
	const char *reason; /* NULL: the message is malformed */
} codes[] = {
	{ "no_service", "Slack says that this webhook was removed or is disabled" },
	{ "no_active_hooks", "Slack says that this webhook was disabled" },
	{ "no_team", "Slack says that its workspace no longer exists" },
	{ "invalid_token", "Slack says that this webhook's URL is not valid" },
	{ "team_disabled", "Slack says that its workspace was disabled" },
	{ "channel_is_archived", "Slack says that the channel was archived" },
	{ "channel_not_found", "Slack says that the channel no longer exists" },
	{ "user_not_found", "Slack says that the webhook's user no longer exists" },
	{ "action_prohibited",
	  "Slack says that an administrator forbids this webhook to post" },
	{ "posting_to_general_channel_denied",
	  "Slack says that this webhook may not post to the general channel" },
	{ "invalid_payload", NULL },
	{ "invalid_blocks", NULL },
	{ "invalid_attachments", NULL },
	{ "missing_text_or_fallback_or_attachments", NULL },
	{ "no_text", NULL },
	{ "too_many_attachments", NULL },
};

/* Channel.judge: codes; Slack's pace is known beforehand (pace_ms). */
static bool
judge(const HttpResult *result, Verdict *verdict)
{
	if (result->status / 100 != 4)
		return false;
	for (int i = 0; i < lengthof(codes); i++)
	{
		if (strlen(codes[i].code) != result->body_length ||
			memcmp(codes[i].code, result->body, result->body_length) != 0)
			continue;
		verdict->kind = codes[i].reason ? VERDICT_GONE : VERDICT_REJECTED;
		verdict->error = psprintf("HTTP %d: %s", result->status, codes[i].code);
		verdict->reason =
			codes[i].reason ? psprintf("%s (%s).", codes[i].reason, codes[i].code) : NULL;
		return true;
	}
	return false;
}

const Channel slack_channel = { .type = "slack",
								.label = "Slack",
								.user_agent = FEATUL_USER_AGENT,
								.pace_ms = 1000,
								.fixed_hosts = true,
								.merges = true,
								.check_url = check_url,
								.render = render,
								.judge = judge };
