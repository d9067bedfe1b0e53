#include "policy/facts.h"
#include "policy/arena.h"

#include <stdlib.h>
#include <string.h>

static const char *const action_names[] = {"select", "insert", "update",  "delete",   "truncate", "lock", "create", "alter",
                                           "drop",   "grant",  "execute", "maintain", "notify",   "set",  "files",  "temp"};

const char *pol_action_name(unsigned bit) {
    for (size_t i = 0; i < sizeof action_names / sizeof *action_names; i++)
        if (bit == 1u << i) return action_names[i];
    return NULL;
}

unsigned pol_action_of(const char *word) {
    for (size_t i = 0; i < sizeof action_names / sizeof *action_names; i++)
        if (strcmp(word, action_names[i]) == 0) return 1u << i;
    if (strcmp(word, "read") == 0) return POL_SELECT;
    if (strcmp(word, "write") == 0) return POL_INSERT | POL_UPDATE | POL_DELETE;
    if (strcmp(word, "ddl") == 0) return POL_CREATE | POL_ALTER | POL_DROP;
    if (strcmp(word, "all") == 0) return POL_ALL_ACTIONS;
    return 0;
}

const char *pol_kind_name(enum pol_kind k) {
    static const char *const names[] = {"empty",       "select", "insert", "update",   "delete",  "merge",    "copy",
                                        "transaction", "set",    "show",   "explain",  "prepare", "execute",  "deallocate",
                                        "declare",     "fetch",  "close",  "discard",  "lock",    "truncate", "ddl",
                                        "grant",       "call",   "do",     "maintain", "notify",  "other"};
    return (size_t)k < sizeof names / sizeof *names ? names[k] : "other";
}

const char *pol_parse_sqlstate(enum pol_parse_rc rc) {
    switch (rc) {
    case POL_PARSED: return "00000";
    case POL_SYNTAX: return "42601";
    case POL_TOO_DEEP: return "54001";
    case POL_TOO_LARGE: return "54000";
    case POL_ENCODING: return "22021";
    case POL_NO_MEMORY: return "53200";
    case POL_LONG: return "54000";
    case POL_NOT_UNDERSTOOD: break;
    }
    return "42501";
}

void pol_facts_free(struct pol_facts *f) {
    if (f == NULL) return;
    pol_arena_free(f->arena);
    free(f);
}
