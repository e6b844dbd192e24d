/*
 * payload.h
 *		The canonical JSON payload of an event.
 */
#ifndef FEATUL_PAYLOAD_H
#define FEATUL_PAYLOAD_H

/* Body limit of a webhook, bytes of UTF-8 (design 5). */
#define PAYLOAD_MAX_BYTES 65536

/* The ten events, in the contract's order; NULL-terminated. */
extern const char *const payload_event_names[];

extern bool payload_event_known(const char *name);

/* {"event": "integration.test", "workspace": {...}, "message": ...}, palloc'd */
extern char *payload_test(const char *workspace_id, const char *name, const char *slug);

/*
 * A sample payload of an event for a workspace (palloc'd): what
 * integration_preview() shows when there is no data, and what a rule is
 * checked against.
 */
extern char *payload_sample(const char *event, const char *workspace_id,
							const char *name, const char *slug);

#endif							/* FEATUL_PAYLOAD_H */
