/*
 * webhook.c
 *		Signed webhooks to any public endpoint: the canonical payload as it is.
 *
 * The signature, after https://www.standardwebhooks.com, is channel.c's.
 */
#include "postgres.h"

#include "channel/channel.h"
#include "base/text.h"
#include "channel/url.h"

/* Channel.check_url: any public https URL. */
static void
check_url(const char *url)
{
	WebhookUrl parts;

	url_parse(
		url,
		"Use an endpoint of your own that is reachable from the internet: https://example.com/path",
		&parts);
}

/* Channel.render: the payload as it is. */
static void
render(const Event *event, StringInfo body)
{
	appendStringInfoString(body, text_to_utf8(event->payload, strlen(event->payload)));
}

const Channel webhook_channel = { .type = "webhook",
								  .label = "Webhook",
								  .signs = true,
								  .user_agent = FEATUL_USER_AGENT,
								  .check_url = check_url,
								  .render = render };
