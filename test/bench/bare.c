/*
 * bare.c
 *		The limit that delivery is measured against: libcurl and nothing else.
 *
 * Sends each line of a file as one POST, through curl_multi_socket_action on
 * epoll, as fast as libcurl lets it: easy handles and header lists are made
 * once, nothing is signed, judged or recorded.
 *
 *		bare URL CA_FILE CONNECT_TO CONCURRENCY h1|h2 FILE
 *
 * prints "REQUESTS SECONDS FAILURES CPU_SECONDS".  Connections are part of the
 * time, as they are for the worker.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#define MAX_CONCURRENCY 1024

static int	epoll_fd;
static long timer_ms = -1;		/* what libcurl asked for last */

static char **bodies;
static size_t n_bodies;
static size_t n_started;
static size_t n_finished;
static size_t n_failed;

/* A message and the end: whatever is wrong here is wrong with the set-up. */
static void
fail(const char *what)
{
	fprintf(stderr, "bare: %s\n", what);
	exit(2);
}

/* Seconds on a clock that only goes forward. */
static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Seconds of processor time that this process has used. */
static double
cpu(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
		(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Reads all lines of a file into bodies. */
static void
read_bodies(const char *path)
{
	FILE	   *file = fopen(path, "r");
	char	   *line = NULL;
	size_t		room = 0;
	ssize_t		length;

	if (file == NULL)
		fail("cannot read the bodies");
	while ((length = getline(&line, &room, file)) > 0)
	{
		if (n_bodies % 1024 == 0)
			bodies = realloc(bodies, (n_bodies + 1024) * sizeof(*bodies));
		if (line[length - 1] == '\n')
			line[length - 1] = '\0';
		bodies[n_bodies++] = strdup(line);
	}
	free(line);
	fclose(file);
}

/* CURLMOPT_SOCKETFUNCTION */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *known)
{
	static char is_known;
	struct epoll_event event = { .data.fd = fd };

	(void) easy;
	if (what == CURL_POLL_REMOVE)
	{
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, &event);
		return 0;
	}
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	epoll_ctl(epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
	curl_multi_assign(data, fd, &is_known);
	return 0;
}

/* CURLMOPT_TIMERFUNCTION */
static int
on_timer(CURLM *multi, long timeout, void *data)
{
	(void) multi;
	(void) data;
	timer_ms = timeout;
	return 0;
}

/* CURLOPT_WRITEFUNCTION: the response's body is of no interest. */
static size_t
on_body(char *data, size_t size, size_t count, void *unused)
{
	(void) data;
	(void) unused;
	return size * count;
}

/* Starts the next body on this handle; false when there is none left. */
static int
start_next(CURLM *multi, CURL *easy)
{
	if (n_started == n_bodies)
		return 0;
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, bodies[n_started]);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long) strlen(bodies[n_started]));
	n_started++;
	if (curl_multi_add_handle(multi, easy) != CURLM_OK)
		fail("curl_multi_add_handle");
	return 1;
}

/* Takes what is finished and starts as many again. */
static void
turn_over(CURLM *multi)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		CURL	   *easy = message->easy_handle;
		long		status = 0;

		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
		if (message->data.result != CURLE_OK || status / 100 != 2)
		{
			if (n_failed++ == 0)
				fprintf(stderr, "bare: %s, status %ld\n",
						curl_easy_strerror(message->data.result), status);
		}
		n_finished++;
		curl_multi_remove_handle(multi, easy);
		start_next(multi, easy);
	}
}

/* A handle with all that does not change from request to request. */
static CURL *
new_easy(const char *url, const char *ca_file, struct curl_slist *connect_to,
		 struct curl_slist *headers, int http2)
{
	CURL	   *easy = curl_easy_init();

	curl_easy_setopt(easy, CURLOPT_URL, url);
	/* with a file and no directory libcurl keeps the certificates it has loaded */
	curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
	curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(easy, CURLOPT_CONNECT_TO, connect_to);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
					 (long) (http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
	curl_easy_setopt(easy, CURLOPT_PIPEWAIT, (long) http2);
	return easy;
}

int
main(int argc, char **argv)
{
	CURLM	   *multi;
	struct curl_slist *connect_to = NULL;
	struct curl_slist *headers = NULL;
	int			concurrency;
	int			running;
	double		start;
	double		start_cpu;

	if (argc != 7)
		fail("usage: bare URL CA_FILE CONNECT_TO CONCURRENCY h1|h2 FILE");
	concurrency = atoi(argv[4]);
	if (concurrency < 1 || concurrency > MAX_CONCURRENCY)
		fail("bad concurrency");
	read_bodies(argv[6]);

	/* the headers that the worker sends, constant here */
	connect_to = curl_slist_append(connect_to, argv[3]);
	headers = curl_slist_append(headers, "Content-Type: application/json");
	headers = curl_slist_append(headers, "User-Agent: featul-integrations/1.0");
	headers = curl_slist_append(headers, "webhook-id: msg_00000000-0000-0000-0000-000000000000");
	headers = curl_slist_append(headers, "webhook-timestamp: 1700000000");
	headers = curl_slist_append(headers, "webhook-signature: v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
	headers = curl_slist_append(headers, "Expect:");

	curl_global_init(CURL_GLOBAL_DEFAULT);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	multi = curl_multi_init();
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, multi);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long) CURLPIPE_MULTIPLEX);

	start = now();
	start_cpu = cpu();
	for (int i = 0; i < concurrency; i++)
		start_next(multi, new_easy(argv[1], argv[2], connect_to, headers,
								   strcmp(argv[5], "h2") == 0));
	while (n_finished < n_bodies)
	{
		struct epoll_event events[64];
		int			n = epoll_wait(epoll_fd, events, 64, timer_ms < 0 ? 1000 : (int) timer_ms);

		for (int i = 0; i < n; i++)
			curl_multi_socket_action(multi, events[i].data.fd,
									 ((events[i].events & (EPOLLIN | EPOLLHUP)) ? CURL_CSELECT_IN : 0) |
									 ((events[i].events & EPOLLOUT) ? CURL_CSELECT_OUT : 0) |
									 ((events[i].events & EPOLLERR) ? CURL_CSELECT_ERR : 0),
									 &running);
		if (n == 0)
		{
			timer_ms = -1;
			curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
		}
		turn_over(multi);
	}
	printf("%zu %.6f %zu %.6f\n", n_finished, now() - start, n_failed, cpu() - start_cpu);
	return n_failed ? 1 : 0;
}
