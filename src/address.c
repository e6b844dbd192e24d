/*
 * address.c
 *		Stub.
 */
#include "postgres.h"

#include "fmgr.h"

#include "address.h"
bool address_networks_valid(const char *list, char *bad, size_t bad_size) { return true; }
void address_set_allowed_networks(const char *list) {}
bool address_allowed(const struct sockaddr *address) { return true; }
bool address_host_refused(const char *host) { return false; }
