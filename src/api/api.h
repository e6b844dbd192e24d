/*
 * api.h
 *		What the functions of the SQL API have in common.
 */
#ifndef FEATUL_API_H
#define FEATUL_API_H

#include "fmgr.h"

#include "api/access.h"
#include "base/compat.h"
#include "channel/channel.h"

/* PT400 if the argument is NULL; the name is for the message. */
extern void api_require(FunctionCallInfo fcinfo, int n, const char *name);

/* A text argument, palloc'd; PT400 if it is NULL. */
extern char *api_text(FunctionCallInfo fcinfo, int n, const char *name);

/* The argument type; PT400 if it is NULL or unknown. */
extern const Channel *api_channel(FunctionCallInfo fcinfo, int n);

/* The row (true, message). */
extern Datum api_success(FunctionCallInfo fcinfo, const char *message);

/* Raises 404 Integration not found. */
pg_noreturn extern void api_integration_not_found(const Channel *channel);

/*
 * Makes an integration this database's own: gives it a health row, or takes it
 * over if it came with a copy of another database.  Needs an SPI connection.
 */
extern void api_claim_integration(const char *id);

/*
 * What is needed to write to the workspace's integration of that type, and its id;
 * 404 if there is none.  Needs an SPI connection.
 */
extern char *api_load_endpoint(const Workspace *workspace, const Channel *channel,
							   Endpoint *endpoint);

#endif /* FEATUL_API_H */
