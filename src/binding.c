/*
 * binding.c
 *		Stub.
 */
#include "postgres.h"

#include "fmgr.h"

#include "binding.h"
bool binding_attached(void) { return false; }
void binding_require(void) {}
bool binding_has(Source source) { return false; }
void binding_append_relation(StringInfo sql, Source source, const char *alias) {}
