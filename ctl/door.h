/* gatehousectl's side of the admin door (spoa/admin.h): one request over its Unix socket. */
#ifndef GH_CTL_DOOR_H
#define GH_CTL_DOOR_H

#include "ctl/fold.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { DOOR_OK = 0, DOOR_FAILED = 1, DOOR_USAGE = 2, DOOR_REFUSED = 3, DOOR_UNKNOWN = 4, DOOR_OVER = 5 }; /* exit statuses */

#define DOOR_DEFAULT "/var/lib/gatehouse/admin.sock"
/* The socket: the option's value, else $GATEHOUSE_ADMIN, else DOOR_DEFAULT. */
const char *door_socket(const char *option);
/* From now on door_ask() asks the API beside the page at this address instead, https://NAME[:PORT]; about approvals alone, and each question needs a
 * token. ca: a PEM file of authorities; NULL: the system's. Both must stay. False and a message on stderr. */
bool door_use_url(const char *url, const char *ca);
/* A time as 30s, 15m, 2h or 1d, in seconds from 1 to a year. False and a message on stderr. */
bool door_seconds(const char *text, long long *out);
/* The token in a file ("-": standard input), which the caller frees with door_token_free(); NULL and a message on stderr. */
char *door_token(const char *path);
void door_token_free(char *token);
/* One request; body NULL: GET, else POST; token may be NULL. The exit status, with *out the answer (a new reference) for DOOR_OK; for others, where
 * there is an answer, its error has been printed. */
int door_ask(const char *socket, const char *path, const json_t *body, const char *token, json_t **out);
/* What the commands about approvals, sessions, blocks and grants take. */
struct door_options {
    const char *socket, *token_file, *reason, *scope;
    const char *url, *ca;
    long long seconds; /* --for; 0: not given */
    bool json, all, help;
    const char *words[3]; /* what is no option */
    int nwords;
};
/* url: --url, --ca-file and --scope are among them. False: one is wrong; getopt_long() or this has said so where it is not usage alone. */
bool door_options(int argc, char **argv, bool url, struct door_options *o);
/* Commands of which one file has the usage: its lines, for words_usage(), and what --help says below them and the socket. */
struct door_commands {
    const char *const *forms, *more;
};
int door_help(const struct door_commands *c, const char *command); /* on standard output; DOOR_OK */
/* On standard error, what is wrong and then the usage of command; DOOR_USAGE. */
int door_usage(const struct door_commands *c, const char *command); /* what is wrong was said */
int door_missing(const struct door_commands *c, const char *command, const char *of, const char *what);
int door_too_many(const struct door_commands *c, const char *command, const char *word);
/* A text of an answer; "" when there is none. */
const char *door_text(const json_t *o, const char *key);
/* For a person: what cannot be seen is spelt, and what does not fit into the terminal's width is folded, never back to where lines of ours begin. */
/* A name and its value; nothing when value is "". */
void door_field(const char *name, const char *value);
/* A text as one line. */
void door_line(const char *text);
/* SQL, or whatever else of a client's may have lines: FOLD_SQL before each. Every such text is shown by this, or on a screen by fold_text(). */
void door_sql(const char *text);
/* A text with what stands before its lines; f->columns is filled in. */
void door_fold(struct fold f, const char *text);
/* How many texts these have printed. */
size_t door_printed(void);
/* Prints o as JSON and a newline. */
void door_print_json(const json_t *o);

#endif
