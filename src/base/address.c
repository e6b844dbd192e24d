/*
 * address.c
 *		Which network addresses may be reached.
 *
 * The filter is a table of the ranges that are not public, after IANA's IPv4
 * and IPv6 Special-Purpose Address Registries (RFC 6890 and successors) and the
 * multicast registry; of IPv6, only global unicast is public at all.  An
 * IPv4-mapped IPv6 address is judged as the IPv4 address it carries; the other
 * forms that carry one (compatible, translated, 6to4, NAT64, Teredo) are refused
 * whole: no public service is reached only through them, and each would hide an
 * address from this table.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "utils/inet.h"
#include "utils/builtins.h"

#include "base/address.h"

/* An address as IPv6 bytes; IPv4 stands in its mapped form ::ffff:0:0/96. */
typedef struct Network
{
	unsigned char bytes[16];
	int			  prefix; /* bits, 0..128 */
} Network;

#define MAX_ALLOWED_NETWORKS 64

static Network allowed_networks[MAX_ALLOWED_NETWORKS];
static int	   n_allowed_networks = 0;

static const char *const special_networks[] = {
	"0.0.0.0/8",		 /* this network, RFC 791 */
	"10.0.0.0/8",		 /* private, RFC 1918 */
	"100.64.0.0/10",	 /* shared (carrier-grade NAT), RFC 6598 */
	"127.0.0.0/8",		 /* loopback, RFC 1122 */
	"169.254.0.0/16",	 /* link local and cloud metadata, RFC 3927 */
	"172.16.0.0/12",	 /* private, RFC 1918 */
	"192.0.0.0/24",		 /* IETF protocol assignments, RFC 6890 */
	"192.0.2.0/24",		 /* documentation, RFC 5737 */
	"192.31.196.0/24",	 /* AS112, RFC 7535 */
	"192.52.193.0/24",	 /* AMT, RFC 7450 */
	"192.88.99.0/24",	 /* 6to4 relay anycast, RFC 7526 */
	"192.168.0.0/16",	 /* private, RFC 1918 */
	"192.175.48.0/24",	 /* AS112, RFC 7534 */
	"198.18.0.0/15",	 /* benchmarking, RFC 2544 */
	"198.51.100.0/24",	 /* documentation, RFC 5737 */
	"203.0.113.0/24",	 /* documentation, RFC 5737 */
	"224.0.0.0/4",		 /* multicast, RFC 5771 */
	"240.0.0.0/4",		 /* reserved and broadcast, RFC 1112, RFC 919 */
	"2001::/23",		 /* IETF assignments (Teredo, ORCHID, ...), RFC 2928 */
	"2001:db8::/32",	 /* documentation, RFC 3849 */
	"2002::/16",		 /* 6to4, RFC 3056 */
	"2620:4f:8000::/48", /* AS112, RFC 7534 */
	"3fff::/20",		 /* documentation, RFC 9637 */
};

static const unsigned char mapped_prefix[12] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF
};

/*
 * Parses ADDRESS or ADDRESS/BITS with PostgreSQL's own code.  False if
 * malformed.
 */
static bool
parse_network(const char *text, Network *network)
{
	unsigned char bytes[16];
	bool		  is_v6 = strchr(text, ':') != NULL;
	/* the size also bounds what hexadecimal digits may make of an IPv4 address */
	int bits = pg_inet_net_pton(is_v6 ? PGSQL_AF_INET6 : PGSQL_AF_INET, text, bytes,
								is_v6 ? 16 : 4);

	if (bits < 0)
		return false;
	if (is_v6)
	{
		memcpy(network->bytes, bytes, 16);
		network->prefix = bits;
	}
	else
	{
		memcpy(network->bytes, mapped_prefix, 12);
		memcpy(network->bytes + 12, bytes, 4);
		network->prefix = 96 + bits;
	}
	return true;
}

static bool
network_contains(const Network *network, const unsigned char *address)
{
	int whole = network->prefix / 8;
	int rest = network->prefix % 8;

	Assert(network->prefix <= 128);
	if (memcmp(network->bytes, address, whole) != 0)
		return false;
	return rest == 0 ||
		   ((network->bytes[whole] ^ address[whole]) & (0xFF << (8 - rest)) & 0xFF) == 0;
}

/* See address.h. */
bool
address_set_allowed_networks(const char *list, bool apply, char *bad, size_t bad_size)
{
	Network networks[MAX_ALLOWED_NETWORKS];
	int		count = 0;

	while (*list)
	{
		char   element[64];
		size_t length = strcspn(list, ",");
		size_t skip = strspn(list, " \t");
		size_t end = length;

		while (end > skip && (list[end - 1] == ' ' || list[end - 1] == '\t'))
			end--;
		snprintf(element, sizeof(element), "%.*s", (int) (end > skip ? end - skip : 0),
				 list + skip);
		if (count == MAX_ALLOWED_NETWORKS || !parse_network(element, &networks[count]))
		{
			if (bad)
				strlcpy(bad, element, bad_size);
			return false;
		}
		count++;
		list += length;
		if (*list == ',')
			list++;
	}
	if (apply)
	{
		memcpy(allowed_networks, networks, count * sizeof(Network));
		n_allowed_networks = count;
	}
	return true;
}

/* The special ranges, parsed once per process. */
static const Network *
special_ranges(void)
{
	static Network ranges[lengthof(special_networks)];
	static bool	   parsed = false;

	if (!parsed)
	{
		for (int i = 0; i < lengthof(special_networks); i++)
			if (!parse_network(special_networks[i], &ranges[i]))
				abort(); /* a typing error in the table above */
		parsed = true;
	}
	return ranges;
}

/*
 * True if this is IPv6 outside of 2000::/3, all that IANA has assigned as global
 * unicast: unspecified, loopback, compatible, translated, NAT64, discard,
 * segment routing, unique local, link local, site local, multicast and what
 * nobody has been given yet.
 */
static bool
outside_global_unicast(const unsigned char *address)
{
	return memcmp(address, mapped_prefix, sizeof(mapped_prefix)) != 0 &&
		   (address[0] & 0xE0) != 0x20;
}

static bool
bytes_allowed(const unsigned char *address)
{
	const Network *special = special_ranges();

	for (int i = 0; i < n_allowed_networks; i++)
		if (network_contains(&allowed_networks[i], address))
			return true;
	if (outside_global_unicast(address))
		return false;
	for (int i = 0; i < lengthof(special_networks); i++)
		if (network_contains(&special[i], address))
			return false;
	return true;
}

/* See address.h. */
bool
address_allowed(const struct sockaddr *address)
{
	unsigned char bytes[16];

	if (address->sa_family == AF_INET)
	{
		memcpy(bytes, mapped_prefix, 12);
		memcpy(bytes + 12, &((const struct sockaddr_in *) address)->sin_addr, 4);
		return bytes_allowed(bytes);
	}
	if (address->sa_family == AF_INET6)
	{
		memcpy(bytes, &((const struct sockaddr_in6 *) address)->sin6_addr, 16);
		return bytes_allowed(bytes);
	}
	return false;
}

/* See address.h. */
bool
address_host_refused(const char *host)
{
	char			name[256];
	size_t			length = strlcpy(name, host, sizeof(name));
	struct in_addr	v4;
	struct in6_addr v6;
	unsigned char	bytes[16];

	if (length == 0 || length >= sizeof(name))
		return true;
	while (length > 0 && name[length - 1] == '.')
		name[--length] = '\0';
	if (length == 0)
		return true;

	if (strchr(name, ':') != NULL) /* a zone (%eth0) does not parse: refused */
	{
		char *start = name;

		if (name[0] == '[' && name[length - 1] == ']')
		{
			name[length - 1] = '\0';
			start++;
		}
		return inet_pton(AF_INET6, start, &v6) != 1 ||
			   !bytes_allowed((const unsigned char *) &v6);
	}
	if (pg_strcasecmp(name, "localhost") == 0 ||
		(length > 10 && pg_strcasecmp(name + length - 10, ".localhost") == 0))
		strlcpy(name, "127.0.0.1", sizeof(name));

	/*
	 * inet_aton() reads what resolvers read: decimal, octal, hexadecimal and
	 * short forms.
	 */
	if (inet_aton(name, &v4) == 0)
		return false;
	memcpy(bytes, mapped_prefix, 12);
	memcpy(bytes + 12, &v4, 4);
	return !bytes_allowed(bytes);
}
