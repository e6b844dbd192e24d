/*
 * subscription.c
 *		The cache of active integrations by workspace.
 *
 * A cached answer holds until the relcache of featul_integrations.integration
 * (whose triggers invalidate it with every change), of the bound board table
 * (likewise, where a board changes its workspace) or of the bindings is
 * invalidated.  Messages arrive after their transaction is visible, so an
 * answer that was read before a message arrived is not kept: the clock tells.
 * Transactions that do not see the latest state (REPEATABLE READ and up) keep
 * nothing and are served nothing that was kept.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "application/binding.h"
#include "application/user_context.h"
#include "application/row.h"
#include "base/own_query.h"
#include "base/own_table.h"
#include "capture/subscription.h"

/* More entries than this, and the cache starts anew. */
#define MAX_ENTRIES 20000

/* An id short enough to be a hash key; longer ones are not cached. */
typedef struct CacheKey
{
	uint8 length;
	char  bytes[63];
} CacheKey;

typedef struct CachedWorkspace
{
	CacheKey	  key;
	Subscriptions subscriptions;
} CachedWorkspace;

typedef enum Answer
{
	UNKNOWN,
	NO,
	YES
} Answer;

static struct
{
	bool		  valid;
	MemoryContext context;
	HTAB		 *workspaces;	/* CachedWorkspace */
	HTAB		 *quiet_boards; /* CacheKey */
	Answer		  any;
	Oid			  integration; /* relations whose messages count */
	Oid			  board;
	uint64		  bindings; /* binding_generation() */
} cache;

static uint64 invalidations = 0;

/* Relcache callback */
static void
void_cache(Datum unused, Oid relid)
{
	if (OidIsValid(relid) && relid != cache.integration && relid != cache.board)
		return;
	cache.valid = false;
	invalidations++;
}

/*
 * What was found out of boards in a transaction, or a part of it, that is rolled back may
 * be about boards that there never were; one that is prepared may be rolled back.
 */
static bool remembered = false; /* a board, in this transaction */

static void
forget_at_transaction_end(XactEvent event, void *unused)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	if (remembered && event != XACT_EVENT_COMMIT)
		cache.valid = false;
	remembered = false;
}

static void
forget_at_subtransaction_end(SubXactEvent event, SubTransactionId unused,
							 SubTransactionId unused_parent, void *unused_argument)
{
	if (remembered && event == SUBXACT_EVENT_ABORT_SUB)
		cache.valid = false;
}

/* Empties the cache; what was given out lives on until the end of the transaction. */
static void
start_cache(void)
{
	static bool registered = false;
	HASHCTL		control = { .keysize = sizeof(CacheKey) };

	if (!registered)
	{
		CacheRegisterRelcacheCallback(void_cache, (Datum) 0);
		RegisterXactCallback(forget_at_transaction_end, NULL);
		RegisterSubXactCallback(forget_at_subtransaction_end, NULL);
	}
	registered = true;

	/* a caller further up may be using what it was given */
	if (cache.context)
		MemoryContextSetParent(cache.context, TopTransactionContext);
	memset(&cache, 0, sizeof(cache));
	cache.context = AllocSetContextCreate(
		TopMemoryContext, "featul_integrations subscriptions", ALLOCSET_DEFAULT_SIZES);
	control.hcxt = cache.context;
	control.entrysize = sizeof(CachedWorkspace);
	cache.workspaces = hash_create("featul_integrations workspaces", 64, &control,
								   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	control.entrysize = sizeof(CacheKey);
	cache.quiet_boards = hash_create("featul_integrations quiet boards", 64, &control,
									 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	cache.bindings = binding_generation();
	cache.board = binding_relid(SOURCE_BOARD);
	cache.integration =
		get_relname_relid("integration", get_namespace_oid("featul_integrations", false));
	cache.valid = true;
}

/* False if this transaction has to do without the cache. */
static bool
use_cache(void)
{
	if (IsolationUsesXactSnapshot())
		return false;
	if (!cache.valid || cache.bindings != binding_generation() ||
		hash_get_num_entries(cache.workspaces) > MAX_ENTRIES ||
		hash_get_num_entries(cache.quiet_boards) > MAX_ENTRIES)
		start_cache();
	return true;
}

/* False if it is too long for a key. */
static bool
cache_key(CacheKey *key, const char *bytes, int length)
{
	if (length > sizeof(key->bytes))
		return false;
	memset(key, 0, sizeof(CacheKey));
	key->length = length;
	memcpy(key->bytes, bytes, length);
	return true;
}

/* See subscription.h. */
uint64
subscriptions_clock(void)
{
	return invalidations + binding_generation();
}

/* ------------------------------------------------------------------------
 * Reading integrations
 * ------------------------------------------------------------------------ */

/* Asks the tables for any active integration. */
static bool
look_for_any(void)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[] = { OIDOID };
	Datum			  arguments[] = { ObjectIdGetDatum(MyDatabaseId) };
	OwnQuery		  query;
	bool			  any;

	own_query_begin(&query);
	own_query_prepare(&plan,
					  "SELECT FROM featul_integrations.integration i"
					  " JOIN featul_integrations.health h ON h.integration_id = i.id"
					  " WHERE " OWN_TABLE_ACTIVE_HERE("$1") " LIMIT 1",
					  1, types);
	own_query_run(plan, arguments, SPI_OK_SELECT);
	any = SPI_processed > 0;
	own_query_end(&query);
	return any;
}

/* See subscription.h. */
bool
subscriptions_any(void)
{
	UserContext state;
	uint64		clock;
	bool		caching = use_cache();
	bool		any;

	if (caching && cache.any != UNKNOWN)
		return cache.any == YES;
	clock = subscriptions_clock();
	user_context_as_extension(&state);
	any = look_for_any();
	user_context_restore(&state);
	if (caching && cache.valid && clock == subscriptions_clock())
		cache.any = any ? YES : NO;
	return any;
}

/* The texts of a text[], in the current context. */
static Text *
texts_of_array(Datum datum, int *count)
{
	Datum *elements;
	bool  *nulls;
	Text  *texts;

	deconstruct_array(DatumGetArrayTypeP(datum), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &nulls, count);
	texts = palloc(Max(*count, 1) * sizeof(Text));
	for (int i = 0; i < *count; i++)
		texts[i] = nulls[i] ? text_of(NULL) : text_of_datum(elements[i]);
	return texts;
}

/* Names of events as bits by EventKind; unknown ones are left out. */
static uint32
event_mask(Datum datum)
{
	int	   count;
	Text  *names = texts_of_array(datum, &count);
	uint32 mask = 0;

	for (int i = 0; i < count; i++)
	{
		EventKind kind = names[i].data ? event_kind(names[i].data) : EVENT_COUNT;

		if (kind != EVENT_COUNT)
			mask |= 1 << kind;
	}
	return mask;
}

/* qsort() and bsearch() comparator: any order of texts will do, and this is cheap. */
static int
compare_texts(const void *a, const void *b)
{
	const Text *left = a;
	const Text *right = b;

	if (left->length != right->length)
		return left->length < right->length ? -1 : 1;
	return memcmp(left->data, right->data, left->length);
}

/* One row of the query below, in the current context. */
static Subscription
subscription_of_row(HeapTuple row, TupleDesc desc)
{
	Subscription subscription = { .events = ~(uint32) 0, .n_boards = -1 };
	bool		 isnull;
	Datum		 datum;

	subscription.id = *DatumGetUUIDP(SPI_getbinval(row, desc, 1, &isnull));
	subscription.is_chat = DatumGetBool(SPI_getbinval(row, desc, 2, &isnull));
	datum = SPI_getbinval(row, desc, 3, &isnull);
	if (!isnull)
		subscription.events = event_mask(datum);
	datum = SPI_getbinval(row, desc, 4, &isnull);
	if (!isnull)
	{
		subscription.boards = texts_of_array(datum, &subscription.n_boards);
		qsort(subscription.boards, subscription.n_boards, sizeof(Text), compare_texts);
	}
	datum = SPI_getbinval(row, desc, 5, &isnull);
	if (!isnull)
		subscription.rule =
			rule_read_again(TextDatumGetCString(datum), &subscription.objection);
	return subscription;
}

/* Reads the workspace's integrations into this context. */
static Subscriptions
read_subscriptions(Text workspace_id, MemoryContext context)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[] = { TEXTOID, OIDOID };
	Datum			  arguments[2];
	Subscriptions	  result;
	OwnQuery		  query;

	own_query_begin(&query);
	own_query_prepare(
		&plan,
		"SELECT i.id, i.type <> 'webhook', i.events, i.boards, i.rule"
		" FROM featul_integrations.integration i"
		" JOIN featul_integrations.health h ON h.integration_id = i.id"
		" WHERE i.workspace_id = $1 AND " OWN_TABLE_ACTIVE_HERE("$2") " ORDER BY i.type",
		2, types);
	arguments[0] =
		PointerGetDatum(cstring_to_text_with_len(workspace_id.data, workspace_id.length));
	arguments[1] = ObjectIdGetDatum(MyDatabaseId);
	own_query_run(plan, arguments, SPI_OK_SELECT);

	MemoryContextSwitchTo(context);
	result.count = SPI_processed;
	result.list = palloc(Max(result.count, 1) * sizeof(Subscription));
	for (int i = 0; i < result.count; i++)
		result.list[i] =
			subscription_of_row(SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	own_query_end(&query);
	return result;
}

/* See subscription.h. */
const Subscriptions *
subscriptions_of(Text workspace_id)
{
	CacheKey key;
	uint64	 clock;
	bool caching = use_cache() && cache_key(&key, workspace_id.data, workspace_id.length);
	Subscriptions	*result;
	CachedWorkspace *entry;

	if (caching)
	{
		entry = hash_search(cache.workspaces, &key, HASH_FIND, NULL);
		if (entry)
			return &entry->subscriptions;
	}
	clock = subscriptions_clock();
	result = palloc(sizeof(Subscriptions));
	*result =
		read_subscriptions(workspace_id, caching ? cache.context : CurrentMemoryContext);
	if (!caching || !cache.valid || clock != subscriptions_clock())
		return result;
	entry = hash_search(cache.workspaces, &key, HASH_ENTER, NULL);
	entry->subscriptions = *result;
	pfree(result);
	return &entry->subscriptions;
}

/* See subscription.h. */
bool
subscription_wants(const Subscription *subscription, EventKind event, Text board_id)
{
	if ((subscription->events & (1 << event)) == 0)
		return false;
	if (subscription->n_boards < 0)
		return true;
	return board_id.data && bsearch(&board_id, subscription->boards,
									subscription->n_boards, sizeof(Text), compare_texts);
}

/* ------------------------------------------------------------------------
 * Quiet boards
 * ------------------------------------------------------------------------ */

/* The cache's key of a board's key; false if it has none. */
static bool
board_cache_key(CacheKey *key, Datum datum, bool by_value, int length)
{
	struct varlena *value;

	if (by_value)
		return cache_key(key, (const char *) &datum, sizeof(Datum));
	if (length > 0)
		return cache_key(key, DatumGetPointer(datum), length);
	value = (struct varlena *) DatumGetPointer(datum);
	if (length != -1 || VARATT_IS_EXTERNAL(value) || VARATT_IS_COMPRESSED(value))
		return false;
	return cache_key(key, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

/* See subscription.h. */
void
quiet_board_remember(Datum datum, bool by_value, int length, uint64 clock)
{
	CacheKey key;

	if (!use_cache() || clock != subscriptions_clock() ||
		!board_cache_key(&key, datum, by_value, length))
		return;
	hash_search(cache.quiet_boards, &key, HASH_ENTER, NULL);
	remembered = true;
}

/* See subscription.h. */
bool
quiet_board_known(Datum datum, bool by_value, int length)
{
	CacheKey key;

	return use_cache() && board_cache_key(&key, datum, by_value, length) &&
		   hash_search(cache.quiet_boards, &key, HASH_FIND, NULL) != NULL;
}
