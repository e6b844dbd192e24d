/*
 * response.c
 *		What comes back: libcurl's callbacks that read a response, within bounds.
 *
 * These are the bounds of what a response says.  pool.c has the one of what it
 * is made of: all bytes on the wire.
 */
#include "postgres.h"

#include "network/response.h"

/*
 * A body, as it was sent and decompressed; then the status decides
 * (docs/reliability.md).
 */
#define MAX_BODY_BYTES 65536

/* Longest value of a header that is kept. */
#define MAX_HEADER_VALUE 128

/* See response.h. */
bool
response_begin(Response *response, const char *const *wanted_headers)
{
	response->result.wanted_headers = wanted_headers;
	response->body_room = 1;
	response->result.body = calloc(1, 1);
	return response->result.body != NULL;
}

/* See response.h. */
void
response_free(Response *response)
{
	free(response->result.body);
	for (int i = 0; i < HTTP_MAX_HEADERS; i++)
		free(response->result.headers[i]);
}

/* See http.h. */
const char *
http_header(const HttpResult *result, const char *name)
{
	for (int i = 0; i < HTTP_MAX_HEADERS && result->wanted_headers[i]; i++)
		if (strcmp(result->wanted_headers[i], name) == 0)
			return result->headers[i];
	return NULL;
}

/* CURLOPT_WRITEFUNCTION: decompressed bytes, kept up to the bound. */
static size_t
on_body(char *data, size_t size, size_t count, void *response_pointer)
{
	Response   *response = response_pointer;
	HttpResult *result = &response->result;
	size_t		length = size * count;
	size_t		keep = Min(length, MAX_BODY_BYTES - result->body_length);

	Assert(result->body_length <= MAX_BODY_BYTES);
	if (result->body_length + keep + 1 > response->body_room)
	{
		size_t room = Max(1024, 2 * (result->body_length + keep + 1));
		char  *larger = realloc(result->body, room);

		if (larger == NULL)
		{
			response->stop = RESPONSE_NO_MEMORY;
			return CURL_WRITEFUNC_PAUSE + 1;
		}
		result->body = larger;
		response->body_room = room;
	}
	memcpy(result->body + result->body_length, data, keep);
	result->body_length += keep;
	result->body[result->body_length] = '\0';
	if (keep < length)
	{
		response->stop = RESPONSE_BODY_FULL;
		return 0;
	}
	return length;
}

/*
 * CURLOPT_XFERINFOFUNCTION: the bytes of the body as they were sent, of which many
 * can decompress to nothing.
 */
static int
on_progress(void *response_pointer, curl_off_t total, curl_off_t received,
			curl_off_t upload_total, curl_off_t sent)
{
	Response *response = response_pointer;

	if (received <= MAX_BODY_BYTES)
		return 0;
	response->stop = RESPONSE_BODY_FULL;
	return 1;
}

/* Copies a header's value if it is the one named. */
static void
take_header(const char *line, size_t length, const char *name, char **value)
{
	size_t name_length = strlen(name);

	if (length <= name_length || line[name_length] != ':' ||
		pg_strncasecmp(line, name, name_length) != 0)
		return;
	line += name_length + 1;
	length -= name_length + 1;
	while (length > 0 && (*line == ' ' || *line == '\t'))
		line++, length--;
	while (length > 0 && (line[length - 1] == '\r' || line[length - 1] == '\n' ||
						  line[length - 1] == ' '))
		length--;
	free(*value);
	*value = strndup(line, Min(length, MAX_HEADER_VALUE));
}

/* Follows the header blocks: interim answers (1xx) come before the final one. */
static void
take_structure(Response *response, const char *line, size_t length)
{
	char   start[16];
	size_t kept = Min(length, sizeof(start) - 1);

	if (*line == '\r' || *line == '\n')
		response->answered = response->status >= 200;
	else if (length > 5 && strncmp(line, "HTTP/", 5) == 0)
	{
		/* "HTTP/1.1 200 OK", "HTTP/2 200" */
		memcpy(start, line, kept);
		start[kept] = '\0';
		response->status = atoi(start + strcspn(start, " "));
	}
}

/*
 * How often a body is encoded by what a header says, as far as libcurl would undo it: five
 * times at most, each of which can make a thousand times as much of it, without our seeing
 * a byte.
 */
static int
count_encodings(const char *line, size_t length)
{
	static const char *const names[] = { "Content-Encoding:", "Transfer-Encoding:" };
	static const char *const none[] = { "identity", "chunked" };
	const char				*end = line + length;
	const char				*value = NULL;
	int						 count = 0;

	for (int i = 0; i < lengthof(names); i++)
		if (length > strlen(names[i]) &&
			pg_strncasecmp(line, names[i], strlen(names[i])) == 0)
			value = line + strlen(names[i]);
	while (value && value < end)
	{
		const char *start = value;

		while (value < end && strchr(" \t,\r\n", *value) == NULL)
			value++;
		count += value > start;
		for (int i = 0; i < lengthof(none); i++)
			count -= value - start == (int) strlen(none[i]) &&
					 pg_strncasecmp(start, none[i], strlen(none[i])) == 0;
		value++;
	}
	return count;
}

/* CURLOPT_HEADERFUNCTION: a line of the headers or trailers. */
static size_t
on_header(char *line, size_t size, size_t count, void *response_pointer)
{
	Response   *response = response_pointer;
	HttpResult *result = &response->result;
	size_t		length = size * count;

	response->header_bytes += length;
	if (response->header_bytes > MAX_HEADER_BYTES)
	{
		response->stop = RESPONSE_HEADERS_TOO_LARGE;
		return 0;
	}
	if (length > 0)
		take_structure(response, line, length);
	response->encodings += count_encodings(line, length);
	if (response->answered && response->encodings > 1)
	{
		/* no service does that: its status will do */
		response->stop = RESPONSE_BODY_FULL;
		return 0;
	}
	for (int i = 0; i < HTTP_MAX_HEADERS && result->wanted_headers[i]; i++)
		take_header(line, length, result->wanted_headers[i], &result->headers[i]);
	return length;
}

/* See response.h. */
void
response_set_options(Response *response, CURL *easy)
{
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, response);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, response);
	curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(easy, CURLOPT_XFERINFODATA, response);
	/* a proxy's answer to CONNECT is no answer */
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}
