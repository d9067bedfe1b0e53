/* Why a statement cannot be rewritten, in words: of both dialects' rewriters. */
#ifndef GH_POLICY_REWRITE_SAY_H
#define GH_POLICY_REWRITE_SAY_H

#include "policy/policy_int.h"

#include <stdarg.h>

#define RW_TOO_LARGE "the statement is too large when what is hidden from you is taken out"

/* The most that is put into a statement in all, and the longest of the texts that are made on the way. */
#define RW_MAX_TEXT (16u << 20)

/* So many bytes may stand in the place of others in a text of len: what it becomes is read again for the proof, which takes tens of milliseconds then. */
static inline bool rw_may_put(size_t inserted, size_t len) { return inserted <= ((size_t)1 << 20) + len * 8 && inserted <= RW_MAX_TEXT; }
/* pol_parse_limits.brief: what is put in is parsed, too. Steps are those of rw_work() and ry_work(), of which the bound for all is 50 ms. */
#define RW_BRIEF_BYTES ((size_t)48 << 10)
#define RW_STEPS       (50u << 20)
#define RW_BRIEF_STEPS (5u << 20)

/* Fills *why with a refusal (42501). view: whose rule is named, and whose visible columns are the hint when hint is NULL; may be NULL. */
void rw_say(struct pol_verdict *why, const struct pol_view *view, const char *hint, const char *fmt, va_list ap)
    __attribute__((format(printf, 4, 0)));
/* A refusal that is about no relation, when *refused is not set yet; sets it, and gives false. large: the statement is, else memory is out. */
bool rw_refuse_limit(struct pol_verdict *why, bool *refused, bool large);

#endif
