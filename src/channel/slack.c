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

#include "base/text.h"
#include "channel/channel.h"
#include "channel/markup.h"
#include "channel/message.h"
#include "channel/plain.h"
#include "channel/url.h"

/* Limits in UTF-16 units, counted after escaping. */
#define HEADER_MAX 150
#define TEXT_MAX 3000

/* Our own: what stands beside other things. */
#define TITLE_MAX 500
#define CONTEXT_MAX 150

/*
 * Likewise, what the links of one message take: Slack refuses blocks of some 13,000
 * characters in all (https://github.com/slackapi/bolt-js/issues/2509).
 */
#define LINKS_MAX 5000

/* docs/application.md */
#define EXCERPT_CHARACTERS 200

#define URL_HINT                                                                         \
	"Copy it from the Slack app's page \"Incoming Webhooks\": "                          \
	"https://hooks.slack.com/services/..."

/* Channel.check_url: the forms of docs/application.md and no other. */
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

/* Markup.append for mrkdwn, where & < > are Slack's own. */
static void
append_escaped(StringInfo out, const char *text, const char *c, int bytes)
{
	if (*c == '&')
		appendStringInfoString(out, "&amp;");
	else if (*c == '<')
		appendStringInfoString(out, "&lt;");
	else if (*c == '>')
		appendStringInfoString(out, "&gt;");
	else
		appendBinaryStringInfo(out, c, bytes);
}

static const Markup plain = { .utf16 = true };
static const Markup mrkdwn = { .utf16 = true, .append = append_escaped };

/* Appends a plain_text object, in which nothing has a meaning. */
static void
append_plain_text(StringInfo out, const char *utf8, int max_units)
{
	appendStringInfoString(out, "{\"type\":\"plain_text\",\"text\":");
	text_append_json(out, markup_clipped(&plain, utf8, max_units));
	appendStringInfoString(out, ",\"emoji\":false}");
}

/* Appends a section with a plain_text object. */
static void
append_section(StringInfo out, const char *utf8, int max_units)
{
	appendStringInfoString(out, ",{\"type\":\"section\",\"text\":");
	append_plain_text(out, utf8, max_units);
	appendStringInfoChar(out, '}');
}

/*
 * The linked title as a section of its own.  Slack formats no label of a link, so
 * there it is bold whatever is in it; without a link only plain text shows a title
 * with asterisks as it is.
 */
static void
append_title(StringInfo out, const Message *message)
{
	char *title = markup_clipped(&mrkdwn, message->title, TITLE_MAX);
	char *url = message->url ? markup_clipped(&mrkdwn, message->url, TEXT_MAX) : NULL;

	/* an URL that does not fit is no link at all */
	if (url == NULL || text_utf16_units(url) + TITLE_MAX + 5 > TEXT_MAX)
	{
		append_section(out, message->title, TITLE_MAX);
		return;
	}
	appendStringInfoString(out, ",{\"type\":\"section\",\"text\":"
								"{\"type\":\"mrkdwn\",\"text\":");
	text_append_json(out, psprintf("*<%s|%s>*", url, title));
	appendStringInfoString(out, ",\"verbatim\":true}}");
}

/* One of several posts, linked if there is a URL and room for it. */
static void
append_line(StringInfo out, const MessageLine *line, int *room)
{
	bool linked = line->url && strlen(line->url) <= *room;

	appendStringInfo(out,
					 "{\"type\":\"rich_text_section\",\"elements\":[{\"type\":\"%s\",",
					 linked ? "link" : "text");
	if (linked)
	{
		*room -= strlen(line->url);
		markup_append_key(out, "url", line->url);
		appendStringInfoChar(out, ',');
	}
	markup_append_key(out, "text", markup_clipped(&plain, line->title, CONTEXT_MAX));
	if (line->note)
	{
		appendStringInfoString(out, "},{\"type\":\"text\",");
		markup_append_key(out, "text",
						  psprintf(" \xE2\x80\x94 %s", /* U+2014 */
								   markup_clipped(&plain, line->note, CONTEXT_MAX)));
	}
	appendStringInfoString(out, "}]}");
}

/*
 * The posts of a message about several, as a list of rich text, in which nothing has a
 * meaning but what its elements say.
 */
static void
append_lines(StringInfo out, const Message *message)
{
	int room = LINKS_MAX;

	if (message->n_lines == 0)
		return;
	appendStringInfoString(
		out, ",{\"type\":\"rich_text\",\"elements\":["
			 "{\"type\":\"rich_text_list\",\"style\":\"bullet\",\"elements\":[");
	for (int i = 0; i < message->n_lines; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		append_line(out, &message->lines[i], &room);
	}
	appendStringInfoString(out, "]}]}");
	if (message->more)
		append_section(out, message->more, CONTEXT_MAX);
}

/* The post's image. */
static void
append_image(StringInfo out, const Message *message)
{
	appendStringInfoString(out, ",{\"type\":\"image\",");
	markup_append_key(out, "image_url", message->image);
	appendStringInfoChar(out, ',');
	markup_append_key(out, "alt_text",
					  message->title ? markup_clipped(&plain, message->title, TITLE_MAX)
									 : "Image");
	appendStringInfoChar(out, '}');
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
	append_lines(out, message);
	if (message->text)
		append_section(out, message->text, TEXT_MAX);
	if (message->image)
		append_image(out, message);
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
	if (message.n_lines > 0)
		fallback =
			psprintf("%s: %s, " ELLIPSIS, message.headline, message.lines[0].title);
	else if (message.title)
		fallback = psprintf(event->count > 1 ? "%s on %s" : "%s: %s", message.headline,
							message.title);
	else
		fallback = psprintf("%s: %s", message.headline,
							message.text ? message.text : message.footer);
	appendStringInfoString(body, "{\"text\":");
	text_append_json(body, markup_clipped(&mrkdwn, fallback, TEXT_MAX));
	appendStringInfoString(body, ",\"blocks\":");
	append_blocks(body, &message);
	appendStringInfoString(body, ",\"unfurl_links\":false,\"unfurl_media\":false}");
}

/*
 * The codes Slack answers with, as bare text (source: "Handling errors" of the
 * incoming webhooks' page; which of them are for good is our reading).
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
