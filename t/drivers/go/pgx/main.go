// pgx: the extended protocol in binary, batches, COPY in binary, pgxpool. With version.go of go/pgx4 or go/pgx5; for 5 the runner puts that version's
// import paths in.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
)

var ctx = context.Background()

func dial(more string) *pgx.Conn {
	c, err := pgx.Connect(ctx, url(os.Getenv("GH_T_PASSWORD"), os.Getenv("GH_T_CA"), more))
	must(err)
	return c
}

func run(c *pgx.Conn, sql string, args ...interface{}) {
	_, err := c.Exec(ctx, sql, args...)
	must(err)
}

func one(c *pgx.Conn, sql string, args ...interface{}) string {
	var s string
	must(c.QueryRow(ctx, sql, args...).Scan(&s))
	return s
}

func fails(code string, err error) *pgconn.PgError {
	var e *pgconn.PgError
	assert(errors.As(err, &e) && (code == "" || e.Code == code), err)
	return e
}

func exec(c *pgx.Conn, sql string, args ...interface{}) error {
	_, err := c.Exec(ctx, sql, args...)
	return err
}

func main() {
	check("connects", func() {
		c := dial("&application_name=driver+pgx&statement_timeout=60000")
		assert(one(c, "SHOW statement_timeout") == "1min" && one(c, "SHOW application_name") == "driver pgx", "settings")
		must(c.Ping(ctx))
		must(c.Close(ctx))
	})
	gateOnly("verifies_tls", func() {
		_, err := pgx.Connect(ctx, url(os.Getenv("GH_T_PASSWORD"), os.Getenv("GH_T_WRONG_CA"), ""))
		assert(err != nil && strings.Contains(err.Error(), "certificate signed by unknown authority"), err)
	})
	gateOnly("bad_token", func() {
		_, err := pgx.Connect(ctx, url("not.a.token", os.Getenv("GH_T_CA"), ""))
		e := fails("28P01", err)
		assert(strings.Contains(e.Message, "must be a valid OIDC access token") && strings.Contains(e.Hint, "Get a fresh token"), e)
	})
	check("prepared", func() {
		c := dial("")
		_, err := c.Prepare(ctx, "p", "SELECT $1::int + 1, $2::text")
		must(err)
		for n := 0; n < 50; n++ {
			var i int
			var s string
			must(c.QueryRow(ctx, "p", n, "x").Scan(&i, &s))
			assert(i == n+1 && s == "x", n)
		}
		must(c.Deallocate(ctx, "p"))
		must(c.Close(ctx))
	})
	check("prepared_many", func() {
		for _, mode := range modes {
			c := dial(mode)
			for round := 0; round < 2; round++ {
				for n := 0; n < 200; n++ {
					var i int
					must(c.QueryRow(ctx, fmt.Sprintf("SELECT %d + $1::int", n), 1).Scan(&i))
					assert(i == n+1, n)
				}
			}
			must(c.Close(ctx))
		}
	})
	check("batch", func() {
		c := dial("")
		run(c, "DROP TABLE IF EXISTS "+table+"; CREATE TABLE "+table+" (id int PRIMARY KEY, v text)")
		b := &pgx.Batch{}
		for n := 0; n < 1000; n++ {
			b.Queue("INSERT INTO "+table+" VALUES ($1, $2)", n, fmt.Sprint("v", n))
		}
		b.Queue("SELECT count(*)::text FROM " + table)
		r := c.SendBatch(ctx, b)
		for n := 0; n < 1000; n++ {
			_, err := r.Exec()
			must(err)
		}
		var s string
		must(r.QueryRow().Scan(&s))
		assert(s == "1000", s)
		must(r.Close())
		b = &pgx.Batch{} // one implicit transaction: the error undoes it
		b.Queue("DELETE FROM " + table)
		b.Queue("SELECT 1 / $1::int", 0)
		b.Queue("SELECT 1")
		r = c.SendBatch(ctx, b)
		_, err := r.Exec()
		must(err)
		_, err = r.Exec()
		fails("22012", err)
		r.Close()
		show("batch", one(c, "SELECT count(*)::text FROM "+table))
		must(c.Close(ctx))
	})
	check("large", func() {
		c := dial("")
		r, err := c.Query(ctx, large)
		must(err)
		showLarge(r)
		must(c.Close(ctx))
	})
	check("stream", func() { // it reads row by row from the socket; a portal a part at a time takes SQL's cursors
		c := dial("")
		tx, err := c.Begin(ctx)
		must(err)
		_, err = tx.Exec(ctx, "DECLARE c CURSOR FOR "+large)
		must(err)
		count := 0
		for got := -1; got != 0; {
			r, err := tx.Query(ctx, "FETCH 5000 FROM c")
			must(err)
			for got = 0; r.Next(); got++ {
			}
			must(r.Err())
			count += got
		}
		must(tx.Commit(ctx))
		show("stream", count)
		r, err := c.Query(ctx, large) // given up half way
		must(err)
		for n := 0; n < 1000; n++ {
			r.Next()
		}
		r.Close()
		assert(one(c, "SELECT 'x'") == "x", "after")
		must(c.Close(ctx))
	})
	check("cancel", func() { // the context's end closes the connection in pgx, CancelRequest is a call of its own
		c := dial("")
		done := make(chan bool)
		stopped := make(chan bool)
		go func() {
			defer close(stopped)
			for {
				select {
				case <-done:
					return
				case <-time.After(300 * time.Millisecond):
					c.PgConn().CancelRequest(ctx)
				}
			}
		}()
		err := exec(c, "SELECT pg_sleep(60)")
		close(done)
		<-stopped
		fails("57014", err)
		must(c.Close(ctx))
		c = dial("")
		short, end := context.WithTimeout(ctx, time.Second)
		defer end()
		_, err = c.Exec(short, "SELECT pg_sleep(60)")
		assert(err != nil && c.IsClosed(), err)
		c = dial("")
		assert(one(c, "SELECT 'x'") == "x", "after")
		must(c.Close(ctx))
	})
	check("copy_in", func() {
		c := dial("")
		run(c, "DROP TABLE IF EXISTS "+table+"; CREATE TABLE "+table+" (id int, v text)")
		n, err := c.CopyFrom(ctx, pgx.Identifier{schema, name}, []string{"id", "v"}, pgx.CopyFromSlice(50000, func(n int) ([]interface{}, error) {
			return []interface{}{int32(n), fmt.Sprintf("a\tb\\%d", n)}, nil
		}))
		must(err)
		assert(n == 50000, n)
		_, err = c.PgConn().CopyFrom(ctx, strings.NewReader("x\ta\n"), "COPY "+table+" FROM STDIN")
		fails("22P02", err)
		show("copy_in", one(c, "SELECT count(*) || ' ' || sum(id) || ' ' || md5(string_agg(v, '' ORDER BY id)) FROM "+table))
		must(c.Close(ctx))
	})
	check("copy_out", func() {
		c := dial("")
		for _, how := range []string{"text", "csv", "binary"} {
			var out bytes.Buffer
			_, err := c.PgConn().CopyTo(ctx, &out, "COPY (SELECT * FROM "+table+" ORDER BY id) TO STDOUT (FORMAT "+how+")")
			must(err)
			show("copy_out", how, hash(out.Bytes()))
		}
		must(c.Close(ctx))
	})
	check("transaction", func() {
		c := dial("")
		run(c, "DROP TABLE IF EXISTS "+table+"; CREATE TABLE "+table+" (id int PRIMARY KEY)")
		tx, err := c.Begin(ctx)
		must(err)
		must(func() error { _, err := tx.Exec(ctx, "INSERT INTO "+table+" VALUES (1)"); return err }())
		must(tx.Rollback(ctx))
		tx, err = c.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable})
		must(err)
		must(func() error { _, err := tx.Exec(ctx, "INSERT INTO "+table+" VALUES (2)"); return err }())
		inner, err := tx.Begin(ctx) // a savepoint
		must(err)
		_, err = inner.Exec(ctx, "INSERT INTO "+table+" VALUES (2)")
		fails("23505", err)
		_, err = inner.Exec(ctx, "SELECT 1")
		fails("25P02", err)
		must(inner.Rollback(ctx))
		must(tx.Commit(ctx))
		tx, err = c.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
		must(err)
		_, err = tx.Exec(ctx, "INSERT INTO "+table+" VALUES (3)")
		fails("25006", err)
		must(tx.Rollback(ctx))
		show("transaction", one(c, "SELECT array_agg(id)::text FROM "+table))
		must(c.Close(ctx))
	})
	check("reconnect", func() {
		c := dial("")
		endBackend(pid(c))
		assert(exec(c, "SELECT 1") != nil && exec(c, "SELECT 1") != nil && c.IsClosed(), "closed")
		c = dial("")
		assert(one(c, "SELECT 'x'") == "x", "again")
		must(c.Close(ctx))
	})
	check("types", func() { show("types", roundTrip("simple")) })
	check("binary", func() { show("binary", roundTrip("")) })
	check("injection", func() {
		for _, mode := range []string{"", "simple"} {
			c := protocol(mode)
			run(c, "DROP TABLE IF EXISTS "+table)
			run(c, "CREATE TABLE "+table+" (v text)")
			run(c, "INSERT INTO "+table+" VALUES ($1)", evil)
			assert(one(c, "SELECT v FROM "+table+" WHERE v = $1", evil) == evil, "round trip")
			show("injection", one(c, "SELECT md5(v) FROM "+table))
			must(c.Close(ctx))
		}
	})
	gateOnly("refused", func() {
		c := dial("")
		for n := 0; n < 3; n++ {
			e := fails("42501", exec(c, "SELECT * FROM staff WHERE id = $1", 1))
			saysWhy(e.Message, e.Hint)
			e = fails("42501", exec(c, "SELECT * FROM staff; SELECT 1"))
			saysWhy(e.Message, e.Hint)
			assert(one(c, "SELECT 'x'") == "x", "after")
		}
		b := &pgx.Batch{}
		b.Queue("SELECT 1")
		b.Queue("SELECT * FROM staff")
		r := c.SendBatch(ctx, b)
		_, err := r.Exec()
		if err == nil {
			_, err = r.Exec()
		}
		fails("42501", err)
		r.Close()
		assert(one(c, "SELECT 'x'") == "x", "after the batch")
		must(c.Close(ctx))
	})
	gateOnly("refused_in_transaction", func() {
		c := dial("")
		run(c, "DROP TABLE IF EXISTS "+table+"; CREATE TABLE "+table+" (id int)")
		tx, err := c.Begin(ctx)
		must(err)
		_, err = tx.Exec(ctx, "INSERT INTO "+table+" VALUES (1)")
		must(err)
		_, err = tx.Exec(ctx, "DELETE FROM orders")
		fails("42501", err)
		_, err = tx.Exec(ctx, "SELECT 1")
		fails("25P02", err)
		must(tx.Rollback(ctx))
		assert(one(c, "SELECT count(*)::text FROM "+table) == "0", "count")
		must(c.Close(ctx))
	})
	check("notify", func() {
		a, b := dial(""), dial("")
		run(a, "LISTEN drivers_pgx")
		run(b, "NOTIFY drivers_pgx, 'hello'")
		short, end := context.WithTimeout(ctx, 20*time.Second)
		defer end()
		n, err := a.WaitForNotification(short)
		must(err)
		assert(n.Payload == "hello", n)
		must(a.Close(ctx))
		must(b.Close(ctx))
	})
	check("settings_pass", func() {
		c := protocol("")
		for _, sql := range settings() {
			_, err := c.PgConn().Exec(ctx, sql).ReadAll()
			must(err)
		}
		must(c.Ping(ctx))
		must(c.Close(ctx))
	})
	check("pool", func() {
		p := openPool(url(os.Getenv("GH_T_PASSWORD"), os.Getenv("GH_T_CA"), "&pool_max_conns=4&pool_min_conns=2"))
		var wait sync.WaitGroup
		got := make([]int, 50)
		for n := range got {
			wait.Add(1)
			go func(n int) {
				defer wait.Done()
				if p.QueryRow(ctx, "SELECT $1::int", n).Scan(&got[n]) != nil {
					got[n] = -1
				}
			}(n)
		}
		wait.Wait()
		for n := range got {
			assert(got[n] == n, got)
		}
		p.Close()
	})
	check("metadata", func() {
		c := dial("")
		d, err := c.Prepare(ctx, "d", "SELECT * FROM orders WHERE id = $1")
		must(err)
		for _, f := range d.Fields {
			show("metadata", string(f.Name), f.DataTypeOID)
		}
		show("metadata parameters", d.ParamOIDs)
		must(c.Close(ctx))
	})
	gateOnly("large_object", func() {
		c := dial("")
		tx, err := c.Begin(ctx)
		must(err)
		lo := tx.LargeObjects()
		_, err = lo.Create(ctx, 0)
		fails("42501", err)
		must(tx.Rollback(ctx))
		assert(one(c, "SELECT 'x'") == "x", "after")
		must(c.Close(ctx))
	})
}

func pid(c *pgx.Conn) int {
	var n int
	must(c.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&n))
	return n
}
