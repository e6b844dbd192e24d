/*
 * arrival.c
 *		The sink of the latency measurements: tells when a request arrived.
 *
 * HTTP/1.1 over TLS on 127.0.0.1, one process, epoll.  nginx does not do here:
 * its log knows milliseconds, of a clock that it reads once a turn.
 *
 *		arrival PORT CERTIFICATE KEY
 *
 * writes one line for each request that is complete: the wall clock in
 * microseconds and what stands in its body between "bench:" and the next
 * quote.  Requests to a path that begins with /silent are never answered; those to
 * /after/MS so many milliseconds later; all others at once, with an empty 200.  Ends
 * with its standard input.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_ROOM 131072
#define MARK "bench:"

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

typedef struct Connection
{
	int			fd;
	SSL		   *ssl;
	long long	answer_at;		/* 0: there is nothing to answer */
	struct Connection *next;	/* of those that wait for their answer */
	size_t		length;			/* of what is read of the request */
	char		request[REQUEST_ROOM + 1];
} Connection;

static int	epoll_fd;
static Connection *waiting;		/* few at a time, in no order */

/* A message and the end. */
static void
fail(const char *what)
{
	fprintf(stderr, "arrival: %s: %s\n", what, strerror(errno));
	ERR_print_errors_fp(stderr);
	exit(2);
}

/* Wall clock, microseconds: the one that pgbench's log has. */
static long long
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

/* Takes it out of those that wait, if it is one. */
static void
stop_waiting(Connection *connection)
{
	Connection **link = &waiting;

	while (*link && *link != connection)
		link = &(*link)->next;
	if (*link)
		*link = connection->next;
}

static void
close_connection(Connection *connection)
{
	stop_waiting(connection);
	SSL_free(connection->ssl);
	close(connection->fd);
	free(connection);
}

/* Has epoll tell of a descriptor that can be read; data NULL: the listener. */
static void
watch(int fd, void *data)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = data };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		fail("epoll_ctl");
}

static void
accept_connection(int listener, SSL_CTX *context)
{
	int			one = 1;
	int			fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	Connection *connection;

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	connection = calloc(1, sizeof(*connection));
	connection->fd = fd;
	connection->ssl = SSL_new(context);
	SSL_set_fd(connection->ssl, fd);
	SSL_set_accept_state(connection->ssl);
	watch(fd, connection);
}

/* Length of the request if all of it is there, else 0. */
static size_t
complete_length(Connection *connection)
{
	char	   *end;
	char	   *field;
	size_t		length;

	connection->request[connection->length] = '\0';
	end = strstr(connection->request, "\r\n\r\n");
	if (end == NULL)
		return 0;
	length = end + 4 - connection->request;
	field = strcasestr(connection->request, "\r\ncontent-length:");
	if (field && field < end)
		length += strtoul(field + strlen("\r\ncontent-length:"), NULL, 10);
	return length <= connection->length ? length : 0;
}

/* Answers those whose time has come; milliseconds until the next one's has, -1: none waits. */
static int
answer_waiting(void)
{
	long long	next = -1;
	Connection *following;

	for (Connection *connection = waiting; connection; connection = following)
	{
		long long	left = (connection->answer_at - now() + 999) / 1000;

		following = connection->next;
		if (left > 0)
			next = next < 0 || left < next ? left : next;
		else
		{
			stop_waiting(connection);
			SSL_write(connection->ssl, answer, sizeof(answer) - 1);
		}
	}
	return (int) next;
}

/* Answers a request as its path wants it. */
static void
answer_request(Connection *connection)
{
	const char *path = connection->request + strlen("POST ");

	if (strncmp(path, "/silent", 7) == 0)
		return;
	if (strncmp(path, "/after/", 7) != 0)
	{
		SSL_write(connection->ssl, answer, sizeof(answer) - 1);
		return;
	}
	connection->answer_at = now() + atoi(path + 7) * 1000LL;
	connection->next = waiting;
	waiting = connection;
}

/* Notes a complete request and answers it, unless it asked for silence. */
static void
take_request(Connection *connection, size_t length)
{
	char		saved = connection->request[length];
	char	   *mark;

	connection->request[length] = '\0';
	mark = strstr(connection->request, MARK);
	if (mark)
	{
		mark += strlen(MARK);
		printf("%lld %.*s\n", now(), (int) strcspn(mark, "\""), mark);
	}
	answer_request(connection);
	connection->request[length] = saved;
	connection->length -= length;
	memmove(connection->request, connection->request + length, connection->length);
}

/* Reads all there is; the connection is gone if false. */
static int
serve(Connection *connection)
{
	for (;;)
	{
		size_t		length;
		int			n = SSL_read(connection->ssl, connection->request + connection->length,
								 REQUEST_ROOM - connection->length);

		if (n <= 0)
		{
			int			error = SSL_get_error(connection->ssl, n);

			if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
				return 1;
			ERR_clear_error();
			close_connection(connection);
			return 0;
		}
		connection->length += n;
		while ((length = complete_length(connection)) > 0)
			take_request(connection, length);
		if (connection->length == REQUEST_ROOM)
		{
			close_connection(connection);
			return 0;
		}
	}
}

static int
listen_on(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int			one = 1;
	int			fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *) &address, sizeof(address)) != 0 ||
		listen(fd, 1024) != 0)
		fail("listen");
	return fd;
}

/* TLS 1.2 and later with this certificate. */
static SSL_CTX *
tls_context(const char *certificate, const char *key)
{
	SSL_CTX    *context = SSL_CTX_new(TLS_server_method());

	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
		SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		fail("certificate");
	return context;
}

int
main(int argc, char **argv)
{
	SSL_CTX    *context;
	int			listener;
	char		byte;
	static int	input;			/* its address stands for standard input */

	if (argc != 4)
		fail("usage: arrival PORT CERTIFICATE KEY");
	signal(SIGPIPE, SIG_IGN);
	context = tls_context(argv[2], argv[3]);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	listener = listen_on(atoi(argv[1]));
	watch(listener, NULL);
	watch(STDIN_FILENO, &input);
	for (;;)
	{
		struct epoll_event events[64];
		int			n = epoll_wait(epoll_fd, events, 64, answer_waiting());

		for (int i = 0; i < n; i++)
		{
			if (events[i].data.ptr == NULL)
				accept_connection(listener, context);
			else if (events[i].data.ptr != &input)
				serve(events[i].data.ptr);
			else if (read(STDIN_FILENO, &byte, 1) <= 0)
				return 0;		/* flushes */
		}
	}
}
