/* A small HTTP server for metrics and health, the admin door and the approvers' page: a few pages, one request a connection, on a thread of its own, so that a
 * reload that waits for DNS does not look like a dead daemon.
 *
 * It is ours and not libevent's evhttp, because that one (2.1) can bound neither the number of connections nor the time of one. */
#ifndef GH_SPOA_HTTPD_H
#define GH_SPOA_HTTPD_H

#include "filters/bytes.h"
#include "spoa/config.h"

#include <jansson.h>

#define HTTPD_HEAD_MAX    8192u              /* bytes of a request's head */
#define HTTPD_CONNECTIONS 16u                /* at once; more wait in the backlog */
#define HTTPD_TIME_MS     5000u              /* for a whole connection */
#define HTTPD_BODY_MAX    ((size_t)16 << 20) /* of an answer */
#define HTTPD_TOKEN_HEAD  (64u << 10)        /* bytes of a head that may hold a token: where POST is served */
#define HTTPD_POST_MAX    (64u << 10)        /* of a request's body */

struct httpd;
enum httpd_method { HTTPD_OTHER, HTTPD_GET, HTTPD_HEAD, HTTPD_POST };
struct httpd_request { /* texts are not terminated */
    enum httpd_method method;
    const char *path; /* without the query */
    size_t path_len;
    const char *query; /* behind the question mark; "" without one */
    size_t query_len;
    const char *fields; /* the header's lines, each with its CRLF */
    size_t fields_len;
    size_t head_len; /* up to the body */
    const char *body;
    size_t body_len;      /* filled by the server; httpd_parse() leaves it 0 */
    uint32_t uid;         /* of who asks, at a socket */
    struct httpd *server; /* and serial, of this request: for httpd_resume() */
    uint64_t serial;
};
/* Reads a request's head (RFC 9112, section 2) up to its empty line. GH_NEED_MORE until that is there, GH_LIMIT over max bytes, GH_MALFORMED
 * for what is no HTTP/1. */
enum gh_rc httpd_parse(const void *head, size_t len, size_t max, struct httpd_request *out);
/* A field's value without the blanks around it; false when there is none, or more than one. name in lower case. */
bool httpd_field(const struct httpd_request *r, const char *name, const char **value, size_t *len);
/* There is one, or more than one. */
bool httpd_has_field(const struct httpd_request *r, const char *name);
/* The length of a POST's body: exactly one Content-Length and no Transfer-Encoding. GH_LIMIT over HTTPD_POST_MAX. */
enum gh_rc httpd_body_len(const struct httpd_request *r, size_t *len);
/* The value of a parameter of the query, as it is written; false when it is not there. */
bool httpd_param(const struct httpd_request *r, const char *name, const char **value, size_t *len);

/* One value of a form (application/x-www-form-urlencoded: a query, or a body), decoded into out with a NUL. False when it is not there, comes
 * twice, is not properly encoded UTF-8, holds a NUL, or does not fit. */
bool httpd_form(const char *text, size_t len, const char *name, char *out, size_t size);
/* A cookie's value (RFC 6265, section 4.2) likewise, as it is written. */
bool httpd_cookie(const struct httpd_request *r, const char *name, char *out, size_t size);

/* Fills status, type and body for a path; 404 when it has no such page. On the server's thread. */
struct httpd_answer {
    int status;
    const char *type;
    struct buf body;
    struct buf fields; /* further lines of the header, each with its CRLF */
    bool later;        /* nothing yet: httpd_resume() brings the answer */
};
/* Fills it with JSON. o is taken over; NULL: out of memory. */
void httpd_answer_json(struct httpd_answer *a, int status, json_t *o);
typedef void (*httpd_page_fn)(void *arg, const struct httpd_request *r, struct httpd_answer *a);

/* A listening socket; -1 and a sentence in err, which says what to do. *retry: another process has the address, which may soon be free.
 * force: as in door_listen(). */
int httpd_listen(const struct conf_metrics *m, bool force, bool *retry, char *err, size_t size);
/* True when the descriptor is a socket that listens where m says. */
bool httpd_listens_at(int fd, const struct conf_metrics *m);

struct httpd_conf {   /* outlives the server, with what it points to */
    const char *name; /* of the log's lines */
    const struct conf_metrics *m;
    httpd_page_fn page;
    void *arg;
    bool post;          /* the pages take POST too; else they see only GET and HEAD */
    size_t connections; /* at once; 0: HTTPD_CONNECTIONS */
    unsigned later_ms;  /* how long an answer that comes later may take */
};
/* Serves on fd, which becomes the server's; with fd -1 it tries httpd_listen(m) again until it has it. When m's door names peers, nobody else may
 * connect. NULL when the system has no room: fd is closed. */
struct httpd *httpd_start(const struct httpd_conf *conf, int fd);
void httpd_stop(struct httpd *h); /* NULL is fine */
/* On the server's thread: that thread, to post to. */
struct worker *httpd_worker(const struct httpd *h);
/* On that thread: the answer to a request that was put off. Whoever asked may be gone by now. Its buffers stay the caller's. */
void httpd_resume(struct httpd *h, uint64_t serial, struct httpd_answer *a);
/* The server's own descriptor, to be lent to another process; -1 while it has none. Any thread; h may be NULL. */
int httpd_fd(struct httpd *h);
/* Another process serves from now on: accepts no more, answers whom it accepted. NULL is fine. */
void httpd_retire(struct httpd *h);

#endif
