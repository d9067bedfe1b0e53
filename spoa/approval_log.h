/* The files that remember approvals and orders: JOURNAL/approvals.log and orders.log, shared by the daemons of one node while one takes over from another.
 *
 *   <crc32c, 8 hex digits> <json>\n      the checksum covers the json
 *
 * Whoever holds the lock (flock on JOURNAL/approvals.lock) reads what the others wrote, then writes. A line is on disk before alog_append() says
 * yes. An unfinished last line, of a process that died in a write, is cut. Any other damage voids the whole file of approvals: it is moved aside and
 * what it granted must be asked for again, because the damaged line may be the one that says "used". Of a file that is to be kept, because what it says
 * forbids things, the damaged line alone is void, and the reader is told. */
#ifndef GH_SPOA_APPROVAL_LOG_H
#define GH_SPOA_APPROVAL_LOG_H

#include "filters/bytes.h"

struct alog;
/* DIR/NAME.log; dir must exist. keep: as above. NULL and a sentence in err. */
struct alog *alog_open(const char *dir, const char *name, bool keep, char *err, size_t size);
void alog_close(struct alog *l); /* NULL is fine */
/* Waits at most wait_ms for another process. False and a sentence in err. */
GH_CHECKED bool alog_lock(struct alog *l, unsigned wait_ms, char *err, size_t size);
void alog_unlock(struct alog *l);

/* What the reader gets: a record, or forget: everything that it knows is void or comes again. */
struct alog_reader {
    /* False: it could not be taken for want of memory. It comes again with the next reading, and nothing behind it before it. */
    bool (*record)(void *arg, const char *json, size_t len);
    void (*forget)(void *arg);
    void (*damaged)(void *arg); /* a line that is to be kept is not; may be NULL where none is */
    void *arg;
};
/* Locked: hands over what was written since the last time, by whomever. *damaged: the file was moved aside. False and a sentence: not all of it is known, and
 * nothing may be decided by what is. */
GH_CHECKED bool alog_read(struct alog *l, const struct alog_reader *r, bool *damaged, char *err, size_t size);
/* A line for the following. */
void alog_line(struct buf *b, const char *json, size_t len);
#define ALOG_LINE_MAX ((size_t)8 << 20)
/* Locked, and all is read: appends lines. All or nothing. */
GH_CHECKED bool alog_append(struct alog *l, const struct buf *lines, char *err, size_t size);
/* Locked: the file holds these lines from now on. */
GH_CHECKED bool alog_replace(struct alog *l, const struct buf *lines, char *err, size_t size);
/* A line was appended that its writer could not take: the next reading begins anew, and nothing is written before it. */
void alog_again(struct alog *l);
uint64_t alog_bytes(const struct alog *l);

#endif
