#include "config.h"

#include "ctl/orders.h"

#include "ctl/door.h"
#include "ctl/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool options(int argc, char **argv, struct door_options *o) {
    bool ok = door_options(argc, argv, false, o);
    o->socket = door_socket(o->socket);
    return ok;
}

static const char *const forms[] = {
    "gatehousectl block principal|session|address|database NAME --reason TEXT [--for TIME] [--token-file FILE] [--json]",
    "gatehousectl unblock principal|session|address|database NAME [--reason TEXT] [--token-file FILE] [--json]",
    "gatehousectl blocks [list] [--all] [--json]",
    "gatehousectl grants [list] [--all] [--json]",
    "gatehousectl grants revoke ID [--reason TEXT] [--token-file FILE] [--json]",
    NULL,
};

static const struct door_commands commands = {
    forms, "TIME is 30s, 15m, 2h or 1d. FILE holds a token; - is standard input.\n"
           "\n"
           "Exit status: 0 done, 1 the daemon cannot be reached or failed, 2 wrong usage, 3 not yours to do, 4 there is no such block or "
           "grant,\n"
           "5 there are too many.\n"};

/* One POST; body is taken over. */
static int post(const struct door_options *o, const char *path, json_t *body) {
    json_t *answer;
    char *token = o->token_file != NULL ? door_token(o->token_file) : NULL;
    if (body == NULL) fputs("gatehousectl: a text of the request is not UTF-8\n", stderr);
    bool ok = body != NULL && (o->token_file == NULL || token != NULL);
    int rc = ok ? door_ask(o->socket, path, body, token, &answer) : DOOR_USAGE;
    door_token_free(token);
    json_decref(body);
    if (rc != DOOR_OK) return rc;
    if (o->json)
        door_print_json(answer);
    else
        door_line(door_text(answer, "message"));
    json_decref(answer);
    return rc;
}

/* --- blocks --- */

static int block(int argc, char **argv, bool lift) {
    static const char *const kinds[] = {"principal", "session", "address", "database", NULL};
    const char *command = lift ? "unblock" : "block";
    struct door_options o;
    if (!options(argc, argv, &o)) return door_usage(&commands, command);
    if (o.help) return door_help(&commands, command);
    if (o.nwords < 1) return door_missing(&commands, command, command, "principal, session, address or database");
    size_t kind = 0;
    while (kinds[kind] != NULL && strcmp(kinds[kind], o.words[0]) != 0) kind++;
    if (kinds[kind] == NULL) {
        words_unknown(command, "kind", o.words[0], kinds);
        return door_usage(&commands, command);
    }
    if (o.nwords < 2) return door_missing(&commands, command, command, "its NAME");
    if (o.nwords > 2) return door_too_many(&commands, command, o.words[2]);
    if (!lift && o.reason == NULL) return door_missing(&commands, command, command, "--reason TEXT, which who is shut out is told,");
    if (lift && o.seconds != 0) {
        fputs("gatehousectl unblock: --for is for block alone\n", stderr);
        return door_usage(&commands, command);
    }
    json_t *body = json_pack("{s:s, s:s, s:s*}", "what", o.words[0], "value", o.words[1], "reason", o.reason);
    if (body != NULL && o.seconds != 0) json_object_set_new(body, "for", json_integer(o.seconds));
    return post(&o, lift ? "/blocks/lift" : "/blocks", body);
}

int ctl_block(int argc, char **argv) { return block(argc, argv, false); }
int ctl_unblock(int argc, char **argv) { return block(argc, argv, true); }

static void print_block(const json_t *b) {
    door_field(door_text(b, "what"), door_text(b, "value"));
    door_field("why", door_text(b, "reason"));
    door_field("by", door_text(b, "by"));
    door_field("since", door_text(b, "since"));
    door_field("until", door_text(b, "until"));
    door_field("order", door_text(b, "id"));
    door_field("status", door_text(b, "status"));
}

static void print_grant(const json_t *g) {
    const json_t *asks = json_object_get(g, "asks"), *approvers = json_object_get(g, "approvers");
    door_field("grant", door_text(g, "id"));
    door_field("to", door_text(g, "principal"));
    door_field("database", door_text(g, "database"));
    door_field("scope", door_text(g, "scope"));
    for (size_t i = 0; i < json_array_size(asks); i++) door_field("rule", door_text(json_array_get(asks, i), "rule"));
    for (size_t i = 0; i < json_array_size(approvers); i++) door_field("approved by", json_string_value(json_array_get(approvers, i)));
    door_field("since", door_text(g, "since"));
    door_field("until", door_text(g, "until"));
    door_field("request", door_text(g, "request"));
    door_field("status", door_text(g, "status"));
    if (door_text(g, "sql")[0] != '\0') door_sql(door_text(g, "sql"));
}

static int list(const struct door_options *o, const char *what, const char *none, void (*print)(const json_t *)) {
    char path[64];
    json_t *answer;
    snprintf(path, sizeof path, "/%s%s", what, o->all ? "?all=1" : "");
    int rc = door_ask(o->socket, path, NULL, NULL, &answer);
    if (rc != DOOR_OK) return rc;
    const json_t *all = json_object_get(answer, what);
    if (o->json)
        door_print_json(all);
    else if (json_array_size(all) == 0)
        puts(none);
    for (size_t i = 0; !o->json && i < json_array_size(all); i++) {
        if (i > 0) putchar('\n');
        print(json_array_get(all, i));
    }
    json_decref(answer);
    return rc;
}

int ctl_blocks(int argc, char **argv) {
    static const char *const names[] = {"list", NULL};
    struct door_options o;
    if (!options(argc, argv, &o)) return door_usage(&commands, "blocks");
    if (o.help) return door_help(&commands, "blocks");
    if (o.nwords > 0 && strcmp(o.words[0], names[0]) != 0) {
        words_unknown("blocks", "command", o.words[0], names);
        return door_usage(&commands, "blocks");
    }
    if (o.nwords > 1) return door_too_many(&commands, "blocks", o.words[1]);
    return list(&o, "blocks", "Nobody is blocked.", print_block);
}

int ctl_grants(int argc, char **argv) {
    static const char *const names[] = {"list", "revoke", NULL};
    struct door_options o;
    if (!options(argc, argv, &o)) return door_usage(&commands, "grants");
    if (o.help) return door_help(&commands, "grants");
    bool revoke = o.nwords > 0 && strcmp(o.words[0], names[1]) == 0;
    if (!revoke && o.nwords > 0 && strcmp(o.words[0], names[0]) != 0) {
        words_unknown("grants", "command", o.words[0], names);
        return door_usage(&commands, "grants");
    }
    if (revoke && o.nwords < 2)
        return door_missing(&commands, "grants", "grants revoke", "the grant's ID, as \"gatehousectl grants\" lists it,");
    if (o.nwords > (revoke ? 2 : 1)) return door_too_many(&commands, "grants", o.words[revoke ? 2 : 1]);
    if (revoke) return post(&o, "/grants/revoke", json_pack("{s:s, s:s*}", "id", o.words[1], "reason", o.reason));
    return list(&o, "grants", "No grant counts.", print_grant);
}
