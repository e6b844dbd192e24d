/*
 * launcher.c
 *		Stub.
 */
#include "postgres.h"

#include "fmgr.h"

#include "launcher.h"
void launcher_register(void) {}
void featul_integrations_launcher_main(Datum unused) {}
