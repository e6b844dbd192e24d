/*
 * dispatch.c
 *		Stub.
 */
#include "postgres.h"

#include "fmgr.h"

#include "dispatch.h"
