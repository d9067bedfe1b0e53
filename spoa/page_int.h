/* Shared by the page*.c files. */
#ifndef GH_SPOA_PAGE_INT_H
#define GH_SPOA_PAGE_INT_H

#include "spoa/approval.h"
#include "spoa/httpd.h"
#include "spoa/page.h"
#include "spoa/page_idp.h"
#include "spoa/page_session.h"

#include <jansson.h>

#define PAGE_COOKIE       "__Host-gatehouse"
#define PAGE_LOGIN_COOKIE "__Host-gatehouse-login"
#define PAGE_LIST_MAX     50u
#define PAGE_ID_SIZE      LOGIN_NEXT_SIZE

struct page {
    struct daemon *d;
    struct httpd *httpd;
    struct idp *idp;
    int fd; /* listening, until the server has it */
    /* the server's thread's: */
    struct login_keys *keys;
    struct page_sessions *sessions;
};

/* A request that is being answered. */
struct page_ask {
    struct page *p;
    struct snap *snap;
    const struct conf_page *c;
    const struct httpd_request *r;
    struct httpd_answer *a;
    char src[64]; /* the client, as HAProxy says; "" when it does not */
    bool signed_in;
    struct page_session s; /* when somebody is */
};

/* page_login_flow.c: /login and /callback. They may put the answer off. */
void page_login(struct page_ask *k);
void page_callback(struct page_ask *k);
/* For the metrics: an answer, and what became of a sign-in. */
void page_count(struct page *p, const char *page, int status);
void page_count_sign_in(struct page *p, const char *outcome);
/* Counts a bad sign-in or token of src; true when it is to be recorded by itself. */
bool page_count_bad(struct daemon *d, const char *src);
/* The source has sent so many that it has to wait. */
bool page_throttled(struct daemon *d, const char *src);

/* Somebody shut the principal or the address out; why is then a sentence. Either may be NULL. */
bool page_blocked(struct daemon *d, const char *principal, const char *src, char *why, size_t size);

/* page_view.c: whole pages, as HTML, into the answer. The texts are of others; they are escaped here. */
struct page_note { /* what is said above a page; title NULL: nothing */
    int status;    /* 0: 200 */
    const char *title, *text;
};
/* list: of appr_list(). */
void page_view_list(struct page_ask *k, const json_t *list, bool more, bool all, const char *after);
/* one: of appr_show(); may: what of the form is shown. */
void page_view_request(struct page_ask *k, const json_t *one, const struct appr_may *may, const struct page_note *note);
/* For who is not signed in: next as in login_begin(). */
void page_view_door(struct page_ask *k, const char *next);
void page_view_note(struct page_ask *k, const struct page_note *note);
/* The fields that every answer has, whoever makes it. */
void page_harden(struct httpd_answer *a);
/* 303 to a path of ours or an address. */
void page_redirect(struct httpd_answer *a, const char *to);
/* value NULL: the browser is to forget it. */
void page_set_cookie(struct httpd_answer *a, const char *name, const char *value, unsigned seconds);

/* page_assets.c */
struct page_asset {
    const char *path, *type, *data, *end;
};
const struct page_asset *page_asset(const char *path, size_t len); /* NULL: none */

#endif
