/*
 * worker.c
 *		Stub.
 */
#include "postgres.h"

#include "fmgr.h"

#include "worker.h"
void featul_integrations_worker_main(Datum slot) {}
