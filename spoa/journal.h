/* The journal: an append-only file of text lines in segments, which survives the daemon's death.
 *
 *   <seq> <crc32c, 8 hex digits> <json>\n        the checksum covers "<seq> " and the json (Castagnoli, RFC 3720 appendix B.4)
 *
 * Sequence numbers start at 1 and have no gaps. Segments are journal-<first seq, 16 digits>.log in a folder of mode 0700 that one
 * process holds (flock on the file "lock"). Not thread-safe: the ledger's thread owns it. */
#ifndef GH_SPOA_JOURNAL_H
#define GH_SPOA_JOURNAL_H

#include "filters/bytes.h"

struct jnl_conf { /* strings are copied by jnl_open() */
    const char *dir;
    bool fsync;             /* fdatasync() before jnl_write() says yes */
    uint64_t segment_bytes; /* a segment's size before the next one starts */
    uint64_t retain_bytes;  /* shipped segments beyond this many bytes are removed */
    uint64_t retain_ms;     /* and those that were last written to so long ago; 0: of any age */
};
/* The longest line; what is longer cannot be written. */
#define JNL_MAX_LINE ((size_t)128 << 20)

struct jnl;
/* Takes the lock, checks the segments that may hold events not yet shipped, cuts an unfinished last line (and says so in note, else
 * ""). NULL and a sentence in err when the folder is not private, is held by another process, or a line is damaged. */
struct jnl *jnl_open(const struct jnl_conf *conf, char *note, size_t notesize, char *err, size_t errsize);
void jnl_close(struct jnl *j);
enum jnl_held { JNL_NONE, JNL_FREE, JNL_HELD }; /* no journal there (or none that can be seen); nobody has it; somebody has it */
/* Whether a process, this one too, holds the journal in dir: as of now. */
enum jnl_held jnl_held(const char *dir);
uint64_t jnl_first_seq(const struct jnl *j); /* older ones were removed after shipping */
uint64_t jnl_bytes(const struct jnl *j);     /* of all segments */
uint64_t jnl_tail_seq(const struct jnl *j);  /* the first one in the last two segments */
bool jnl_full(const struct jnl *j);          /* the next jnl_write() starts a segment */
uint64_t jnl_last_seq(const struct jnl *j);  /* 0: nothing was ever written */

/* Builds a line at the end of b: begin, append the json, end. begin returns the position that end needs. */
size_t jnl_line_begin(struct buf *b, uint64_t seq);
void jnl_line_end(struct buf *b, size_t at);
/* A line without its newline: its number and its json, which is inside of it. False when its checksum is wrong. */
GH_CHECKED bool jnl_line_parse(const char *line, size_t len, uint64_t *seq, const char **json, size_t *n);
/* Appends whole lines, whose numbers go from jnl_last_seq() + 1 to last_seq. All or nothing: after an error (a sentence in err) the
 * file ends where it ended before, and the next call tries again. */
GH_CHECKED bool jnl_write(struct jnl *j, const void *lines, size_t len, uint64_t last_seq, char *err, size_t errsize);

/* Events up to seq are in Redis: a hint that survives a restart (it may lag, never lead), and the licence to remove old segments.
 * Cheap: the hint goes to disk when a segment ends, and when now is true. */
void jnl_shipped(struct jnl *j, uint64_t seq, bool now);
/* So many of the oldest segments may go: shipped, beyond retain_bytes or older than retain_ms (*aged: some only for that), read by nobody, and none of
 * the last two. Cheap unless look is true, or something may have changed since the last call. */
size_t jnl_removable(struct jnl *j, bool look, bool *aged);
/* The number of the last event in the n oldest segments, n at least 1 and what jnl_removable() said. */
uint64_t jnl_file_end(const struct jnl *j, size_t n);
/* Removes them; the reader is not placed any more. */
void jnl_remove(struct jnl *j, size_t n);
uint64_t jnl_shipped_hint(const struct jnl *j);

/* Reads committed lines in order. The reader belongs to the journal and is moved, never copied. */
enum jnl_read { JNL_LINE, JNL_END, JNL_BAD };
/* Places the reader before line seq, which must not be greater than jnl_last_seq() + 1. False: not there or not readable, see err. */
GH_CHECKED bool jnl_seek(struct jnl *j, uint64_t seq, char *err, size_t errsize);
/* *json is valid until the next call on j. *line_bytes is the line's length in the file. */
enum jnl_read jnl_next(struct jnl *j, uint64_t *seq, const char **json, size_t *len, size_t *line_bytes, char *err, size_t errsize);
/* Bytes of journal from the line that jnl_next() would give to the end. */
uint64_t jnl_unread_bytes(const struct jnl *j);

uint32_t jnl_crc32c(uint32_t crc, const void *data, size_t len);

#endif
