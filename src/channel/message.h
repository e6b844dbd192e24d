/*
 * message.h
 *		What an event says to people: common to the chat channels.
 */
#ifndef FEATUL_MESSAGE_H
#define FEATUL_MESSAGE_H

#include "channel/channel.h"

/* Posts that one message tells, at most. */
#define MESSAGE_LINES 10

/* One of several posts. */
typedef struct MessageLine
{
	const char *title;
	const char *url;  /* NULL: there is none that may be linked */
	const char *note; /* what happened to it, or NULL */
} MessageLine;

/* All UTF-8, palloc'd and not yet escaped for any service; one line each but for text. */
typedef struct Message
{
	const char *headline; /* "Status changed: Planned → Done" */
	const char *title;	  /* the post's; NULL for an event without a post */
	const char *url;	  /* NULL: there is none that may be linked */
	const char *text;	  /* excerpt with its line breaks, or NULL */
	const char *image;	  /* https URL of the post's image, or NULL */
	const char *board;	  /* NULL where not known, as the next two */
	const char *status;
	const char *author;
	const char *footer; /* "NAME • Powered by featul" */

	/* about several posts: instead of title, text and what follows */
	int			n_lines;
	MessageLine lines[MESSAGE_LINES];
	const char *more; /* "and 27 more", or NULL */
} Message;

/*
 * Composes the message in the current context, with an excerpt of at most so
 * many code points.  Raises an error if the event's payload is not JSON.
 */
extern void message_compose(const Event *event, int excerpt_characters, Message *message);

/* How many of these mentions, from the first on, are in that comment. */
extern int message_mentions(const Event *comment, const Event *mentions, int count);

#endif /* FEATUL_MESSAGE_H */
