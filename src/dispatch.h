/*
 * dispatch.h
 *		Lanes, order, retries, health: decides, and does no I/O of its own.
 */
#ifndef FEATUL_DISPATCH_H
#define FEATUL_DISPATCH_H

#endif							/* FEATUL_DISPATCH_H */
