/*
 * message.c
 *		What an event says to people: common to the chat channels.
 *
 * Words only; how they look, and what must be escaped, is the channel's.  Who
 * may be named was decided when the payload was built.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "base/event_kind.h"
#include "base/text.h"
#include "channel/message.h"
#include "channel/plain.h"

/* Names inside a headline: our own bound, so that the rest stays readable. */
#define NAME_CHARACTERS 60

/* Our own bounds, above what the services take: names in the footer, and lines. */
#define FOOTER_CHARACTERS 100
#define LINE_CHARACTERS 1000

/* Longest URL that is linked: Discord's bound of an embed's URL, and enough for Slack. */
#define LINK_MAX_BYTES 2048

/* A text of the payload at a path of at most three keys; NULL if absent or blank. */
static char *
get(Jsonb *json, const char *key1, const char *key2, const char *key3)
{
	const char *path[] = { key1, key2, key3, NULL };
	char	   *text = json ? text_json_get(json, path) : NULL;

	return text && !plain_is_blank(text) ? text : NULL;
}

/* A person's name for use within a sentence. */
static char *
get_name(Jsonb *payload, const char *key, const char *subkey)
{
	char *name =
		subkey ? get(payload, key, subkey, "name") : get(payload, key, "name", NULL);

	return plain_line(name ? name : "Someone", NAME_CHARACTERS);
}

/* Status names: from the board's list where the event has them, else as stored. */
static char *
status_name(Jsonb *labels, const char *key, char *raw)
{
	char *name = get(labels, key, NULL, NULL);

	if (name == NULL)
		name = raw;
	return name ? plain_line(name, NAME_CHARACTERS) : NULL;
}

/*
 * From one status to another; either may be missing.  None and the board's first are
 * shown by the same name: from one to the other nothing seems to change.
 */
static char *
status_headline(Jsonb *payload, Jsonb *labels)
{
	char *from =
		status_name(labels, "fromName", get(payload, "changes", "status", "from"));
	char *to = status_name(labels, "toName", get(payload, "changes", "status", "to"));

	if (from && to && strcmp(from, to) != 0)
		return psprintf("Status changed: %s \xE2\x86\x92 %s", from, to);
	if (to)
		return psprintf("Status set: %s", to);
	if (from)
		return psprintf("Status removed: %s", from);
	return "Status changed";
}

/* Who reacted, and how. */
static char *
reaction_headline(Jsonb *payload)
{
	char *who = get_name(payload, "reaction", "author");
	char *type = get(payload, "reaction", "type", NULL);

	if (type && strcmp(type, "upvote") == 0)
		return psprintf("%s upvoted a comment", who);
	if (type && strcmp(type, "downvote") == 0)
		return psprintf("%s downvoted a comment", who);
	return psprintf("%s reacted to a comment", who);
}

/* The milestone reached. */
static char *
milestone_headline(Jsonb *payload)
{
	char *milestone = get(payload, "milestone", NULL, NULL);

	return psprintf("%s upvotes reached", milestone ? milestone : "Many");
}

/* What a single event is called.  The compiler complains when one is left out. */
static const char *
headline_of_one(EventKind kind, Jsonb *payload, Jsonb *labels)
{
	switch (kind)
	{
		case EVENT_POST_CREATED:
			return "New post";
		case EVENT_POST_STATUS_CHANGED:
			return status_headline(payload, labels);
		case EVENT_POST_PINNED:
			return "Post pinned";
		case EVENT_POST_FEATURED:
			return "Post featured";
		case EVENT_POST_LOCKED:
			return "Post locked";
		case EVENT_POST_UPVOTED:
			return psprintf("%s upvoted a post", get_name(payload, "vote", "author"));
		case EVENT_POST_MILESTONE:
			return milestone_headline(payload);
		case EVENT_COMMENT_CREATED:
			return psprintf("%s commented", get_name(payload, "comment", "author"));
		case EVENT_COMMENT_MENTION:
			return psprintf("%s mentioned %s", get_name(payload, "comment", "author"),
							get_name(payload, "mention", NULL));
		case EVENT_COMMENT_REACTION:
			return reaction_headline(payload);
		case EVENT_COUNT: /* integration.test is none of them */
			break;
	}
	return "Test notification";
}

/* Several deliveries of one event about one post: votes or reactions, no other are merged. */
static char *
headline_of_many(EventKind kind, int count)
{
	return psprintf(kind == EVENT_POST_UPVOTED ? "%d new upvotes" : "%d new reactions",
					count);
}

/* A URL, unless a service could misread it where links stand; or NULL. */
static char *
linkable_url(char *url)
{
	if (url == NULL || strlen(url) > LINK_MAX_BYTES || strpbrk(url, "<>|\"\\`") != NULL)
		return NULL;
	for (const unsigned char *c = (const unsigned char *) url; *c; c++)
		if (*c <= ' ' || *c >= 0x7F)
			return NULL;
	return url;
}

/* The URL of the post's image; NULL unless everybody who reads the message could load it. */
static char *
image_url(Jsonb *payload)
{
	char *url = linkable_url(get(payload, "post", "image", NULL));

	return url && pg_strncasecmp(url, "https://", 8) == 0 ? url : NULL;
}

/* What a comment says.  One without words has an image, which is not the message's to show. */
static const char *
comment_text(Jsonb *payload)
{
	char *text = get(payload, "comment", "content", NULL);

	return text ? text : "(image)";
}

/* What the event is about: a comment, or the post with its image, or the test. */
static void
compose_content(EventKind kind, Jsonb *payload, int excerpt_characters, Message *message)
{
	const char *text;

	switch (kind)
	{
		case EVENT_COMMENT_CREATED:
		case EVENT_COMMENT_MENTION:
		case EVENT_COMMENT_REACTION:
			text = comment_text(payload);
			break;
		case EVENT_COUNT:
			text = get(payload, "message", NULL, NULL);
			break;
		default:
			text = get(payload, "post", "content", NULL);
			message->image = image_url(payload);
	}
	message->text = text ? plain_excerpt(text, excerpt_characters) : NULL;
}

/* NAME • Powered by featul */
static char *
footer_of(Jsonb *payload)
{
	char *name = get(payload, "workspace", "name", NULL);

	if (name == NULL)
		name = get(payload, "workspace", "slug", NULL);
	if (name == NULL)
		return "Powered by featul";
	return psprintf("%s \xE2\x80\xA2 Powered by featul",
					plain_line(name, FOOTER_CHARACTERS));
}

/* A one-line copy, or NULL. */
static char *
one_line(char *text)
{
	return text ? plain_line(text, LINE_CHARACTERS) : NULL;
}

/* JSON in the database encoding; NULL for none. */
static Jsonb *
parsed(const char *json)
{
	if (json == NULL)
		return NULL;
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
}

/* See message.h. */
void
message_compose(const Event *event, int excerpt_characters, Message *message)
{
	EventKind kind = event_kind(event->name);
	Jsonb	 *payload = parsed(event->payload);
	Jsonb	 *labels = parsed(event->labels);

	memset(message, 0, sizeof(Message));
	message->headline = event->count > 1 ? headline_of_many(kind, event->count)
										 : headline_of_one(kind, payload, labels);
	message->title = one_line(get(payload, "post", "title", NULL));
	if (message->title == NULL && get(payload, "post", "id", NULL) != NULL)
		message->title = "Untitled post";
	message->url = linkable_url(get(payload, "post", "url", NULL));
	compose_content(kind, payload, excerpt_characters, message);
	message->board = one_line(get(payload, "post", "board", NULL));
	message->status =
		status_name(labels, "statusName", get(payload, "post", "status", NULL));
	message->author = one_line(get(payload, "post", "author", "name"));
	message->footer = footer_of(payload);
}
