/*
 * guard.h
 *		A bound from outside of libcurl on how long it may keep the process.
 *
 * libcurl works on a socket for as long as there is something to read, so a
 * peer that never stops sending could keep it for ever.  When the guard has been
 * up for a second, and then ten times a second, a timer of the process shuts down
 * the socket that is being worked on: libcurl finds it at its end and comes back.
 */
#ifndef FEATUL_GUARD_H
#define FEATUL_GUARD_H

#include <signal.h>

/* Sockets remembered as cut in one go; further ones are cut all the same. */
#define GUARD_MAX_CUTS 16

/* Sets up what the process needs, once.  Raises an error if it cannot be had. */
extern void guard_init(void);

/*
 * Takes out of a set of signals the one that the guard comes with: whoever
 * blocks all others while libcurl runs leaves this one.
 */
extern void guard_leave_unblocked(sigset_t *signals);

/* From here ... */
extern void guard_raise(void);

/* ... this is the socket being worked on; -1: none (it is being closed) ... */
extern void guard_watch(int fd);

/* ... that was, unless it is another's turn by now ... */
extern void guard_forget(int fd);

/* ... to here.  The sockets that were shut down; returns how many. */
extern int guard_lower(int cuts[GUARD_MAX_CUTS]);

#endif /* FEATUL_GUARD_H */
