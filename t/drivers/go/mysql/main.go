// go-sql-driver/mysql through database/sql: parameters in the text (interpolateParams), and statements prepared at the server.
package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	myLarge = "SELECT n, h FROM drv_numbers ORDER BY n"
	myTypes = "i int, b bigint, n decimal(30, 9), f double, t boolean, s text, y varbinary(40), d date, ts datetime(6), tm time(3), j longtext, e enum('a', 'b'), bt bit(8), u bigint unsigned, z text"
)

var ctx = context.Background()

func dsn(password, tls, more string) string {
	out := fmt.Sprintf("%s:%s@tcp(%s:%s)/%s?timeout=20s&allowAllFiles=true&multiStatements=true&collation=utf8mb4_general_ci", os.Getenv("GH_T_USER"), password, os.Getenv("GH_T_HOST"),
		os.Getenv("GH_T_PORT"), os.Getenv("GH_T_DATABASE"))
	if gate {
		out += "&tls=" + tls
	}
	return out + more
}

func open(more string) *sql.DB {
	db, err := sql.Open("mysql", dsn(os.Getenv("GH_T_PASSWORD"), "good", more))
	must(err)
	return db
}

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

func fails(code uint16, err error) *mysql.MySQLError {
	var e *mysql.MySQLError
	assert(errors.As(err, &e) && (code == 0 || e.Number == code), err)
	return e
}

func newTable(c *sql.Conn, columns string) {
	run(c, "DROP TABLE IF EXISTS "+table)
	run(c, "CREATE TABLE "+table+" ("+columns+")")
}

func mySaysWhy(e *mysql.MySQLError) {
	assert(strings.Contains(e.Message, "select on shop.staff is denied by the policy: A driver's test has no business with salaries."), e)
	assert(strings.Contains(e.Message, "Read shop.orders."), e)
}

func main() {
	if gate {
		must(mysql.RegisterTLSConfig("good", tlsConfig(os.Getenv("GH_T_CA"))))
		must(mysql.RegisterTLSConfig("wrong", tlsConfig(os.Getenv("GH_T_WRONG_CA"))))
	}
	basics()
	statements()
	values()
	sessions()
}

func basics() {
	check("connects", func() {
		c := dial("&wait_timeout=600&time_zone=%27%2B00%3A00%27") // settings in the DSN are SET statements
		assert(one(c, "SELECT DATABASE()") == "shop" && one(c, "SELECT @@wait_timeout") == "600", "settings")
		must(c.PingContext(ctx))
		must(c.Close())
	})
	gateOnly("verifies_tls", func() {
		db, _ := sql.Open("mysql", dsn(os.Getenv("GH_T_PASSWORD"), "wrong", ""))
		err := db.Ping()
		assert(err != nil && strings.Contains(err.Error(), "certificate signed by unknown authority"), err)
	})
	gateOnly("bad_token", func() {
		db, _ := sql.Open("mysql", dsn("not.a.token", "good", ""))
		e := fails(1045, db.Ping())
		assert(strings.Contains(e.Message, "must be a valid OIDC access token"), e)
	})
	gateOnly("refused", func() {
		for _, more := range []string{"", "&interpolateParams=true"} {
			c := dial(more)
			for n := 0; n < 3; n++ {
				mySaysWhy(fails(1142, exec(c, "SELECT * FROM staff WHERE id = ?", 1)))
				mySaysWhy(fails(1142, exec(c, "SELECT * FROM staff")))
				assert(one(c, "SELECT 1") == "1", "after")
			}
			must(c.Close())
		}
	})
	gateOnly("refused_in_transaction", func() {
		c := dial("")
		newTable(c, "id int")
		tx, err := c.BeginTx(ctx, nil)
		must(err)
		_, err = tx.Exec("INSERT INTO " + table + " VALUES (1)")
		must(err)
		_, err = tx.Exec("DELETE FROM orders")
		fails(1142, err)
		must(tx.Rollback())
		assert(one(c, "SELECT count(*) FROM "+table) == "0", "count")
		must(c.Close())
	})
}

func statements() {
	check("prepared", func() {
		c := dial("")
		p, err := c.PrepareContext(ctx, "SELECT ? + 1, ?")
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
			p, err := c.PrepareContext(ctx, fmt.Sprintf("SELECT %d + ?", n))
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
		newTable(c, "id int PRIMARY KEY")
		run(c, "INSERT INTO "+table+" VALUES (1); INSERT INTO "+table+" VALUES (2)")
		fails(1062, exec(c, "INSERT INTO "+table+" VALUES (3); INSERT INTO "+table+" VALUES (1)"))
		r, err := c.QueryContext(ctx, "SELECT 1; SELECT 2")
		must(err)
		for r.Next() {
		}
		assert(r.NextResultSet() && r.Next(), "two results")
		must(r.Close())
		show("batch", one(c, "SELECT group_concat(id ORDER BY id) FROM "+table))
		must(c.Close())
	})
	check("transaction", func() {
		c := dial("")
		newTable(c, "id int PRIMARY KEY")
		tx, err := c.BeginTx(ctx, nil)
		must(err)
		_, err = tx.Exec("INSERT INTO " + table + " VALUES (1)")
		must(err)
		must(tx.Rollback())
		tx, err = c.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
		must(err)
		for _, q := range []string{"INSERT INTO " + table + " VALUES (2)", "SAVEPOINT s", "INSERT INTO " + table + " VALUES (3)", "ROLLBACK TO SAVEPOINT s"} {
			_, err = tx.Exec(q)
			must(err)
		}
		_, err = tx.Exec("INSERT INTO "+table+" VALUES (?)", 2)
		fails(1062, err)
		must(tx.Commit())
		tx, err = c.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		must(err)
		_, err = tx.Exec("INSERT INTO " + table + " VALUES (4)")
		fails(1792, err)
		must(tx.Rollback())
		show("transaction", one(c, "SELECT group_concat(id) FROM "+table))
		must(c.Close())
	})
	check("cancel", func() { // when the context ends, the driver drops the connection; KILL is for whoever wants the statement to end
		c := dial("")
		short, end := context.WithTimeout(ctx, time.Second)
		defer end()
		_, err := c.ExecContext(short, "SELECT SLEEP(60)")
		assert(errors.Is(err, context.DeadlineExceeded), err)
		c = dial("")
		assert(one(c, "SELECT 1") == "1", "after")
		must(c.Close())
	})
}

func values() {
	check("large", func() {
		c := dial("")
		r, err := c.QueryContext(ctx, myLarge)
		must(err)
		showLarge(r)
		must(c.Close())
	})
	check("stream", func() { // it always does; given up half way, the rest is read and thrown away
		c := dial("")
		r, err := c.QueryContext(ctx, myLarge+" LIMIT ?", 100000)
		must(err)
		for n := 0; n < 5000; n++ {
			assert(r.Next(), n)
		}
		must(r.Close())
		assert(one(c, "SELECT 5") == "5", "after")
		must(c.Close())
	})
	check("load_local", func() {
		c := dial("")
		newTable(c, "id int, v text")
		path := filepath.Join(os.Getenv("GH_T_FOLDER"), "lines.txt")
		f, err := os.Create(path)
		must(err)
		w := bufio.NewWriter(f)
		for n := 0; n < 50000; n++ {
			fmt.Fprintf(w, "%d\ta\\tb\\\\%d\n", n, n)
		}
		must(w.Flush())
		must(f.Close())
		run(c, "LOAD DATA LOCAL INFILE '"+path+"' INTO TABLE "+table+" CHARACTER SET utf8mb4")
		show("load_local", one(c, "SELECT concat_ws(' ', count(*), sum(id), min(v), sum(crc32(v))) FROM "+table))
		must(c.Close())
	})
	check("types", func() { show("types", roundTrip("&interpolateParams=true")) })
	check("binary", func() { show("binary", roundTrip("")) })
	check("injection", func() {
		for _, more := range []string{"", "&interpolateParams=true"} {
			c := dial(more)
			newTable(c, "v text")
			run(c, "INSERT INTO "+table+" VALUES (?)", evil)
			assert(one(c, "SELECT v FROM "+table+" WHERE v = ?", evil) == evil, "round trip")
			show("injection", one(c, "SELECT md5(v) FROM "+table))
			must(c.Close())
		}
	})
	check("metadata", func() {
		c := dial("")
		for _, args := range [][]interface{}{{}, {1}} {
			r, err := c.QueryContext(ctx, "SELECT id, total, placed_at FROM orders WHERE id = "+map[int]string{0: "1", 1: "?"}[len(args)], args...)
			must(err)
			kinds, err := r.ColumnTypes()
			must(err)
			for _, k := range kinds {
				null, _ := k.Nullable()
				show("metadata", k.Name(), k.DatabaseTypeName(), null)
			}
			must(r.Close())
		}
		newTable(c, "id int AUTO_INCREMENT PRIMARY KEY, v text")
		r, err := c.ExecContext(ctx, "INSERT INTO "+table+" (v) VALUES (?), ('b')", "a")
		must(err)
		id, _ := r.LastInsertId()
		count, _ := r.RowsAffected()
		assert(id == 1 && count == 2, id)
		must(c.Close())
	})
}

func roundTrip(more string) string {
	c := dial(more + "&parseTime=true")
	newTable(c, myTypes)
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	raw := []byte{0, 255, '\\', '\''}
	run(c, "INSERT INTO "+table+" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", -42, int64(1)<<53+1, "123456789012345678901.123456789", 0.1, true, "t\u00ebxt \U0001f418", raw,
		"2026-02-28", at, "05:06:07", "{\"a\": [1, null, \"x\"]}", "b", []byte{5}, uint64(18446744073709551615), nil)
	var i int
	var b int64
	var u uint64
	var n, s string
	var f float64
	var t bool
	var y []byte
	var ts time.Time
	var z sql.NullString
	must(c.QueryRowContext(ctx, "SELECT i, b, n, f, t, s, y, ts, u, z FROM "+table+" WHERE i = ?", -42).Scan(&i, &b, &n, &f, &t, &s, &y, &ts, &u, &z))
	assert(i == -42 && b == 1<<53+1 && n == "123456789012345678901.123456789" && f == 0.1 && t && s == "t\u00ebxt \U0001f418" && string(y) == string(raw), "values")
	assert(ts.Equal(at) && u == 18446744073709551615 && !z.Valid, "others")
	out := one(c, "SELECT CONCAT_WS('|', i, b, n, f, t, s, HEX(y), d, ts, tm, j, e, HEX(bt), u, COALESCE(z, 'NULL')) FROM "+table)
	must(c.Close())
	return out
}

func sessions() {
	check("reconnect", func() { // database/sql takes another connection by itself
		db := open("")
		db.SetMaxOpenConns(1)
		var id, again int
		must(db.QueryRow("SELECT CONNECTION_ID()").Scan(&id))
		endBackend(id)
		var err error
		for n := 0; n < 3; n++ {
			if err = db.QueryRow("SELECT CONNECTION_ID()").Scan(&again); err == nil {
				break
			}
		}
		must(err)
		assert(again != id, again)
		must(db.Close())
	})
	check("settings_pass", func() {
		c := dial("")
		var wrong []string
		for _, q := range settings() {
			if err := exec(c, q); err != nil {
				wrong = append(wrong, q+": "+err.Error())
			}
		}
		assert(len(wrong) == 0, wrong)
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
				if db.QueryRow("SELECT ?", n).Scan(&got[n]) != nil {
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
}
