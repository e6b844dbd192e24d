/*
 * address.h
 *		Which network addresses may be reached.
 *
 * Nothing here allocates or raises an error: safe inside libcurl's callbacks.
 */
#ifndef FEATUL_ADDRESS_H
#define FEATUL_ADDRESS_H

#include <sys/socket.h>

/*
 * Makes a comma-separated list of CIDRs the one that address_allowed()
 * consults.  False, and no change, if an element is malformed or there are
 * too many; bad (if not NULL) then holds that element.  With apply false it
 * is only checked.
 */
extern bool address_set_allowed_networks(const char *list, bool apply, char *bad,
										 size_t bad_size);

/*
 * True if this address may be dialled: it is public, by IANA's special-purpose
 * registries, or within featul_integrations.allowed_networks.
 */
extern bool address_allowed(const struct sockaddr *address);

/*
 * True if a host, as libcurl's URL parser normalises it (IPv6 in brackets) or
 * as libcurl prints an address, is localhost or an address literal that
 * address_allowed() would refuse.
 */
extern bool address_host_refused(const char *host);

#endif /* FEATUL_ADDRESS_H */
