/*
 * capture.h
 *		The triggers' function: from changed rows to events and queue entries.
 */
#ifndef FEATUL_CAPTURE_H
#define FEATUL_CAPTURE_H

/*
 * The payload (and context, or NULL) that the workspace's latest row matching
 * this event would give now; false if there is none.  Both palloc'd.
 */
extern bool capture_latest(const char *event, const char *workspace_id, char **payload,
						   char **context);

#endif /* FEATUL_CAPTURE_H */
