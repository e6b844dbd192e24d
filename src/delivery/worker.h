/*
 * worker.h
 *		The delivering process of one database.
 */
#ifndef FEATUL_WORKER_H
#define FEATUL_WORKER_H

extern PGDLLEXPORT void featul_integrations_worker_main(Datum key);

#endif /* FEATUL_WORKER_H */
