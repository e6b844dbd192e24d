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
#include "utils/memutils.h"

#include "base/event_kind.h"
#include "base/text.h"
#include "channel/message.h"
#include "channel/plain.h"

/* Names inside a headline: our own bound, so that the rest stays readable. */
#define NAME_CHARACTERS 60

/* Of one of several posts: what was commented on it.  Names of those who are mentioned. */
#define NOTE_CHARACTERS 80
#define MENTION_NAMES 3

/* Our own bounds, above what the services take: names in the footer, and lines. */
#define FOOTER_CHARACTERS 100
#define LINE_CHARACTERS 1000

/* Longest URL that is linked: Discord's bound of an embed's URL, and enough for Slack. */
#define LINK_MAX_BYTES 2048

/* JSON in the database encoding; NULL for none. */
static Jsonb *
parsed(const char *json)
{
	if (json == NULL)
		return NULL;
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
}

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
name_line(const char *name)
{
	return plain_line(name ? name : "Someone", NAME_CHARACTERS);
}

/* Likewise, of the payload. */
static char *
get_name(Jsonb *payload, const char *key, const char *subkey)
{
	return name_line(subkey ? get(payload, key, subkey, "name")
							: get(payload, key, "name", NULL));
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
 * From one status to another; NULL: only one of them is told, or none.  None and the
 * board's first are shown by the same name: from one to the other nothing seems to change.
 */
static char *
status_step(Jsonb *payload, Jsonb *labels, char **from, char **to)
{
	*from = status_name(labels, "fromName", get(payload, "changes", "status", "from"));
	*to = status_name(labels, "toName", get(payload, "changes", "status", "to"));
	if (*from && *to && strcmp(*from, *to) != 0)
		return psprintf("%s \xE2\x86\x92 %s", *from, *to);
	return NULL;
}

/* What has become of the status. */
static char *
status_headline(Jsonb *payload, Jsonb *labels)
{
	char *from;
	char *to;
	char *step = status_step(payload, labels, &from, &to);

	if (step)
		return psprintf("Status changed: %s", step);
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

/* What several events of a kind are called.  The compiler complains when one is left out. */
static const char *
headline_of_many(EventKind kind, int count)
{
	switch (kind)
	{
		case EVENT_POST_CREATED:
			return psprintf("%d new posts", count);
		case EVENT_POST_STATUS_CHANGED:
			return psprintf("%d posts: status changed", count);
		case EVENT_POST_PINNED:
			return psprintf("%d posts pinned", count);
		case EVENT_POST_FEATURED:
			return psprintf("%d posts featured", count);
		case EVENT_POST_LOCKED:
			return psprintf("%d posts locked", count);
		case EVENT_POST_UPVOTED:
			return psprintf("%d new upvotes", count);
		case EVENT_POST_MILESTONE:
			return psprintf("%d milestones reached", count);
		case EVENT_COMMENT_CREATED:
			return psprintf("%d new comments", count);
		case EVENT_COMMENT_MENTION:
			return psprintf("%d new mentions", count);
		case EVENT_COMMENT_REACTION:
			return psprintf("%d new reactions", count);
		case EVENT_COUNT: /* integration.test is sent by itself */
			break;
	}
	return psprintf("%d notifications", count);
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

/* A one-line copy, or NULL. */
static char *
one_line(char *text)
{
	return text ? plain_line(text, LINE_CHARACTERS) : NULL;
}

/* The post's title; NULL for an event without a post. */
static const char *
title_of(Jsonb *payload)
{
	char *title = one_line(get(payload, "post", "title", NULL));

	if (title == NULL && get(payload, "post", "id", NULL) != NULL)
		return "Untitled post";
	return title;
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

/* ------------------------------------------------------------------------
 * Several events
 * ------------------------------------------------------------------------ */

/*
 * What is to be said of one of several posts, beyond what the headline says of all;
 * or NULL.  The compiler complains when an event is left out.
 */
static const char *
note_of_line(EventKind kind, Jsonb *payload, Jsonb *labels)
{
	char *from;
	char *to;
	char *step;

	switch (kind)
	{
		case EVENT_POST_STATUS_CHANGED:
			step = status_step(payload, labels, &from, &to);
			return step ? step : to;
		case EVENT_COMMENT_CREATED:
			return psprintf("%s: %s", get_name(payload, "comment", "author"),
							plain_line(comment_text(payload), NOTE_CHARACTERS));
		case EVENT_POST_MILESTONE:
		case EVENT_COMMENT_MENTION:
			return headline_of_one(kind, payload, labels);
		case EVENT_POST_CREATED:
		case EVENT_POST_PINNED:
		case EVENT_POST_FEATURED:
		case EVENT_POST_LOCKED:
		case EVENT_POST_UPVOTED:
		case EVENT_COMMENT_REACTION:
		case EVENT_COUNT:
			break;
	}
	return NULL;
}

/* Adds the post that an event is about. */
static void
add_line(Message *message, EventKind kind, Jsonb *payload, Jsonb *labels)
{
	MessageLine *line = &message->lines[message->n_lines++];

	line->title = title_of(payload);
	if (line->title == NULL)
		line->title = "Untitled post";
	line->url = linkable_url(get(payload, "post", "url", NULL));
	line->note = note_of_line(kind, payload, labels);
}

/* The posts of several events, the first payload parsed already. */
static void
compose_lines(const Event *event, EventKind kind, Jsonb *payload, Jsonb *labels,
			  Message *message)
{
	add_line(message, kind, payload, labels);
	for (int i = 0; i < event->n_others && message->n_lines < MESSAGE_LINES; i++)
		add_line(message, kind, parsed(event->others[i].payload),
				 parsed(event->others[i].labels));
	if (event->posts > message->n_lines)
		message->more = psprintf("and %d more", event->posts - message->n_lines);
}

/*
 * A text of a payload at a path of two keys.  Nothing else of it is kept: there may be
 * many, and each has all that the comment says.
 */
static char *
get_alone(const Event *event, const char *key1, const char *key2)
{
	MemoryContext context = AllocSetContextCreate(
		CurrentMemoryContext, "featul_integrations payload", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	char		 *text = get(parsed(event->payload), key1, key2, NULL);

	MemoryContextSwitchTo(old_context);
	if (text)
		text = pstrdup(text);
	MemoryContextDelete(context);
	return text;
}

/* See message.h. */
int
message_mentions(const Event *comment, const Event *mentions, int count)
{
	char *id = get_alone(comment, "comment", "id");
	int	  n = 0;

	while (n < count && id)
	{
		char *of = get_alone(&mentions[n], "comment", "id");

		if (of == NULL || strcmp(of, id) != 0)
			break;
		n++;
	}
	return n;
}

/* Who comments and mentions these, some of them by name. */
static char *
mentions_headline(Jsonb *payload, const Event *mentions, int count)
{
	StringInfoData names;
	char		  *seen[MENTION_NAMES];
	int			   n = 0;
	int			   others = 0;

	initStringInfo(&names);
	for (int i = 0; i < count; i++)
	{
		char *name = name_line(get_alone(&mentions[i], "mention", "name"));
		int	  j = 0;

		/* a board that hides who they are has several of one name */
		while (j < n && strcmp(seen[j], name) != 0)
			j++;
		if (j == MENTION_NAMES)
			others++;
		else if (j == n)
		{
			appendStringInfo(&names, "%s%s", n > 0 ? ", " : "", name);
			seen[n++] = name;
		}
	}
	if (others > 0)
		appendStringInfo(&names, " and %d more", others);
	return psprintf("%s commented and mentioned %s",
					get_name(payload, "comment", "author"), names.data);
}

/* ------------------------------------------------------------------------
 * The message
 * ------------------------------------------------------------------------ */

/* What all of it is called. */
static const char *
headline_of(const Event *event, EventKind kind, Jsonb *payload, Jsonb *labels)
{
	if (kind == EVENT_COMMENT_CREATED && event->posts == 1 && event->n_others > 0)
		return mentions_headline(payload, event->others, event->n_others);
	if (event->count > 1)
		return headline_of_many(kind, event->count);
	return headline_of_one(kind, payload, labels);
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

/* See message.h. */
void
message_compose(const Event *event, int excerpt_characters, Message *message)
{
	EventKind kind = event_kind(event->name);
	Jsonb	 *payload = parsed(event->payload);
	Jsonb	 *labels = parsed(event->labels);

	memset(message, 0, sizeof(Message));
	message->headline = headline_of(event, kind, payload, labels);
	message->footer = footer_of(payload);
	if (event->posts > 1)
	{
		compose_lines(event, kind, payload, labels, message);
		return;
	}
	message->title = title_of(payload);
	message->url = linkable_url(get(payload, "post", "url", NULL));
	compose_content(kind, payload, excerpt_characters, message);
	message->board = one_line(get(payload, "post", "board", NULL));
	message->status =
		status_name(labels, "statusName", get(payload, "post", "status", NULL));
	message->author = one_line(get(payload, "post", "author", "name"));
}
