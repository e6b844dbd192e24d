/*
 * payload.c
 *		Stub.
 */
#include "postgres.h"

#include "fmgr.h"

#include "payload.h"
const char *const payload_event_names[] = {"post.created", "post.status_changed", "post.pinned", "post.featured", "post.locked", "post.upvoted", "post.milestone", "comment.created", "comment.mention", "comment.reaction", NULL};
bool payload_event_known(const char *name) { return true; }
char *payload_test(const char *workspace_id, const char *name, const char *slug) { return pstrdup("{}"); }
char *payload_sample(const char *event, const char *workspace_id, const char *name, const char *slug) { return pstrdup("{}"); }
