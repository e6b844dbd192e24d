/*
 * integration.c
 *		Stub.
 */
#include "postgres.h"

#include "fmgr.h"


