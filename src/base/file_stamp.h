/*
 * file_stamp.h
 *		Whether a file is still the one that was read: a bundle of CAs takes 0.1 s
 *		of processor time to parse, and every process looks at it on reload.
 */
#ifndef FEATUL_FILE_STAMP_H
#define FEATUL_FILE_STAMP_H

#include <sys/stat.h>

/* What tells a file's content apart.  Zeroed it is that of no file. */
typedef struct FileStamp
{
	dev_t			device;
	ino_t			inode;
	off_t			size;
	struct timespec changed;
} FileStamp;

/* The stamp of a file, to be taken before it is read; that of none if there is no such file. */
extern FileStamp file_stamp(const char *path);

/*
 * True if both are of the same file with the same content.  What was changed in the second
 * before it was looked at is never the same: it may change again within one tick of the clock.
 */
extern bool file_stamp_same(const FileStamp *a, const FileStamp *b);

#endif /* FEATUL_FILE_STAMP_H */
