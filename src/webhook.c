/*
 * webhook.c
 *		Stub.
 */
#include "postgres.h"

#include "fmgr.h"

#include "channel.h"
static void check_url(const char *url) {}
static void render(const Event *event, StringInfo body) { appendStringInfoString(body, event->payload); }
const Channel webhook_channel = {.type = "webhook", .label = "Webhook", .check_url = check_url, .render = render};
