#include "filters/my_veil.h"

#include <stdio.h>
#include <string.h>

#define WITHHELD ". Gatehouse withholds the database's own words: they may quote data that is hidden from you."

/* Sorted. Source: MariaDB's errmsg-utf8.txt, MySQL's messages_to_clients.txt: messages with names of tables, columns, keys, variables, functions and users,
 * or with numbers that are the server's. */
static const uint16_t harmless[] = {
    1007, 1008, 1020, 1022, 1028, 1032, 1036, 1038, 1040, 1041, 1043, 1044, 1045, 1046, 1047, 1048, 1049, 1050, 1051, 1052,
    1053, 1054, 1055, 1056, 1057, 1058, 1059, 1060, 1061, 1065, 1066, 1068, 1071, 1072, 1091, 1093, 1094, 1095, 1096, 1099,
    1100, 1103, 1109, 1110, 1111, 1113, 1114, 1115, 1116, 1117, 1118, 1120, 1128, 1136, 1137, 1138, 1140, 1142, 1143, 1146,
    1148, 1153, 1162, 1169, 1171, 1172, 1175, 1176, 1178, 1179, 1191, 1192, 1193, 1204, 1205, 1206, 1207, 1210, 1213, 1216,
    1217, 1221, 1222, 1223, 1226, 1227, 1228, 1229, 1230, 1232, 1233, 1234, 1235, 1238, 1241, 1242, 1243, 1247, 1248, 1250,
    1253, 1267, 1270, 1271, 1273, 1288, 1290, 1295, 1301, 1304, 1305, 1317, 1318, 1327, 1329, 1364, 1365, 1399, 1451, 1452,
    1568, 1582, 1583, 1615, 1630, 1792, 1969, 3024, 3572, 3819, 3948, 4025, 4078, 4079,
};

static const struct {
    uint16_t code;
    const char *text;
} conditions[] = {
    {1062, "Duplicate entry for a key" WITHHELD},
    {1139, "Regular expression error" WITHHELD},
    {1264, "Out of range value for a column" WITHHELD},
    {1265, "Data truncated for a column" WITHHELD},
    {1292, "Truncated incorrect value" WITHHELD},
    {1300, "Invalid character string" WITHHELD},
    {1366, "Incorrect value for a column" WITHHELD},
    {1406, "Data too long for a column" WITHHELD},
    {1411, "Incorrect value for a function" WITHHELD},
    {1441, "Datetime function: a field overflows" WITHHELD},
    {1525, "Incorrect value" WITHHELD},
    {1526, "Table has no partition for a value" WITHHELD},
    {1644, "An error was raised by code in the database" WITHHELD},
    {1690, "A value is out of range" WITHHELD},
};

const char *my_veil_error(uint16_t code, bool as_sent) {
    if (as_sent && (code == 1064 || code == 1149)) return NULL;
    for (size_t low = 0, high = sizeof harmless / sizeof *harmless; low < high;) {
        size_t mid = low + (high - low) / 2;
        if (harmless[mid] == code) return NULL;
        if (harmless[mid] < code)
            low = mid + 1;
        else
            high = mid;
    }
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++)
        if (conditions[i].code == code) return conditions[i].text;
    return "The database reported an error" WITHHELD;
}

/* The first number of the text, behind which more must stand. lc_messages decides the words, and in all languages it is the number of rows that were found, or given. */
static bool first_number(const struct my_ok *ok, uint64_t *rows) {
    size_t from = 0, i;
    *rows = 0;
    while (from < ok->info_len && (ok->info[from] < '0' || ok->info[from] > '9')) from++;
    for (i = from; i < ok->info_len && i - from < 18 && ok->info[i] >= '0' && ok->info[i] <= '9'; i++)
        *rows = *rows * 10 + (uint64_t)(ok->info[i] - '0');
    return i > from && i < ok->info_len && (ok->info[i] < '0' || ok->info[i] > '9');
}

void my_veil_ok(struct my_ok *ok, bool given, char info[MY_VEIL_INFO]) {
    static const char records[] = "Records: "; /* "Records: 3  Duplicates: 1  Warnings: 0" (ER_INSERT_INFO); of one row there is no text */
    uint64_t rows;
    bool numbered = first_number(ok, &rows),
         inserts = ok->info_len >= sizeof records - 1 && memcmp(ok->info, records, sizeof records - 1) == 0;
    bool update = numbered && !inserts; /* "Rows matched: 40  Changed: 0  Warnings: 0" (ER_UPDATE_INFO), or what is in another language */
    if (update)
        ok->rows = rows;
    else if (given)
        ok->rows = numbered ? rows : 1;
    ok->warnings = 0;
    ok->status &= (uint16_t)~MY_STATUS_PLAN;
    ok->info_len = 0;
    if (!update) return;
    ok->info = (const uint8_t *)info;
    ok->info_len = (size_t)snprintf(info, MY_VEIL_INFO, "Rows matched: %llu  Changed: %llu  Warnings: 0", (unsigned long long)rows,
                                    (unsigned long long)rows);
}

/* MariaDB's own name for a subselect that has none, numbered by how many there are: "__2". */
static bool is_numbered(const uint8_t *name, size_t len) {
    bool ok = len > 2 && name[0] == '_' && name[1] == '_';
    for (size_t i = 2; ok && i < len; i++) ok = name[i] >= '0' && name[i] <= '9';
    return ok;
}

/* What stands behind the names: their length, character set, length, type, flags, decimals. What differs when a value went through a table of the plan's is left out: BINARY of what is
 * no text, keys and what else a stored column has by its table, and the 39 decimals of a text that is an expression. */
static void put_form(struct buf *out, const uint8_t *at, size_t len) {
    enum { TYPE = 7, FLAGS = 8, DECIMALS = 10 };
    enum {
        NOT_NULL = 1,
        BLOB = 0x10,
        UNSIGNED = 0x20,
        ZEROFILL = 0x40,
        BINARY = 0x80,
        ENUM = 0x100,
        TIMESTAMP = 0x400,
        SET = 0x800,
        NUM = 0x8000
    };
    if (len <= DECIMALS) {
        buf_put(out, at, len);
        return;
    }
    bool text = at[TYPE] == 15 || (at[TYPE] >= 245 && at[TYPE] <= 254 && at[TYPE] != 246);
    unsigned kept = NOT_NULL | BLOB | UNSIGNED | ZEROFILL | ENUM | TIMESTAMP | SET | NUM | (text ? BINARY : 0);
    buf_put(out, at, FLAGS);
    buf_u8(out, (uint8_t)(at[FLAGS] & kept));
    buf_u8(out, (uint8_t)(at[FLAGS + 1] & kept >> 8));
    buf_u8(out, text ? 0 : at[DECIMALS]);
    buf_put(out, at + DECIMALS + 1, len - DECIMALS - 1);
}

bool my_veil_column(struct cur body, struct buf *out) {
    enum { CATALOG, SCHEMA, TABLE, ORG_TABLE, NAME, ORG_NAME, NAMES };
    const uint8_t *at, *rest;
    size_t len;
    for (int i = 0; i < NAMES; i++) {
        if (!my_lenenc_str(&body, &at, &len)) return false;
        if (i == SCHEMA || i == ORG_TABLE || i == ORG_NAME || (i == TABLE && is_numbered(at, len))) len = 0;
        my_put_lenenc(out, len);
        buf_put(out, at, len);
    }
    len = cur_left(&body);
    if (!cur_take(&body, len, &rest)) return false;
    put_form(out, rest, len);
    return true;
}
