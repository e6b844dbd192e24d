/*
 * address.h
 *		Which network addresses may be reached.
 *
 * Pure functions: no allocation that can fail, no ereport; safe inside
 * libcurl's callbacks.
 */
#ifndef FEATUL_ADDRESS_H
#define FEATUL_ADDRESS_H

#include <sys/socket.h>

/*
 * True if the setting's value is a comma-separated list of CIDRs (or empty).
 * Otherwise *bad, if given, points to the first bad element (palloc'd or
 * malloc'd as the caller of a GUC check hook can use it; see address.c).
 */
extern bool address_networks_valid(const char *list, char *bad, size_t bad_size);

/* Makes the list (already valid) the one that address_allowed() consults. */
extern void address_set_allowed_networks(const char *list);

/*
 * True if this address may be dialled: it is public (per IANA's special-purpose
 * registries), or within featul_integrations.allowed_networks.
 */
extern bool address_allowed(const struct sockaddr *address);

/*
 * True if the host of a URL is an address literal, in any spelling that a URL
 * allows (dotted, decimal, octal, hex, short forms, bracketed IPv6), or
 * localhost, that address_allowed() would refuse.
 */
extern bool address_host_refused(const char *host);

#endif							/* FEATUL_ADDRESS_H */
