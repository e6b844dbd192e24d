/*
 * capture.c
 *		Stub.
 */
#include "postgres.h"

#include "fmgr.h"

#include "capture.h"
#include "compat.h"
FEATUL_FUNCTION(featul_capture);
Datum featul_capture(PG_FUNCTION_ARGS) { return PointerGetDatum(NULL); }
bool capture_latest(const char *event, const char *workspace_id, char **payload, char **context) { return false; }
