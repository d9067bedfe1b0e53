/* Public keys, and two tokens that they verify. The private keys are gone: nothing else can be signed with them. */
#ifndef GH_T_FUZZ_JWT_GOOD_H
#define GH_T_FUZZ_JWT_GOOD_H

// clang-format off
static const char good_keys[] =
    "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"use\":\"sig\",\"n\":\"6n3UOhRERfXCkDfi3I_-kg3TeDWLILnwstlmUYs5s2yB_UP1EQNjMm8zBmTeDFcal1RegB-"
    "BXH603q8uj63XRYU1mXom54waAZ2paV0LVgcuR2DOgdDI5KuA2PBgWEwwUC9f7aNgYavYoyiIMlnfA42b1HCip3cQh3a4LZIomvXn18awxtwI8Sb2RdrQDtp"
    "YNgWRCdsN3URtIPOqH-R17e6Rycno8aaeP633A-64iL_rYKQ0zV2f43gD6X9IxcdwGQL6GdaZ5d0mAzNK09Ox9m5F_tFEgrAIFl8-sa5ay0dWDf2XyerLdqH"
    "85GH8xvNcwstxjsuda5MhT5PmtVt45Q\",\"e\":\"AQAB\"},{\"kty\":\"EC\",\"kid\":\"e\",\"crv\":\"P-256\",\"x\":\"IPtFtXJWo27kUP01rVkHpMAXakgb1z_fYU"
    "X5783DOYw\",\"y\":\"kR7DGTt0Cc28bQVEhxueIEV_fdrb3FE8W2BrqrR_XCY\"}]}";

static const char good_rs256[] =
    "eyJhbGciOiJSUzI1NiIsImtpZCI6InIifQ.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwiYXVkIjoiZ2F0ZWhvdXNlIiwic3ViIjoiYWdlbnRAc2hvc"
    "C5leGFtcGxlIiwiZXhwIjoxNzAwMDAwNjAwLCJncm91cHMiOlsiYSIsImIiXX0.IozjibBkMKFO2R5vUJ-dngXvj4FurHz2fXtB7kmbd4EbmOw0IZCqU5EWx"
    "1DwGu6n6z3MZ3sMVW5G0T9_WBusMSlExgJwhJ6wi8Wni7CqpJ-QruBT7fv_yFTIF6ZLcpp3L5zMGcT5UsfVT7LvSpI8yHYKiQQGF0GZyup0GgXATV8xwn9B7"
    "m93oK6w4VeZmtu5ST_zmkMCSYLYU1dpKv5hjC-iefVOKBF2J9ls0ecUXVmNSIrP8rAxO2sTGZzsXtY3No3OkYfX-vFxobMYu_swctXMVfGy_iy-7OJNxryF4"
    "kjW0s87D1OWqIyrZ_q0x6mNmpWqvaisjRKGLVInpYmcTA";

static const char good_es256[] =
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUiLCJ0eXAiOiJhdCtqd3QifQ.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwiYXVkIjoiZ2F0ZWhvdXNlIiwic"
    "3ViIjoiYWdlbnRAc2hvcC5leGFtcGxlIiwiZXhwIjoxNzAwMDAwNjAwLCJncm91cHMiOlsiYSIsImIiXX0.SOmNfJJ9t6lr_wgWzau1OSrlclcYd_mX5zo7s"
    "-2yNdlU7KBKfv6oNhlTgG0NAIwBAAnazc3t85C0I5vydMJ0Uw";
// clang-format on

#endif
