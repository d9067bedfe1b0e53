/* gatehousectl audit: reads the record, in Redis or in a journal; see gatehousectl(1). */
#ifndef GH_CTL_AUDIT_H
#define GH_CTL_AUDIT_H

#include "spoa/config.h"
#include "spoa/ledger_event.h"

#include <hiredis/hiredis.h>
#include <jansson.h>

enum { AUDIT_OK = 0, AUDIT_FAILED = 1, AUDIT_USAGE = 2, AUDIT_NOTHING = 4, AUDIT_TOUCHED = 6 }; /* exit statuses */

/* One event as it was found. Texts are NUL-terminated, and borrowed until the callback returns. */
struct audit_event {
    const char *key; /* "gatehouse:audit:s1" */
    const char *id;  /* of its entry in Redis; in a journal the one that it was given */
    const struct lev_part *parts;
    size_t nparts; /* name, value, ... */
};
/* The value of a field; NULL when there is none. */
const char *audit_get(const struct audit_event *e, const char *name);
/* False when the event is not numbered as one of ours. */
bool audit_number(const struct audit_event *e, uint64_t *seq, const char **node);
/* The session that an event of a session's stream belongs to, or that one of the index names; NULL: none. */
const char *audit_session(const struct audit_event *e);
/* A new reference: {"stream": key, "entry": id, name: value, ...}; a name that is there a second time gets its place behind it. */
json_t *audit_json(const struct audit_event *e);

struct audit_options {
    const char *config, *redis, *user, *password_file, *prefix; /* where from */
    const char *journal;
    const char *since, *until, *principal, *session, *verdict, *rule, *table, *text, *database, *type, *node; /* filters */
    const char *keys[16], *anchors;
    size_t nkeys;
    uint64_t limit;
    bool json, help;
    const char *words[2]; /* what is no option */
    int nwords;
};

/* Where events are read from. */
struct audit_source {
    struct conf *conf; /* NULL without --config */
    redisContext *redis;
    const char *journal;           /* a folder; NULL: Redis */
    const char *prefix;            /* of keys in Redis: "gatehouse:" */
    bool daemons;                  /* the login is the one of the configuration */
    char anchors[4096], key[4096]; /* those that the configuration names, where they can be read; "" else */
};
/* False after a message on stderr. */
bool audit_open(struct audit_source *s, const struct audit_options *o, bool quiet);
void audit_close(struct audit_source *s);
/* A command with text arguments; exits after a message when the connection failed; an error of Redis's is given back. The caller frees. */
redisReply *audit_ask(const struct audit_source *s, int argc, const char **argv);

/* On standard error: what Redis refuses (r, else other), and what to do about it. */
void audit_refused(const struct audit_source *s, const char *what, const redisReply *r, const char *other);

/* Called for each event; false: enough. */
typedef bool (*audit_fn)(void *arg, const struct audit_event *e);
/* A stream's entries from id on ("-": all; "(1-0": those after it), in order. False after a message on stderr. */
bool audit_stream(const struct audit_source *s, const char *key, const char *from, audit_fn fn, void *arg);
/* Everything: in Redis stream by stream, in a journal file by file. damaged is called with a sentence for what cannot be read there; NULL: a
 * message on stderr and false. */
bool audit_each(const struct audit_source *s, const char *from, audit_fn fn, void (*damaged)(void *arg, const char *what), void *arg);

/* For machines: ASCII, so that nothing in it moves a terminal's cursor. Pretty: on several lines. */
void audit_print_json(const json_t *o, bool pretty);

int ctl_audit_verify(const struct audit_options *o);
int ctl_audit_tail(const struct audit_options *o);
int ctl_audit_search(const struct audit_options *o);
int ctl_audit_show(const struct audit_options *o, const char *session);
int ctl_audit_export(const struct audit_options *o);
int ctl_audit(int argc, char **argv);

#endif
