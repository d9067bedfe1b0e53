/* A statement that a rule asks about, whoever sends it: what its approvers are told, and what is said of it. Shared by sessions and by the statement API. */
#ifndef GH_SPOA_ASKING_H
#define GH_SPOA_ASKING_H

#include "filters/bytes.h"
#include "policy/policy.h"
#include "spoa/approval.h"
#include "spoa/jwt.h"

/* --- the fingerprint: whatever could give the bytes another meaning --- */

void asking_put(struct buf *b, const void *data, size_t len);
void asking_put_text(struct buf *b, const char *s);
/* What every fingerprint begins with: what it is of, who asks, and where. */
void asking_begin(struct buf *b, const char *what, const struct jwt_identity *who, const char *database);

/* --- what people are told --- */

/* Whether something of it would be masked as a token: approvers would see stars, and what stands behind them could be anything. */
bool asking_hides(const char *text, size_t len);
#define ASKING_HIDDEN      "it holds what looks like a token, which is shown to nobody, so that nobody can agree to it"
#define ASKING_HIDDEN_HINT "Send it without the token. What only looks like one can be written in pieces ('eyJ...' || '...')."

/* What the rules ask, as struct appr_question wants it. api: of a request over HTTP, which has approvals and grants of its own; NULL: of a session. NULL:
 * no memory. */
json_t *asking_rules(const struct pol_ask *a, const char *api);

struct asking {
    const struct jwt_identity *who;
    const char *database, *session, *src, *policy;
    const char *api; /* as above */
    const char *text;
    size_t len;
    const struct pol_facts *facts;
    json_t *params, *types; /* taken over */
    const char *reason;     /* where the text begins with none; may be "" */
};
/* A new reference; NULL: no memory. */
json_t *asking_detail(const struct asking *k);
/* Why, as the text or the session says; NULL: nobody said. */
const char *asking_reason(const char *text, size_t len, const char *other, size_t *reason_len);

/* --- what the client is told --- */

/* Fills the verdict, which asked, with the answer: it waits, it was denied, it cannot be asked for now. */
void asking_tell(struct pol_verdict *v, const struct pol_facts *f, const struct appr_reply *r);
/* Makes a refusal of it: it needs approval and cannot get it. */
void asking_refuse(struct pol_verdict *v, const struct pol_facts *f, const char *sqlstate, const char *why, const char *hint);

#endif
