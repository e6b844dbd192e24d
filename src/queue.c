/*
 * queue.c
 *		Stub.
 */
#include "postgres.h"

#include "fmgr.h"

#include "queue.h"
