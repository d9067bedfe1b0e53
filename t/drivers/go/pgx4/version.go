// What is pgx 4's own.
package main

import (
	"bytes"
	"os"
	"reflect"
	"time"

	"github.com/jackc/pgtype"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

var modes = []string{"&statement_cache_capacity=20", "&statement_cache_mode=describe", "&statement_cache_capacity=0"}

func openPool(url string) *pgxpool.Pool {
	p, err := pgxpool.Connect(ctx, url)
	must(err)
	return p
}

// protocol "simple": parameters put in by the driver.
func protocol(mode string) *pgx.Conn {
	config, err := pgx.ParseConfig(url(os.Getenv("GH_T_PASSWORD"), os.Getenv("GH_T_CA"), ""))
	must(err)
	config.PreferSimpleProtocol = mode != ""
	c, err := pgx.ConnectConfig(ctx, config)
	must(err)
	return c
}

func roundTrip(mode string) string {
	c := protocol(mode)
	run(c, "DROP TABLE IF EXISTS "+table)
	run(c, "CREATE TABLE "+table+" ("+types+")")
	var n pgtype.Numeric
	must(n.Set("12345678901234567890.123456789"))
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	ints, texts := &pgtype.Int4Array{}, &pgtype.TextArray{}
	one32, three := int32(1), int32(3)
	a, bc := "a", "b\"c"
	must(ints.Set([]*int32{&one32, nil, &three}))
	must(texts.Set([]*string{&a, &bc, nil}))
	day := &pgtype.Date{}
	must(day.Set(time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC)))
	doc := &pgtype.JSONB{}
	must(doc.Set(`{"a": [1, null, "x"]}`))
	id := &pgtype.UUID{}
	must(id.Set("00000000-0000-0000-0000-000000000007"))
	raw := []byte{0, 255, '\\', '\''}
	run(c, "INSERT INTO "+table+" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)", int32(-42), int64(1)<<53+1, &n, 0.1, true,
		"t\u00ebxt \U0001f418", raw, day, at, ints, texts, doc, id, nil)
	var i int32
	var b int64
	var f float64
	var t bool
	var s string
	var y []byte
	var ts time.Time
	var z *string
	var n2 pgtype.Numeric
	var ints2 pgtype.Int4Array
	must(c.QueryRow(ctx, "SELECT i, b, n, f, t, s, y, ts, a, z FROM "+table).Scan(&i, &b, &n2, &f, &t, &s, &y, &ts, &ints2, &z))
	assert(i == -42 && b == 1<<53+1 && f == 0.1 && t && s == "t\u00ebxt \U0001f418" && bytes.Equal(y, raw) && ts.Equal(at) && z == nil, "values")
	assert(n2.Int.Cmp(n.Int) == 0 && n2.Exp == n.Exp && reflect.DeepEqual(ints2.Elements, ints.Elements), "numeric, array")
	run(c, "SET timezone = 'UTC'")
	out := one(c, "SELECT r::text FROM "+table+" AS r")
	must(c.Close(ctx))
	return out
}
