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

/*
 * Channel.judge: statuses that speak about the message, not about the endpoint
 * (docs/receivers.md).  Its retries go on, and nobody else waits for them.
 */
static bool
judge(const HttpResult *result, Verdict *verdict)
{
	if (!verdict->about_message)
		return false;
	verdict->kind = VERDICT_UNWELCOME;
	verdict->error = psprintf("HTTP %d", result->status);
	return true;
}

const Channel webhook_channel = { .type = "webhook",
								  .label = "Webhook",
								  .signs = true,
								  .user_agent = FEATUL_USER_AGENT,
								  .check_url = check_url,
								  .render = render,
								  .judge = judge };
