/*
 * fuzz.c
 *		libFuzzer targets for what parses or renders foreign bytes.
 *
 * The code under test needs a backend (palloc, ereport, jsonb, encodings), so
 * the fuzzer runs inside one: this file and the extension's own sources make
 * one library, compiled with sanitizers and coverage counters, whose
 * function fuzz() hands libFuzzer the target in a single-user session.  See
 * test/fuzz/run.  Nothing here is part of the extension.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "api/access.h"
#include "base/address.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/text.h"
#include "capture/payload.h"
#include "channel/channel.h"
#include "channel/message.h"
#include "channel/plain.h"

typedef int (*FuzzTarget)(const uint8_t *data, size_t size);

extern int LLVMFuzzerRunDriver(int *argc, char ***argv, FuzzTarget target);

/* Ends the fuzzer with the input that broke a promise. */
#define PROMISE(condition)                                                               \
	do                                                                                   \
	{                                                                                    \
		if (!(condition))                                                                \
		{                                                                                \
			fprintf(stderr, "broken promise, line %d: %s\n", __LINE__, #condition);      \
			abort();                                                                     \
		}                                                                                \
	} while (0)

/*
 * Input as texts, separated by bytes that no UTF-8 has.
 */
typedef struct Input
{
	const uint8_t *data;
	size_t		   left;
} Input;

static int
take_byte(Input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->data++;
}

/* The bytes up to the next separator (0xFF), palloc'd and NUL-terminated. */
static char *
take_bytes(Input *input)
{
	const uint8_t *end = memchr(input->data, 0xFF, input->left);
	size_t		   length = end ? end - input->data : input->left;
	char		  *bytes = pnstrdup((const char *) input->data, length);

	input->data += length;
	input->left -= length;
	take_byte(input);
	return bytes;
}

/* Likewise, without what no database in UTF-8 could hold. */
static char *
take_text(Input *input)
{
	char *bytes = take_bytes(input);
	int	  length = strlen(bytes);
	char *out = palloc(length + 1);
	int	  used = 0;

	for (int i = 0; i < length;)
	{
		int size = pg_utf_mblen((unsigned char *) bytes + i);

		if (i + size > length || !pg_utf8_islegal((unsigned char *) bytes + i, size))
			size = 1;
		else
		{
			memcpy(out + used, bytes + i, size);
			used += size;
		}
		i += size;
	}
	out[used] = '\0';
	return out;
}

static bool
valid_utf8(const char *data, size_t length)
{
	return pg_encoding_verifymbstr(PG_UTF8, data, length) == length;
}

static int
code_points(const char *utf8)
{
	return pg_mbstrlen(utf8); /* the database is in UTF-8 */
}

/* ------------------------------------------------------------------------
 * Targets.  Each runs in a memory context of its own; an error it lets escape
 * is a broken promise.
 * ------------------------------------------------------------------------ */

/* True if this channel takes the URL; a refusal must be PT400 and show no path. */
static bool
takes_url(const Channel *channel, const char *url)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool taken = true;

	PG_TRY();
	{
		channel->check_url(url);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		PROMISE(error->sqlerrcode == ERRCODE_FEATUL_BAD_ARGUMENT);
		taken = false;
	}
	PG_END_TRY();
	return taken;
}

/* Any bytes as a webhook URL. */
static void
fuzz_url(Input *input)
{
	char *url = take_bytes(input);

	for (int i = 0; channel_at(i); i++)
	{
		const char *host = url + strlen("https://");
		int			length;

		if (!takes_url(channel_at(i), url))
			continue;
		length = strcspn(host, "/?#");
		PROMISE(pg_strncasecmp(url, "https://", 8) == 0);
		PROMISE(strlen(url) <= 2048);
		PROMISE(memchr(host, '@', length) == NULL && strchr(url, '#') == NULL);
		for (const char *c = url; *c; c++)
			PROMISE((unsigned char) *c > ' ' && *c != 0x7F);
	}
}

/* Any bytes as a setting's list of networks, and as a host. */
static void
fuzz_address(Input *input)
{
	char  bad[64];
	char *list = take_bytes(input);

	if (!address_set_allowed_networks(list, true, bad, sizeof(bad)))
		PROMISE(memchr(bad, '\0', sizeof(bad)) != NULL);
	(void) address_host_refused(take_bytes(input));
}

/* Any bytes as an endpoint's answer. */
static void
fuzz_judge(Input *input)
{
	HttpResult	   result = { 0 };
	int			   choice = take_byte(input);
	const Channel *channel =
		channel_at(choice % 4) ? channel_at(choice % 4) : &webhook_channel;
	Verdict verdict;
	char   *excerpt;

	result.outcome = take_byte(input) % (HTTP_FAILED + 1);
	result.status = result.outcome != HTTP_RESPONSE
						? 0
						: (take_byte(input) << 8 | take_byte(input)) % 1000;
	result.wanted_headers = discord_channel.headers;
	for (int i = 0; result.wanted_headers[i]; i++)
	{
		result.headers[i] = take_bytes(input);
		if (*result.headers[i] == '\0')
			result.headers[i] = NULL;
	}
	strcpy(result.error, result.outcome == HTTP_RESPONSE ? "" : "TLS: no");
	result.body = palloc0(input->left + 1);
	memcpy(result.body, input->data, input->left);
	result.body_length = input->left;

	verdict = channel_judge(channel, &result);
	PROMISE((verdict.kind == VERDICT_DELIVERED) ==
			(result.outcome == HTTP_RESPONSE && result.status >= 200 &&
			 result.status <= 299));
	PROMISE((verdict.kind == VERDICT_DELIVERED) == (verdict.error == NULL));
	PROMISE(verdict.error == NULL || strchr(verdict.error, '\n') == NULL);
	PROMISE((verdict.kind == VERDICT_GONE) == (verdict.reason != NULL));
	PROMISE(verdict.hold_ms >= -1 && verdict.hold_ms <= 3600 * 1000);
	PROMISE(verdict.pace_ms >= 0 && verdict.pace_ms <= 3600 * 1000);

	excerpt = channel_response_excerpt(&result, 1000);
	PROMISE(valid_utf8(excerpt, strlen(excerpt)) && code_points(excerpt) <= 1000);
}

/* Any bytes as a Retry-After header of a 429. */
static void
fuzz_retry_after(Input *input)
{
	HttpResult result = { .outcome = HTTP_RESPONSE, .status = 429, .body = "" };
	Verdict	   verdict;

	result.wanted_headers = discord_channel.headers;
	result.headers[0] = take_bytes(input);
	verdict = channel_judge(&webhook_channel, &result);
	PROMISE(verdict.kind == VERDICT_HOLD);
	PROMISE(verdict.hold_ms >= -1 && verdict.hold_ms <= 3600 * 1000);
}

/* Any bytes through the conversions of text.c. */
static void
fuzz_text(Input *input)
{
	int	  limit = 1 + take_byte(input);
	char *foreign = text_from_foreign((const char *) input->data, input->left, limit);
	char *text = take_text(input);
	char *line = plain_line(text, limit);
	char *excerpt = plain_excerpt(text, limit);
	StringInfoData json;

	PROMISE(valid_utf8(foreign, strlen(foreign)) && code_points(foreign) <= limit);
	PROMISE(valid_utf8(excerpt, strlen(excerpt)) && code_points(excerpt) <= limit);
	PROMISE(valid_utf8(line, strlen(line)) && code_points(line) <= limit);
	PROMISE(strpbrk(line, "\r\n\v\f") == NULL && strstr(line, "\xE2\x80\xAE") == NULL);
	PROMISE(text_utf16_units(text) >= code_points(text));
	initStringInfo(&json);
	text_append_json(&json, text);
	(void) DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

/* ---- Rendering ---- */

/* A text of a row; some empty ones are NULL. */
static Text
take_row_text(Input *input, bool nulls)
{
	char *text = take_text(input);

	return text_of(*text == '\0' && nulls ? NULL : text);
}

static Person
take_person(Input *input, bool known, bool nulls)
{
	Person person = { .known = known };

	person.name = take_row_text(input, nulls);
	person.email = take_row_text(input, nulls);
	return person;
}

/* The payload that capture would build from rows with these texts. */
static char *
take_payload(Input *input, EventKind event)
{
	int			   flags = take_byte(input);
	bool		   nulls = flags & 1;
	StringInfoData out;
	Payload		   payload = { .event = event };

	payload.title = take_row_text(input, nulls);
	payload.content = take_row_text(input, nulls);
	payload.comment_content = take_row_text(input, nulls);
	payload.slug = take_row_text(input, nulls);
	payload.author = take_person(input, flags & 2, nulls);
	payload.commenter = take_person(input, flags & 4, nulls);
	payload.other = take_person(input, flags & 8, nulls);
	payload.hides_identity = flags & 16;
	payload.board = take_row_text(input, nulls);
	payload.status = take_row_text(input, nulls);
	payload.from_status = take_row_text(input, nulls);
	payload.workspace_id = take_row_text(input, nulls);
	payload.workspace_name = take_row_text(input, nulls);
	payload.workspace_slug = take_row_text(input, nulls);
	payload.post_id = take_row_text(input, nulls);
	payload.comment_id = take_row_text(input, nulls);
	payload.role = take_row_text(input, nulls);
	payload.reaction = take_row_text(input, nulls);
	payload.image = take_row_text(input, nulls);
	payload.milestone = flags;
	payload.upvotes = (int64) ((uint64) flags << (flags & 63));
	payload.post_created_at = text_of_timestamp(payload.upvotes);
	payload.comment_created_at = payload.post_created_at;

	initStringInfo(&out);
	payload_build(&out, &payload);
	PROMISE(out.len <= TEXT_MAX_BYTES);
	return out.data;
}

/* A string (or NULL) at a path of a rendered message. */
#define AT(message, ...)                                                                 \
	text_json_get(message, (const char *const[]){ __VA_ARGS__, NULL })

/* True if this is the type of an object of Slack's whose texts have no markup. */
static bool
type_is_literal(const JsonbValue *type)
{
	static const char *const literal[] = { "plain_text", "text", "link" };

	for (int i = 0; type && type->type == jbvString && i < lengthof(literal); i++)
		if (type->val.string.len == strlen(literal[i]) &&
			strncmp(type->val.string.val, literal[i], type->val.string.len) == 0)
			return true;
	return false;
}

/* Calls check with every string in there, but those of such objects. */
static void
each_string(JsonbContainer *container, void (*check)(const char *string))
{
	JsonbIterator	  *iterator = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue		   value;

	if (JsonContainerIsObject(container) &&
		type_is_literal(getKeyJsonValueFromContainer(container, "type", 4, NULL)))
		return;
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token != WJB_VALUE && token != WJB_ELEM)
			continue;
		if (value.type == jbvString)
			check(pnstrdup(value.val.string.val, value.val.string.len));
		else if (value.type == jbvBinary)
			each_string(value.val.binary.data, check);
	}
}

/* Slack: nothing that a reader wrote pings or links by itself. */
static void
check_slack_string(const char *string)
{
	PROMISE(text_utf16_units(string) <= 3000);
	PROMISE(strstr(string, "<!") == NULL && strstr(string, "<@") == NULL &&
			strstr(string, "<#") == NULL);
}

static void
check_slack(Jsonb *message)
{
	PROMISE(AT(message, "text") != NULL && *AT(message, "text") != '\0');
	PROMISE(strcmp(AT(message, "unfurl_links"), "false") == 0);
	PROMISE(strcmp(AT(message, "unfurl_media"), "false") == 0);
	each_string(&message->root, check_slack_string);
}

static void
check_discord_string(const char *string)
{
	PROMISE(*string != '\0');
	PROMISE(code_points(string) <= 4096);
}

static int discord_total;

static void
add_discord_string(const char *string)
{
	discord_total += code_points(string);
}

static void
check_discord(Jsonb *message)
{
	JsonbValue *embeds = getKeyJsonValueFromContainer(&message->root, "embeds", 6, NULL);

	PROMISE(getKeyJsonValueFromContainer(&message->root, "allowed_mentions", 16, NULL) !=
			NULL);
	PROMISE(embeds != NULL && embeds->type == jbvBinary);
	PROMISE(JsonContainerSize(embeds->val.binary.data) == 1);
	each_string(&message->root, check_discord_string);
	/* an upper bound: the URL and the timestamp do not count for Discord */
	discord_total = 0;
	each_string(embeds->val.binary.data, add_discord_string);
	PROMISE(discord_total <= 6000 + 2048 + 64);
}

static void
check_teams_string(const char *string)
{
	PROMISE(*string != '\0');
	PROMISE(strstr(string, "{{") == NULL && strstr(string, "<at>") == NULL);
}

static void
check_teams(Jsonb *message, int bytes)
{
	PROMISE(bytes <= 28 * 1024);
	PROMISE(strcmp(AT(message, "type"), "message") == 0);
	each_string(&message->root, check_teams_string);
}

/* More than a message tells. */
#define MAX_OTHERS (MESSAGE_LINES + 3)

/* Any texts of rows, through the payload, as the message of each channel. */
static void
fuzz_render(Input *input)
{
	Event event = { .webhook_id = "msg_0", .created_at = 0 };
	Event others[MAX_OTHERS];
	int	  choice = take_byte(input) % (EVENT_COUNT + 1);

	event.count = take_byte(input);
	if (choice < EVENT_COUNT)
	{
		event.name = event_definitions[choice].name;
		event.payload = take_payload(input, choice);
	}
	else
	{
		char *id = take_text(input);
		char *name = take_text(input);

		event.name = "integration.test";
		event.payload = payload_test(id, name, take_text(input));
	}
	if (take_byte(input) & 1)
	{
		StringInfoData labels;

		initStringInfo(&labels);
		appendStringInfoString(&labels, "{\"statusName\": ");
		text_append_json(&labels, take_text(input));
		appendStringInfoString(&labels, ", \"fromName\": ");
		text_append_json(&labels, take_text(input));
		appendStringInfoString(&labels, ", \"toName\": ");
		text_append_json(&labels, take_text(input));
		appendStringInfoChar(&labels, '}');
		event.labels = labels.data;
	}
	if (choice < EVENT_COUNT && (take_byte(input) & 1))
	{
		Event other = event;

		event.posts = take_byte(input);
		event.n_others = take_byte(input) % lengthof(others);
		other.payload = take_payload(input, choice);
		for (int i = 0; i < event.n_others; i++)
			others[i] = other;
		event.others = others;
	}
	for (int i = 0; channel_at(i); i++)
	{
		StringInfoData body;
		Jsonb		  *message;

		initStringInfo(&body);
		channel_at(i)->render(&event, &body);
		PROMISE(body.len == strlen(body.data) && body.len <= TEXT_MAX_BYTES);
		PROMISE(valid_utf8(body.data, body.len));
		message =
			DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(body.data)));
		if (channel_at(i) == &slack_channel)
			check_slack(message);
		else if (channel_at(i) == &discord_channel)
			check_discord(message);
		else if (channel_at(i) == &teams_channel)
			check_teams(message, body.len);
		else
			PROMISE(strcmp(AT(message, "event"), event.name) == 0);
	}
}

/* ------------------------------------------------------------------------
 * The driver
 * ------------------------------------------------------------------------ */

static const struct
{
	const char *name;
	void (*run)(Input *input);
} targets[] = {
	{ "address", fuzz_address }, { "judge", fuzz_judge },
	{ "render", fuzz_render },	 { "retry_after", fuzz_retry_after },
	{ "text", fuzz_text },		 { "url", fuzz_url },
};

static void (*current_target)(Input *input);
static MemoryContext input_context;

/* One input. */
static int
run_input(const uint8_t *data, size_t size)
{
	Input		  input = { data, size };
	MemoryContext caller = MemoryContextSwitchTo(input_context);

	PG_TRY();
	{
		current_target(&input);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(input_context);
		error = CopyErrorData();
		fprintf(stderr, "error: %s\n", error->message);
		abort();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	MemoryContextReset(input_context);
	return 0;
}

FEATUL_FUNCTION(fuzz);

/*
 * fuzz(target text, VARIADIC arguments text[]): runs libFuzzer with these
 * arguments; the process ends with it.
 */
Datum
fuzz(PG_FUNCTION_ARGS)
{
	char  *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Datum *arguments;
	int	   n_arguments;
	char **argv;
	int	   argc = 1;

	for (int i = 0; i < lengthof(targets); i++)
		if (strcmp(targets[i].name, name) == 0)
			current_target = targets[i].run;
	if (current_target == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("no such target: %s", name)));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT,
					  &arguments, NULL, &n_arguments);
	argv = palloc((n_arguments + 2) * sizeof(char *));
	argv[0] = name;
	for (int i = 0; i < n_arguments; i++)
		argv[argc++] = TextDatumGetCString(arguments[i]);
	argv[argc] = NULL;

	/* small blocks: larger chunks are malloc'd alone, where ASan sees their ends */
	input_context = AllocSetContextCreate(TopMemoryContext, "fuzz input", 0, 1024, 1024);
	PG_RETURN_INT32(LLVMFuzzerRunDriver(&argc, &argv, run_input));
}
