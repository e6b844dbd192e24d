/*
 * file_stamp.c
 *		Whether a file is still the one that was read.
 */
#include "postgres.h"

#include <time.h>

#include "base/file_stamp.h"

/* See file_stamp.h. */
FileStamp
file_stamp(const char *path)
{
	FileStamp	stamp = { 0 };
	struct stat status;

	if (stat(path, &status) != 0 || status.st_ctim.tv_sec >= time(NULL) - 1)
		return stamp;
	stamp.device = status.st_dev;
	stamp.inode = status.st_ino;
	stamp.size = status.st_size;
	stamp.changed = status.st_ctim;
	return stamp;
}

/* See file_stamp.h. */
bool
file_stamp_same(const FileStamp *a, const FileStamp *b)
{
	return a->inode != 0 && a->inode == b->inode && a->device == b->device &&
		   a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
		   a->changed.tv_nsec == b->changed.tv_nsec;
}
