/*
 * queue.h
 *		The worker's view of the tables, through SPI.  Knows no libcurl.
 */
#ifndef FEATUL_QUEUE_H
#define FEATUL_QUEUE_H

#endif							/* FEATUL_QUEUE_H */
