/*
 * capture.c
 *		Stub.
 */
#include "postgres.h"

#include "fmgr.h"

#include "capture.h"
bool capture_latest(const char *event, const char *workspace_id, char **payload, char **context) { return false; }
