/* Shared by the files that read the configuration. */
#ifndef GH_SPOA_CONFIG_INT_H
#define GH_SPOA_CONFIG_INT_H

#include "spoa/config.h"

struct conf_owned { /* what the object has to free; strings that YAML holds live in the document */
    struct conf_owned *next;
    void (*release)(void *p);
    void *p;
};

struct conf_all {
    struct conf c; /* first: conf_free() gets its address */
    struct yaml_doc *doc;
    struct conf_owned *owned;
    char *folder; /* of the file, with its slash; "" for the working directory */
    bool look;    /* no command is run: conf_look() */
};

/* Hands p to the object; frees it and returns NULL when out of memory. p may be NULL. */
void *conf_own(struct conf_all *a, void *p, void (*release)(void *p));
/* An owned path: name, relative to the file's folder when it does not begin with a slash. */
const char *conf_path(struct conf_all *a, const char *name);

/* Typed values of a map; an absent key leaves *out alone. False and *err on a mistake. */
bool conf_str(const struct yaml_node *map, const char *key, const char **out, struct pol_error *err);
bool conf_bool(const struct yaml_node *map, const char *key, bool *out, struct pol_error *err);
bool conf_int(const struct yaml_node *map, const char *key, int64_t min, int64_t max, uint64_t *out, struct pol_error *err);
bool conf_size(const struct yaml_node *map, const char *key, uint64_t min, uint64_t max, uint64_t *out, struct pol_error *err);
/* zero: the word 0 is taken too, as "off". */
bool conf_ms(const struct yaml_node *map, const char *key, bool zero, uint64_t min, uint64_t max, uint64_t *out, struct pol_error *err);
/* The value of a key that must be there; NULL and *err when it is not. */
const struct yaml_node *conf_need(const struct yaml_node *map, const char *key, struct pol_error *err);
bool conf_need_str(const struct yaml_node *map, const char *key, const char **out, struct pol_error *err);

/* Pieces that several sections have. A listening socket: path, owner and mode; who may connect. */
bool conf_read_socket(struct conf_all *a, const struct yaml_node *map, struct conf_door *d, struct pol_error *err);
bool conf_read_peers(struct conf_all *a, struct conf_door *d, const struct yaml_node *n, struct pol_error *err);
/* The file of authorities that n names, as PEM; n NULL: *ca stays. */
bool conf_read_ca(struct conf_all *a, const struct yaml_node *n, const char **ca, struct pol_error *err);
/* required_claims; n NULL: none. */
bool conf_read_required(struct conf_all *a, const struct yaml_node *n, struct jwt_issuer *out, struct pol_error *err);

/* The sections, each in a file of its subject. */
/* After the identity, whose issuers it names, and the other sockets. */
bool conf_read_page(struct conf_all *a, const struct yaml_node *n, struct pol_error *err);
bool conf_read_identity(struct conf_all *a, const struct yaml_node *n, struct pol_error *err);
/* token, certificate or both; without the key *out stays. After the identity, which has to fit. */
bool conf_read_require(const struct conf_all *a, const struct yaml_node *map, enum conf_require *out, struct pol_error *err);
/* After the databases, which it names. */
bool conf_read_apis(struct conf_all *a, const struct yaml_node *n, struct pol_error *err);
bool conf_read_upstream(struct conf_all *a, const struct yaml_node *n, struct conf_database *d, struct pol_error *err);
bool conf_read_audit(struct conf_all *a, const struct yaml_node *n, struct pol_error *err);
bool conf_read_redis(struct conf_all *a, const struct yaml_node *n, struct pol_error *err);
bool conf_same_audit(const struct led_conf *a, const struct led_conf *b);
bool conf_same_redis(const struct led_conf *a, const struct led_conf *b);
bool conf_read_operators(struct conf_all *a, const struct yaml_node *admin, struct pol_error *err);
/* A program and its arguments, which runs as the daemon's user. */
bool conf_read_command(struct conf_all *a, const struct yaml_node *n, struct secret_command *c, struct pol_error *err);
bool conf_read_hooks(struct conf_all *a, const struct yaml_node *n, struct pol_error *err);
/* After "node", which must not be among them. */
bool conf_read_nodes(struct conf_all *a, const struct yaml_node *n, struct pol_error *err);
bool conf_read_databases(struct conf_all *a, const struct yaml_node *n, struct pol_error *err);

#endif
