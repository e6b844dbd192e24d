/*
 * teams.c
 *		Incoming webhooks of Microsoft Teams' Workflows: an Adaptive Card a message.
 *
 * Sources: https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
 * (the message around a card, 28 KB a message),
 * https://learn.microsoft.com/en-us/microsoftteams/platform/task-modules-and-cards/cards/cards-format
 * (Markdown of a TextBlock, line breaks) and https://adaptivecards.io/explorer/ (elements
 * of version 1.4), https://learn.microsoft.com/en-us/connectors/teams/ (100 calls a minute).
 * A workflow answers with 202 before it posts, so what is refused later is not heard of.
 */
#include "postgres.h"

#include "channel/channel.h"
#include "channel/markup.h"
#include "channel/message.h"
#include "channel/url.h"

/* A message, in bytes.  Our own limits are so low that it cannot be longer. */
#define MESSAGE_MAX_BYTES (28 * 1024)

/* Our own, in code points after escaping. */
#define HEADLINE_MAX 300
#define TITLE_MAX 300
#define TEXT_MAX 1200 /* an excerpt with every character escaped, or a line break */
#define FACT_MAX 150
#define FOOTER_MAX 300

/* Likewise, in bytes: what the links of one message take. */
#define LINKS_MAX_BYTES (8 * 1024)

/* As docs/receivers.md says. */
#define EXCERPT_CHARACTERS 300

#define SEPARATOR " \xC2\xB7 " /* U+00B7 */

#define URL_HINT                                                                         \
	"Copy it from the workflow \"Send webhook alerts to a channel\" in Teams: "          \
	"https://....environment.api.powerplatform.com/powerautomate/... "                   \
	"or https://....logic.azure.com/workflows/..."

/* Where a workflow's trigger can be: hosts that end so, paths that begin so. */
static const struct
{
	const char *domain;
	const char *path;
} triggers[] = {
	{ ".environment.api.powerplatform.com", "/powerautomate/" },
	{ ".logic.azure.com", "/workflows/" },
};

/* Channel.check_url: a workflow's trigger; its query has the signature. */
static void
check_url(const char *url)
{
	WebhookUrl parts;

	url_parse(url, URL_HINT, &parts);
	for (int i = 0; i < lengthof(triggers) && parts.default_port; i++)
	{
		size_t host_length = strlen(parts.host);
		size_t domain_length = strlen(triggers[i].domain);
		size_t path_length = strlen(triggers[i].path);

		if (host_length > domain_length &&
			strcmp(parts.host + host_length - domain_length, triggers[i].domain) == 0 &&
			strncmp(parts.path, triggers[i].path, path_length) == 0 &&
			parts.path[path_length] != '\0')
			return;
	}
	url_refuse("Not a Teams webhook URL", URL_HINT);
}

/*
 * Markup.append: what has a meaning in the Markdown of a TextBlock is escaped (also
 * { of its date functions), and a line break is one only when it is doubled.
 */
static void
append_escaped(StringInfo out, const char *text, const char *c, int bytes)
{
	if (*c == '\n')
		appendStringInfoString(out, "\n\n");
	else
		markup_append_markdown(out, "\\*_~`|<>[]{}&", text, c, bytes);
}

static const Markup markdown = { .append = append_escaped };

/* Appends a TextBlock of Markdown; further properties are JSON, each after a comma. */
static void
append_text_block(StringInfo out, const char *text, const char *properties)
{
	appendStringInfoString(out, "{\"type\":\"TextBlock\",");
	markup_append_key(out, "text", text);
	appendStringInfo(out, "%s,\"wrap\":true}", properties);
}

/* A title, linked if there is a URL and room for it. */
static char *
linked_title(const char *title, const char *url, int *room)
{
	char		  *label = markup_clipped(&markdown, title, TITLE_MAX);
	StringInfoData link;

	if (url == NULL)
		return label;
	initStringInfo(&link);
	markup_append_link(&link, label, url, room);
	return link.data;
}

/* Appends the posts of a message about several. */
static void
append_lines(StringInfo out, const Message *message, int *room)
{
	for (int i = 0; i < message->n_lines; i++)
	{
		const MessageLine *line = &message->lines[i];
		char			  *text = linked_title(line->title, line->url, room);

		if (line->note)
			text = psprintf("%s" SEPARATOR "%s", text,
							markup_clipped(&markdown, line->note, FACT_MAX));
		appendStringInfoChar(out, ',');
		append_text_block(out, text, ",\"spacing\":\"Small\"");
	}
	if (message->more)
	{
		appendStringInfoChar(out, ',');
		append_text_block(out, message->more, ",\"isSubtle\":true");
	}
}

/* Adds "Board: Ideas" to the line of what is known. */
static void
add_fact(StringInfo line, const char *label, const char *value)
{
	if (value)
		appendStringInfo(line, "%s%s: %s", line->len > 0 ? SEPARATOR : "", label,
						 markup_clipped(&markdown, value, FACT_MAX));
}

/* Appends the card's elements. */
static void
append_body(StringInfo out, const Message *message)
{
	StringInfoData facts;
	int			   room = LINKS_MAX_BYTES;

	initStringInfo(&facts);
	add_fact(&facts, "Board", message->board);
	add_fact(&facts, "Status", message->status);
	add_fact(&facts, "Submitted by", message->author);

	append_text_block(out, markup_clipped(&markdown, message->headline, HEADLINE_MAX),
					  ",\"weight\":\"Bolder\"");
	if (message->title)
	{
		appendStringInfoChar(out, ',');
		append_text_block(out, linked_title(message->title, message->url, &room),
						  ",\"size\":\"Medium\"");
	}
	append_lines(out, message, &room);
	if (message->text)
	{
		appendStringInfoChar(out, ',');
		append_text_block(out, markup_clipped(&markdown, message->text, TEXT_MAX), "");
	}
	if (message->image)
	{
		appendStringInfoString(out, ",{\"type\":\"Image\",");
		markup_append_key(out, "url", message->image);
		appendStringInfoString(out, ",\"altText\":\"Image\"}");
	}
	if (facts.len > 0)
	{
		appendStringInfoChar(out, ',');
		append_text_block(out, facts.data, ",\"isSubtle\":true");
	}
	appendStringInfoChar(out, ',');
	append_text_block(out, markup_clipped(&markdown, message->footer, FOOTER_MAX),
					  ",\"isSubtle\":true,\"size\":\"Small\"");
}

/* Channel.render: a message with one card. */
static void
render(const Event *event, StringInfo body)
{
	Message	  message;
	int start PG_USED_FOR_ASSERTS_ONLY = body->len;

	message_compose(event, EXCERPT_CHARACTERS, &message);
	appendStringInfoString(
		body, "{\"type\":\"message\",\"attachments\":[{"
			  "\"contentType\":\"application/vnd.microsoft.card.adaptive\",\"content\":{"
			  "\"$schema\":\"http://adaptivecards.io/schemas/adaptive-card.json\","
			  "\"type\":\"AdaptiveCard\",\"version\":\"1.4\",\"body\":[");
	append_body(body, &message);
	appendStringInfoString(body, "]}}]}");
	Assert(body->len - start <= MESSAGE_MAX_BYTES);
}

const Channel teams_channel = { .type = "teams",
								.label = "Teams",
								.user_agent = FEATUL_USER_AGENT,
								.pace_ms = 1000,
								.merges = true,
								.check_url = check_url,
								.render = render };
