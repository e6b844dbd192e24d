/*
 * message.c
 *		What an event says to people: common to the chat channels.
 *
 * Words only; how they look, and what must be escaped, is the channel's.  Who
 * may be named was decided when the payload was built.
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "channel/message.h"
#include "base/text.h"

/* Names inside a headline: our own bound, so that the rest stays readable. */
#define NAME_CHARACTERS 60

/* Longest URL that is linked: Discord's bound of an embed's URL, and enough for Slack. */
#define LINK_MAX_BYTES 2048

/*
 * True if nothing can be seen of it.  Slack and Discord refuse such a text as
 * empty: white space, Unicode's too, and what has no width.
 */
static bool
is_blank(const char *utf8)
{
	for (const unsigned char *c = (const unsigned char *) utf8; *c; c += pg_utf_mblen(c))
	{
		pg_wchar code = utf8_to_unicode(c);

		if (code > ' ' && code != 0x7F && code != 0xA0 && code != 0xAD &&
			code != 0x180E && !(code >= 0x2000 && code <= 0x200F) &&
			!(code >= 0x2028 && code <= 0x202F) && !(code >= 0x205F && code <= 0x206F) &&
			code != 0x2800 && code != 0x3000 && code != 0x3164 && code != 0xFEFF)
			return false;
	}
	return true;
}

/* A text of the payload at a path of at most three keys; NULL if absent or blank. */
static char *
get(Jsonb *json, const char *key1, const char *key2, const char *key3)
{
	const char *path[] = { key1, key2, key3, NULL };
	char	   *text = json ? text_json_get(json, path) : NULL;

	return text && !is_blank(text) ? text : NULL;
}

/* A person's name for use within a sentence. */
static char *
get_name(Jsonb *payload, const char *key, const char *subkey)
{
	char *name =
		subkey ? get(payload, key, subkey, "name") : get(payload, key, "name", NULL);

	return text_excerpt(name ? name : "Someone", NAME_CHARACTERS);
}

/* Status names: from the board's list where the event has them, else as stored. */
static char *
status_name(Jsonb *context, const char *key, char *raw)
{
	char *name = get(context, key, NULL, NULL);

	if (name == NULL)
		name = raw;
	return name ? text_excerpt(name, NAME_CHARACTERS) : NULL;
}

/* From one status to another; either may be missing. */
static char *
status_headline(Jsonb *payload, Jsonb *context)
{
	char *from =
		status_name(context, "fromName", get(payload, "changes", "status", "from"));
	char *to = status_name(context, "toName", get(payload, "changes", "status", "to"));

	if (from && to)
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

/* What a single event is called. */
static char *
headline_of_one(const char *event, Jsonb *payload, Jsonb *context)
{
	if (strcmp(event, "post.created") == 0)
		return "New post";
	if (strcmp(event, "post.status_changed") == 0)
		return status_headline(payload, context);
	if (strcmp(event, "post.pinned") == 0)
		return "Post pinned";
	if (strcmp(event, "post.featured") == 0)
		return "Post featured";
	if (strcmp(event, "post.locked") == 0)
		return "Post locked";
	if (strcmp(event, "post.upvoted") == 0)
		return psprintf("%s upvoted a post", get_name(payload, "vote", "author"));
	if (strcmp(event, "post.milestone") == 0)
	{
		char *milestone = get(payload, "milestone", NULL, NULL);

		return psprintf("%s upvotes reached", milestone ? milestone : "Many");
	}
	if (strcmp(event, "comment.created") == 0)
		return psprintf("%s commented", get_name(payload, "comment", "author"));
	if (strcmp(event, "comment.mention") == 0)
		return psprintf("%s mentioned %s", get_name(payload, "comment", "author"),
						get_name(payload, "mention", NULL));
	if (strcmp(event, "comment.reaction") == 0)
		return reaction_headline(payload);
	if (strcmp(event, "integration.test") == 0)
		return "Test notification";
	return pstrdup(event);
}

/* Several deliveries of one event about one post: votes or reactions, no other are merged. */
static char *
headline_of_many(const char *event, int count)
{
	return psprintf(strcmp(event, "post.upvoted") == 0 ? "%d new upvotes"
													   : "%d new reactions",
					count);
}

/* The post's URL, unless a service could misread it where links stand. */
static char *
linkable_url(Jsonb *payload)
{
	char *url = get(payload, "post", "url", NULL);

	if (url == NULL || strlen(url) > LINK_MAX_BYTES || strpbrk(url, "<>|\"\\`") != NULL)
		return NULL;
	for (const unsigned char *c = (const unsigned char *) url; *c; c++)
		if (*c <= ' ' || *c >= 0x7F)
			return NULL;
	return url;
}

/* The words the event is about: a comment's, the test's, else the post's. */
static char *
text_of_event(const char *event, Jsonb *payload)
{
	if (strncmp(event, "comment.", strlen("comment.")) == 0)
		return get(payload, "comment", "content", NULL);
	if (strcmp(event, "integration.test") == 0)
		return get(payload, "message", NULL, NULL);
	return get(payload, "post", "content", NULL);
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
	return psprintf("%s \xE2\x80\xA2 Powered by featul", text_excerpt(name, 100));
}

/* A one-line copy, or NULL. */
static char *
one_line(char *text)
{
	return text ? text_excerpt(text, PG_INT32_MAX) : NULL;
}

/* See message.h. */
void
message_compose(const Event *event, int excerpt_characters, Message *message)
{
	Jsonb *payload =
		DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(event->payload)));
	Jsonb *context = event->context == NULL
						 ? NULL
						 : DatumGetJsonbP(DirectFunctionCall1(
							   jsonb_in, CStringGetDatum(event->context)));
	char  *text = text_of_event(event->name, payload);

	message->headline = event->count > 1 ? headline_of_many(event->name, event->count)
										 : headline_of_one(event->name, payload, context);
	message->title = one_line(get(payload, "post", "title", NULL));
	if (message->title == NULL && get(payload, "post", "id", NULL) != NULL)
		message->title = "Untitled post";
	message->url = linkable_url(payload);
	message->text = text ? text_excerpt(text, excerpt_characters) : NULL;
	message->board = one_line(get(payload, "post", "board", NULL));
	message->status =
		status_name(context, "statusName", get(payload, "post", "status", NULL));
	message->author = one_line(get(payload, "post", "author", "name"));
	message->footer = footer_of(payload);
}
