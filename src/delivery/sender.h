/*
 * sender.h
 *		Starting requests.
 */
#ifndef FEATUL_SENDER_H
#define FEATUL_SENDER_H

#include "delivery/settler.h"

typedef struct EventCache EventCache;

typedef struct Sender
{
	Recovery   *recovery;
	Settler	   *settler; /* takes what cannot be sent */
	Dispatch   *dispatch;
	HttpClient *http;
	EventCache *cache; /* events of what will be sent soon */
} Sender;

extern void sender_init(Sender *sender, Recovery *recovery, Settler *settler);

/* Begins anew with nothing being sent. */
extern void sender_reset(Sender *sender, Dispatch *dispatch, HttpClient *http);

/* When requests can be started; 0: not before something changes. */
extern Moment sender_due(const Sender *sender);

/* Starts some; false after an error. */
extern bool sender_send(Sender *sender);

#endif /* FEATUL_SENDER_H */
