/*
 * preview.h
 *		The latest data that an event could be about, for previews.
 */
#ifndef FEATUL_PREVIEW_H
#define FEATUL_PREVIEW_H

/*
 * The payload (and labels, or NULL) that the workspace's latest row matching
 * this event would give now; false if there is none.  Both palloc'd.  Needs
 * the extension's rights and an active snapshot.
 */
extern bool preview_latest(const char *event, const char *workspace_id, char **payload,
						   char **labels);

#endif /* FEATUL_PREVIEW_H */
