/* Who is signed in at the approvers' page: in memory alone, bounded in number and time. One thread's. */
#ifndef GH_SPOA_PAGE_SESSION_H
#define GH_SPOA_PAGE_SESSION_H

#include "spoa/jwt.h"
#include "spoa/page_login.h"

#define PAGE_SESSIONS_MAX 1000u /* beyond, the one that was seen longest ago ends */
#define PAGE_SESSIONS_OWN 10u   /* of one principal: likewise */

struct page_sessions; /* opaque */
struct page_session { /* valid until the next call of page_session_begin() or _end() */
    const struct jwt_identity *who;
    const char *csrf; /* that its forms have to carry */
    const char *client_id;
    uint64_t ends_ms;
};

struct page_sessions *page_sessions_new(void); /* NULL when out of memory */
void page_sessions_free(struct page_sessions *t);
/* Begins one for who, who becomes the table's (also when it fails). cookie: 256 random bits, which are not kept: only their hash is. False without
 * memory or randomness. Times are monotonic. */
bool page_session_begin(struct page_sessions *t, struct jwt_identity *who, const char *client_id, uint64_t now_ms, uint64_t life_ms,
                        char cookie[LOGIN_TOKEN_SIZE]);
/* The session of this cookie. False when there is none, or it is over: older than its life, not seen for idle_ms, or begun at another provider or as
 * another client than these. */
bool page_session_find(struct page_sessions *t, const char *cookie, const char *issuer, const char *client_id, uint64_t now_ms,
                       uint64_t idle_ms, struct page_session *out);
void page_session_end(struct page_sessions *t, const char *cookie);
size_t page_sessions_count(const struct page_sessions *t);

#endif
