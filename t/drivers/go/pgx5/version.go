// What is pgx 5's own.
package main

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

var modes = []string{"&statement_cache_capacity=20", "&default_query_exec_mode=cache_describe", "&default_query_exec_mode=describe_exec", "&default_query_exec_mode=exec",
	"&default_query_exec_mode=simple_protocol"}

func openPool(url string) *pgxpool.Pool {
	p, err := pgxpool.New(ctx, url)
	must(err)
	return p
}

// protocol "simple": parameters put in by the driver.
func protocol(mode string) *pgx.Conn {
	config, err := pgx.ParseConfig(url(os.Getenv("GH_T_PASSWORD"), os.Getenv("GH_T_CA"), ""))
	must(err)
	if mode != "" {
		config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	}
	c, err := pgx.ConnectConfig(ctx, config)
	must(err)
	return c
}

func roundTrip(mode string) string {
	c := protocol(mode)
	run(c, "DROP TABLE IF EXISTS "+table)
	run(c, "CREATE TABLE "+table+" ("+types+")")
	var n pgtype.Numeric
	must(n.Scan("12345678901234567890.123456789"))
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	one32, three := int32(1), int32(3)
	a, bc := "a", "b\"c"
	ints, texts := []*int32{&one32, nil, &three}, []*string{&a, &bc, nil}
	day := pgtype.Date{Time: time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC), Valid: true}
	id := pgtype.UUID{Bytes: [16]byte{15: 7}, Valid: true}
	raw := []byte{0, 255, '\\', '\''}
	run(c, "INSERT INTO "+table+" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)", int32(-42), int64(1)<<53+1, n, 0.1, true,
		"t\u00ebxt \U0001f418", raw, day, at, ints, texts, `{"a": [1, null, "x"]}`, id, nil)
	var i int32
	var b int64
	var f float64
	var t bool
	var s string
	var y []byte
	var ts time.Time
	var z *string
	var n2 pgtype.Numeric
	var ints2 []*int32
	must(c.QueryRow(ctx, "SELECT i, b, n, f, t, s, y, ts, a, z FROM "+table).Scan(&i, &b, &n2, &f, &t, &s, &y, &ts, &ints2, &z))
	assert(i == -42 && b == 1<<53+1 && f == 0.1 && t && s == "t\u00ebxt \U0001f418" && bytes.Equal(y, raw) && ts.Equal(at) && z == nil, "values")
	assert(n2.Int.Cmp(n.Int) == 0 && n2.Exp == n.Exp && len(ints2) == 3 && *ints2[2] == 3 && ints2[1] == nil, fmt.Sprint("numeric, array ", n2, ints2))
	run(c, "SET timezone = 'UTC'")
	out := one(c, "SELECT r::text FROM "+table+" AS r")
	must(c.Close(ctx))
	return out
}
