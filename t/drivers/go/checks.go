// What the programs in Go share; the runner puts this file beside each of them. One line for each check, as checks.py says it.
package main

import (
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	osexec "os/exec"
	"strings"
)

var (
	gate   = os.Getenv("GH_T_WAY") == "gate"
	table  = os.Getenv("GH_T_PREFIX") + "t"
	schema = strings.Split(table, ".")[0]
	name   = table[strings.Index(table, ".")+1:]
	evil   = "'); DROP TABLE " + table + "; -- \\' $1 %s ? :x \"\u2019"
)

const large = "SELECT n, md5(n::text) AS h FROM generate_series(1, 120000) AS n"
const types = "i int, b bigint, n numeric, f float8, t bool, s text, y bytea, d date, ts timestamptz, a int[], ta text[], j jsonb, u uuid, z text"

// check runs f, which panics when something is not as it should be.
func check(what string, f func()) {
	defer func() {
		if e := recover(); e != nil {
			fmt.Printf("FAIL %s: %s\n", what, strings.Join(strings.Fields(fmt.Sprint(e)), " "))
			return
		}
		fmt.Println("ok", what)
	}()
	f()
}

func gateOnly(what string, f func()) {
	if gate {
		check(what, f)
	}
}

func show(what string, values ...interface{}) { fmt.Println("=", what, strings.Trim(fmt.Sprint(values), "[]")) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func assert(ok bool, what interface{}) {
	if !ok {
		panic(fmt.Sprint("not so: ", what))
	}
}

type rows interface {
	Next() bool
	Scan(...interface{}) error
	Err() error
}

func showLarge(r rows) {
	sum := md5.New()
	count := 0
	for r.Next() {
		var n int
		var h string
		must(r.Scan(&n, &h))
		count++
		assert(n == count, n)
		sum.Write([]byte(h))
	}
	must(r.Err())
	show("large", count, fmt.Sprintf("%x", sum.Sum(nil)))
}

func hash(b []byte) string { return fmt.Sprintf("%x", md5.Sum(b)) }

func endBackend(pid int) { must(osexec.Command(os.Getenv("GH_T_END_BACKEND"), fmt.Sprint(pid)).Run()) }

func settings() []string {
	b, err := os.ReadFile(os.Getenv("GH_T_SETTINGS"))
	must(err)
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

func tlsConfig(ca string) *tls.Config {
	if !gate {
		return nil
	}
	pem, err := os.ReadFile(ca)
	must(err)
	pool := x509.NewCertPool()
	assert(pool.AppendCertsFromPEM(pem), "CA")
	return &tls.Config{RootCAs: pool, ServerName: os.Getenv("GH_T_HOST")}
}

// url of the database, with a password and the CA to check against.
func url(password, ca, more string) string {
	out := fmt.Sprintf("postgres://%s:%s@%s:%s/%s?connect_timeout=20&sslmode=", os.Getenv("GH_T_USER"), password, os.Getenv("GH_T_HOST"), os.Getenv("GH_T_PORT"),
		os.Getenv("GH_T_DATABASE"))
	if gate {
		return out + "verify-full&sslrootcert=" + ca + more
	}
	return out + "disable" + more
}

func saysWhy(message, hint string) {
	assert(strings.Contains(message, "select on public.staff is denied by the policy: A driver's test has no business with salaries."), message)
	assert(hint == "Read public.orders.", hint)
}
