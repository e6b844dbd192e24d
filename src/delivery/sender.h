/*
 * sender.h
 *		Starting requests.
 */
#ifndef FEATUL_SENDER_H
#define FEATUL_SENDER_H

#include "delivery/worker.h"

/* Begins anew with nothing being sent. */
extern void sender_reset(Worker *worker);

/* When requests can be started; 0: not before something changes. */
extern Moment sender_due(const Worker *worker);

/* Starts some; the endpoints work on them while results are recorded. */
extern bool sender_send(Worker *worker);

#endif /* FEATUL_SENDER_H */
