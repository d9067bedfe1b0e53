// lib/pq through database/sql.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/lib/pq"
)

var ctx = context.Background()

func open(more string) *sql.DB {
	db, err := sql.Open("postgres", url(os.Getenv("GH_T_PASSWORD"), os.Getenv("GH_T_CA"), more))
	must(err)
	return db
}

// dial gives a single connection, so that what a session keeps is there for the next statement.
func dial(more string) *sql.Conn {
	c, err := open(more).Conn(ctx)
	must(err)
	return c
}

func run(c *sql.Conn, q string, args ...interface{}) {
	_, err := c.ExecContext(ctx, q, args...)
	must(err)
}

func exec(c *sql.Conn, q string, args ...interface{}) error {
	_, err := c.ExecContext(ctx, q, args...)
	return err
}

func one(c *sql.Conn, q string, args ...interface{}) string {
	var s string
	must(c.QueryRowContext(ctx, q, args...).Scan(&s))
	return s
}

func fails(code string, err error) *pq.Error {
	var e *pq.Error
	assert(errors.As(err, &e) && (code == "" || string(e.Code) == code), err)
	return e
}

func main() {
	check("connects", func() {
		c := dial("&application_name=driver+libpq&statement_timeout=60000")
		assert(one(c, "SHOW statement_timeout") == "1min" && one(c, "SHOW application_name") == "driver libpq", "settings")
		must(c.PingContext(ctx))
		must(c.Close())
	})
	gateOnly("verifies_tls", func() {
		db, _ := sql.Open("postgres", url(os.Getenv("GH_T_PASSWORD"), os.Getenv("GH_T_WRONG_CA"), ""))
		err := db.Ping()
		assert(err != nil && strings.Contains(err.Error(), "certificate signed by unknown authority"), err)
	})
	gateOnly("bad_token", func() {
		db, _ := sql.Open("postgres", url("not.a.token", os.Getenv("GH_T_CA"), ""))
		e := fails("28P01", db.Ping())
		assert(strings.Contains(e.Message, "must be a valid OIDC access token") && strings.Contains(e.Hint, "Get a fresh token"), e)
	})
	check("prepared", func() {
		c := dial("")
		p, err := c.PrepareContext(ctx, "SELECT $1::int + 1, $2::text")
		must(err)
		for n := 0; n < 50; n++ {
			var i int
			var s string
			must(p.QueryRow(n, "x").Scan(&i, &s))
			assert(i == n+1 && s == "x", n)
		}
		must(p.Close())
		must(c.Close())
	})
	check("prepared_many", func() {
		c := dial("")
		var all []*sql.Stmt
		for n := 0; n < 200; n++ {
			p, err := c.PrepareContext(ctx, fmt.Sprintf("SELECT %d + $1::int", n))
			must(err)
			all = append(all, p)
		}
		for n, p := range all {
			var i int
			must(p.QueryRow(1).Scan(&i))
			assert(i == n+1, n)
			must(p.Close())
		}
		must(c.Close())
	})
	check("batch", func() {
		c := dial("")
		run(c, "DROP TABLE IF EXISTS "+table+"; CREATE TABLE "+table+" (id int PRIMARY KEY); INSERT INTO "+table+" VALUES (1), (2)")
		fails("22012", exec(c, "DELETE FROM "+table+"; SELECT 1 / 0; SELECT 1"))
		r, err := c.QueryContext(ctx, "SELECT 1; SELECT 2")
		must(err)
		for r.Next() {
		}
		assert(r.NextResultSet() && r.Next(), "two results")
		must(r.Close())
		show("batch", one(c, "SELECT count(*) FROM "+table))
		must(c.Close())
	})
	check("large", func() {
		c := dial("")
		r, err := c.QueryContext(ctx, large)
		must(err)
		showLarge(r)
		must(c.Close())
	})
	check("stream", func() {
		c := dial("")
		tx, err := c.BeginTx(ctx, nil)
		must(err)
		_, err = tx.Exec("DECLARE c CURSOR FOR " + large)
		must(err)
		count := 0
		for got := -1; got != 0; {
			r, err := tx.Query("FETCH 5000 FROM c")
			must(err)
			for got = 0; r.Next(); got++ {
			}
			must(r.Err())
			count += got
		}
		must(tx.Commit())
		show("stream", count)
		must(c.Close())
	})
	check("cancel", func() { // when the context ends, lib/pq sends a CancelRequest
		c := dial("")
		short, end := context.WithTimeout(ctx, time.Second)
		defer end()
		_, err := c.ExecContext(short, "SELECT pg_sleep(60)")
		fails("57014", err)
		must(c.Close())
		c = dial("")
		assert(one(c, "SELECT 1") == "1", "after")
		must(c.Close())
	})
	check("copy_in", func() {
		c := dial("")
		run(c, "DROP TABLE IF EXISTS "+table+"; CREATE TABLE "+table+" (id int, v text)")
		tx, err := c.BeginTx(ctx, nil)
		must(err)
		p, err := tx.Prepare(pq.CopyInSchema(schema, name, "id", "v"))
		must(err)
		for n := 0; n < 50000; n++ {
			_, err = p.Exec(n, fmt.Sprintf("a\tb\\%d", n))
			must(err)
		}
		_, err = p.Exec()
		must(err)
		must(p.Close())
		must(tx.Commit())
		tx, err = c.BeginTx(ctx, nil)
		must(err)
		p, err = tx.Prepare(pq.CopyInSchema(schema, name, "id", "v"))
		must(err)
		p.Exec("x", "a")
		_, err = p.Exec()
		fails("22P02", err)
		p.Close()
		must(tx.Rollback())
		show("copy_in", one(c, "SELECT count(*) || ' ' || sum(id) || ' ' || md5(string_agg(v, '' ORDER BY id)) FROM "+table))
		must(c.Close())
	})
	check("transaction", func() {
		c := dial("")
		run(c, "DROP TABLE IF EXISTS "+table+"; CREATE TABLE "+table+" (id int PRIMARY KEY)")
		tx, err := c.BeginTx(ctx, nil)
		must(err)
		_, err = tx.Exec("INSERT INTO " + table + " VALUES (1)")
		must(err)
		must(tx.Rollback())
		tx, err = c.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
		must(err)
		for _, q := range []string{"INSERT INTO " + table + " VALUES (2)", "SAVEPOINT s"} {
			_, err = tx.Exec(q)
			must(err)
		}
		_, err = tx.Exec("INSERT INTO "+table+" VALUES ($1)", 2)
		fails("23505", err)
		_, err = tx.Exec("SELECT 1")
		fails("25P02", err)
		_, err = tx.Exec("ROLLBACK TO s")
		must(err)
		must(tx.Commit())
		tx, err = c.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		must(err)
		_, err = tx.Exec("INSERT INTO " + table + " VALUES (3)")
		fails("25006", err)
		must(tx.Rollback())
		show("transaction", one(c, "SELECT array_agg(id)::text FROM "+table))
		must(c.Close())
	})
	check("reconnect", func() { // database/sql takes another connection by itself
		db := open("")
		db.SetMaxOpenConns(1)
		var pid, again int
		must(db.QueryRow("SELECT pg_backend_pid()").Scan(&pid))
		endBackend(pid)
		var err error
		for n := 0; n < 3; n++ {
			if err = db.QueryRow("SELECT pg_backend_pid()").Scan(&again); err == nil {
				break
			}
		}
		must(err)
		assert(again != pid, again)
		must(db.Close())
	})
	check("types", func() { show("types", roundTrip("")) })
	check("binary", func() { show("binary", roundTrip("&binary_parameters=yes")) })
	check("injection", func() {
		c := dial("")
		run(c, "DROP TABLE IF EXISTS "+table+"; CREATE TABLE "+table+" (v text)")
		run(c, "INSERT INTO "+table+" VALUES ($1)", evil)
		assert(one(c, "SELECT v FROM "+table+" WHERE v = $1", evil) == evil, "round trip")
		show("injection", one(c, "SELECT md5(v) FROM "+table))
		must(c.Close())
	})
	gateOnly("refused", func() {
		c := dial("")
		for n := 0; n < 3; n++ {
			e := fails("42501", exec(c, "SELECT * FROM staff WHERE id = $1", 1))
			saysWhy(e.Message, e.Hint)
			e = fails("42501", exec(c, "SELECT * FROM staff"))
			saysWhy(e.Message, e.Hint)
			assert(one(c, "SELECT 1") == "1", "after")
		}
		must(c.Close())
	})
	gateOnly("refused_in_transaction", func() {
		c := dial("")
		run(c, "DROP TABLE IF EXISTS "+table+"; CREATE TABLE "+table+" (id int)")
		tx, err := c.BeginTx(ctx, nil)
		must(err)
		_, err = tx.Exec("INSERT INTO " + table + " VALUES (1)")
		must(err)
		_, err = tx.Exec("DELETE FROM orders")
		fails("42501", err)
		_, err = tx.Exec("SELECT 1")
		fails("25P02", err)
		must(tx.Rollback())
		assert(one(c, "SELECT count(*) FROM "+table) == "0", "count")
		must(c.Close())
	})
	check("notify", func() {
		l := pq.NewListener(url(os.Getenv("GH_T_PASSWORD"), os.Getenv("GH_T_CA"), ""), time.Second, time.Second, nil)
		must(l.Listen("drivers_libpq"))
		c := dial("")
		run(c, "NOTIFY drivers_libpq, 'hello'")
		select {
		case n := <-l.Notify:
			assert(n != nil && n.Extra == "hello", n)
		case <-time.After(20 * time.Second):
			panic("nothing came")
		}
		must(l.Close())
		must(c.Close())
	})
	check("settings_pass", func() {
		c := dial("")
		for _, q := range settings() {
			run(c, q)
		}
		assert(one(c, "SELECT 1") == "1", "after")
		must(c.Close())
	})
	check("pool", func() {
		db := open("")
		db.SetMaxOpenConns(4)
		var wait sync.WaitGroup
		got := make([]int, 50)
		for n := range got {
			wait.Add(1)
			go func(n int) {
				defer wait.Done()
				if db.QueryRow("SELECT $1::int", n).Scan(&got[n]) != nil {
					got[n] = -1
				}
			}(n)
		}
		wait.Wait()
		for n := range got {
			assert(got[n] == n, got)
		}
		must(db.Close())
	})
	check("metadata", func() {
		c := dial("")
		r, err := c.QueryContext(ctx, "SELECT * FROM orders WHERE id = $1", 1)
		must(err)
		kinds, err := r.ColumnTypes()
		must(err)
		for _, k := range kinds {
			show("metadata", k.Name(), k.DatabaseTypeName())
		}
		must(r.Close())
		must(c.Close())
	})
}

func roundTrip(more string) string {
	c := dial(more)
	for _, q := range []string{"DROP TABLE IF EXISTS " + table, "CREATE TABLE " + table + " (" + types + ")"} {
		run(c, q)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	raw := []byte{0, 255, '\\', '\''}
	ints := []sql.NullInt64{{Int64: 1, Valid: true}, {}, {Int64: 3, Valid: true}}
	texts := []sql.NullString{{String: "a", Valid: true}, {String: "b\"c", Valid: true}, {}}
	doc, err := json.Marshal(map[string]interface{}{"a": []interface{}{1, nil, "x"}})
	must(err)
	run(c, "INSERT INTO "+table+" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)", -42, int64(1)<<53+1, "12345678901234567890.123456789", 0.1, true,
		"t\u00ebxt \U0001f418", raw, "2026-02-28", at, pq.Array(ints), pq.Array(texts), string(doc), "00000000-0000-0000-0000-000000000007", nil)
	var i int
	var b int64
	var n, s string
	var f float64
	var t bool
	var y []byte
	var ts time.Time
	var z sql.NullString
	var ints2 []sql.NullInt64
	var texts2 []sql.NullString
	must(c.QueryRowContext(ctx, "SELECT i, b, n, f, t, s, y, ts, a, ta, z FROM "+table).Scan(&i, &b, &n, &f, &t, &s, &y, &ts, pq.Array(&ints2), pq.Array(&texts2), &z))
	assert(i == -42 && b == 1<<53+1 && n == "12345678901234567890.123456789" && f == 0.1 && t && s == "t\u00ebxt \U0001f418" && string(y) == string(raw), "values")
	assert(ts.Equal(at) && fmt.Sprint(ints2) == fmt.Sprint(ints) && fmt.Sprint(texts2) == fmt.Sprint(texts) && !z.Valid, "others")
	run(c, "SET timezone = 'UTC'")
	out := one(c, "SELECT r::text FROM "+table+" AS r")
	must(c.Close())
	return out
}
