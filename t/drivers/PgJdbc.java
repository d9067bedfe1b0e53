// pgjdbc, run from its source: "java -cp JARS PgJdbc.java". One line for each check, as checks.py says it.
import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.io.*;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.MessageDigest;
import java.sql.*;
import java.time.*;
import java.util.*;
import java.util.concurrent.*;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyManager;
import org.postgresql.largeobject.LargeObjectManager;
import org.postgresql.util.PSQLException;

public class PgJdbc {
    static final Map<String, String> ENV = System.getenv();
    static final boolean GATE = ENV.get("GH_T_WAY").equals("gate");
    static final String T = ENV.get("GH_T_PREFIX") + "t";
    static final String LARGE = "SELECT n, md5(n::text) AS h FROM generate_series(1, 120000) AS n";
    static final String EVIL = "'); DROP TABLE " + T + "; -- \\' $1 %s ? :x \"\u2019";

    interface Check { void run() throws Exception; }

    static void check(String name, Check f) {
        try {
            f.run();
            System.out.println("ok " + name);
        } catch (Throwable e) {
            e.printStackTrace();
            System.out.println("FAIL " + name + ": " + String.valueOf(e).replaceAll("\\s+", " "));
        }
    }

    static void gateOnly(String name, Check f) {
        if (GATE) check(name, f);
    }

    static void show(String name, Object value) { System.out.println("= " + name + " " + value); }

    static void must(boolean ok, Object what) {
        if (!ok) throw new AssertionError(String.valueOf(what));
    }

    static PSQLException fails(String state, Check f) throws Exception {
        try {
            f.run();
        } catch (PSQLException e) {
            must(state == null || state.equals(e.getSQLState()), e.getSQLState() + " " + e);
            return e;
        }
        throw new AssertionError("no error, where " + state + " was due");
    }

    static Properties properties(String... more) {
        Properties p = new Properties();
        p.put("user", ENV.get("GH_T_USER"));
        p.put("password", ENV.get("GH_T_PASSWORD"));
        p.put("sslmode", GATE ? "verify-full" : "disable");
        p.put("sslrootcert", ENV.get("GH_T_CA"));
        for (int i = 0; i < more.length; i += 2) p.put(more[i], more[i + 1]);
        return p;
    }

    static String url() { return "jdbc:postgresql://" + ENV.get("GH_T_HOST") + ":" + ENV.get("GH_T_PORT") + "/" + ENV.get("GH_T_DATABASE"); }

    static Connection connect(String... more) throws SQLException { return DriverManager.getConnection(url(), properties(more)); }

    static void run(Connection c, String sql) throws SQLException {
        try (Statement s = c.createStatement()) { s.execute(sql); }
    }

    static String one(Connection c, String sql) throws SQLException {
        try (Statement s = c.createStatement(); ResultSet r = s.executeQuery(sql)) {
            r.next();
            List<String> out = new ArrayList<>();
            for (int i = 1; i <= r.getMetaData().getColumnCount(); i++) out.add(r.getString(i));
            return String.join(" ", out);
        }
    }

    static String hex(byte[] b) {
        StringBuilder s = new StringBuilder();
        for (byte x : b) s.append(String.format("%02x", x));
        return s.toString();
    }

    static void showLarge(ResultSet r) throws Exception {
        MessageDigest md = MessageDigest.getInstance("MD5");
        int n = 0;
        while (r.next()) {
            must(r.getInt(1) == ++n, n);
            md.update(r.getBytes(2));
        }
        show("large", n + " " + hex(md.digest()));
    }

    static void endBackend(Connection c) throws Exception {
        must(new ProcessBuilder(ENV.get("GH_T_END_BACKEND"), one(c, "SELECT pg_backend_pid()")).redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor() == 0, "end");
    }

    static void saysWhy(PSQLException e) {
        must(e.getServerErrorMessage().getMessage().contains("select on public.staff is denied by the policy: A driver's test has no business with salaries."), e);
        must("Read public.orders.".equals(e.getServerErrorMessage().getHint()), e);
    }

    public static void main(String[] args) throws Exception {
        connections();
        statements();
        data();
        refusals();
        sessions();
    }

    static void connections() {
        check("connects", () -> {
            try (Connection c = connect("ApplicationName", "driver pgjdbc", "options", "-c statement_timeout=60000", "assumeMinServerVersion", "9.0")) {
                must(c.isValid(20), "isValid");
                must(one(c, "SHOW statement_timeout").equals("1min") && one(c, "SHOW application_name").equals("driver pgjdbc"), "settings");
            }
            try (Connection c = connect("preferQueryMode", "simple")) { must(one(c, "SELECT 1").equals("1"), "simple"); }
        });
        gateOnly("verifies_tls", () -> must(fails("08006", () -> connect("sslrootcert", ENV.get("GH_T_WRONG_CA"))).toString().contains("PKIX path"), "PKIX"));
        gateOnly("bad_token", () -> {
            PSQLException e = fails("28P01", () -> connect("password", "not.a.token"));
            must(e.getMessage().contains("must be a valid OIDC access token") && e.getMessage().contains("Get a fresh token"), e);
            for (String mode : new String[] {"simple", "extended"}) // and a fresh one in the session
                try (Connection c = connect("preferQueryMode", mode); Statement s = c.createStatement()) {
                    s.execute("SET gatehouse.token = '" + ENV.get("GH_T_PASSWORD") + "'");
                    c.setAutoCommit(false);
                    s.execute("SET SESSION gatehouse.token TO '" + ENV.get("GH_T_PASSWORD") + "'");
                    must(one(c, "SELECT 1").equals("1"), "after it");
                    c.commit();
                }
        });
    }

    static void statements() {
        check("prepared", () -> {
            try (Connection c = connect(); PreparedStatement s = c.prepareStatement("SELECT ?::int + 1, ?::text")) {
                for (int n = 0; n < 50; n++) { // from the fifth on named, and in binary
                    s.setInt(1, n);
                    s.setString(2, "x");
                    try (ResultSet r = s.executeQuery()) { must(r.next() && r.getInt(1) == n + 1 && r.getString(2).equals("x"), n); }
                }
            }
        });
        check("prepared_many", () -> {
            try (Connection c = connect("prepareThreshold", "1", "preparedStatementCacheQueries", "20")) {
                for (int round = 0; round < 2; round++)
                    for (int n = 0; n < 200; n++)
                        try (PreparedStatement s = c.prepareStatement("SELECT " + n + " + ?::int")) {
                            s.setInt(1, 1);
                            try (ResultSet r = s.executeQuery()) { must(r.next() && r.getInt(1) == n + 1, n); }
                        }
            }
        });
        check("batch", () -> {
            for (String rewrite : new String[] {"false", "true"})
                try (Connection c = connect("reWriteBatchedInserts", rewrite)) {
                    run(c, "DROP TABLE IF EXISTS " + T + "; CREATE TABLE " + T + " (id int PRIMARY KEY, v text)");
                    try (PreparedStatement s = c.prepareStatement("INSERT INTO " + T + " VALUES (?, ?)")) {
                        for (int n = 0; n < 5000; n++) {
                            s.setInt(1, n);
                            s.setString(2, "v" + n);
                            s.addBatch();
                        }
                        must(s.executeBatch().length == 5000, "batch");
                        c.setAutoCommit(false);
                        for (int n : new int[] {9000, 1, 9001}) {
                            s.setInt(1, n);
                            s.setString(2, "w");
                            s.addBatch();
                        }
                        try {
                            s.executeBatch();
                            must(false, "no error");
                        } catch (BatchUpdateException e) {
                            must(e.getSQLState().equals("23505"), e);
                        }
                        c.rollback();
                    }
                    show("batch", one(c, "SELECT count(*), md5(string_agg(v, '' ORDER BY id)) FROM " + T));
                }
        });
        check("large", () -> {
            try (Connection c = connect(); Statement s = c.createStatement(); ResultSet r = s.executeQuery(LARGE)) { showLarge(r); }
        });
        check("stream", () -> { // portals, a fetch size at a time
            try (Connection c = connect(); Statement s = c.createStatement()) {
                c.setAutoCommit(false);
                s.setFetchSize(5000);
                try (ResultSet r = s.executeQuery(LARGE)) { showLarge(r); }
                try (ResultSet r = s.executeQuery(LARGE)) { // given up half way
                    for (int n = 0; n < 7000; n++) r.next();
                }
                s.setMaxRows(10);
                try (ResultSet r = s.executeQuery(LARGE)) {
                    int n = 0;
                    while (r.next()) n++;
                    must(n == 10, n);
                }
                c.commit();
            }
        });
        check("cancel", () -> {
            try (Connection c = connect(); Statement s = c.createStatement()) {
                ScheduledExecutorService again = Executors.newSingleThreadScheduledExecutor();
                again.scheduleWithFixedDelay(() -> { try { s.cancel(); } catch (SQLException e) { throw new RuntimeException(e); } }, 300, 300, TimeUnit.MILLISECONDS);
                fails("57014", () -> s.execute("SELECT pg_sleep(60)"));
                again.shutdown();
                must(again.awaitTermination(20, TimeUnit.SECONDS), "thread");
            }
            try (Connection c = connect(); Statement s = c.createStatement()) {
                s.setQueryTimeout(1);
                fails("57014", () -> s.execute("SELECT pg_sleep(60)"));
                s.setQueryTimeout(0);
                must(one(c, "SELECT 1").equals("1"), "after");
            }
        });
        check("transaction", () -> {
            try (Connection c = connect()) {
                run(c, "DROP TABLE IF EXISTS " + T + "; CREATE TABLE " + T + " (id int PRIMARY KEY)");
                c.setAutoCommit(false);
                run(c, "INSERT INTO " + T + " VALUES (1)");
                c.rollback();
                run(c, "INSERT INTO " + T + " VALUES (2)");
                Savepoint p = c.setSavepoint("s");
                run(c, "INSERT INTO " + T + " VALUES (3)");
                c.rollback(p);
                c.commit();
                fails("23505", () -> run(c, "INSERT INTO " + T + " VALUES (2)"));
                fails("25P02", () -> run(c, "SELECT 1"));
                c.rollback();
                c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
                c.setReadOnly(true);
                fails("25006", () -> run(c, "INSERT INTO " + T + " VALUES (4)"));
                c.rollback();
                c.setReadOnly(false);
                show("transaction", one(c, "SELECT array_agg(id) FROM " + T));
                c.rollback();
            }
            try (Connection c = connect("autosave", "always")) { // a savepoint before each statement
                c.setAutoCommit(false);
                fails("22012", () -> run(c, "SELECT 1 / 0"));
                must(one(c, "SELECT 1").equals("1"), "autosave");
                c.commit();
            }
        });
    }

    static void data() {
        check("copy_in", () -> {
            try (Connection c = connect()) {
                run(c, "DROP TABLE IF EXISTS " + T + "; CREATE TABLE " + T + " (id int, v text)");
                CopyManager copy = c.unwrap(PGConnection.class).getCopyAPI();
                StringBuilder text = new StringBuilder();
                for (int n = 0; n < 50000; n++) text.append(n).append("\ta\\tb\\\\").append(n).append('\n');
                must(copy.copyIn("COPY " + T + " FROM STDIN", new StringReader(text.toString())) == 50000, "count");
                fails("22P02", () -> copy.copyIn("COPY " + T + " FROM STDIN", new StringReader("x\ta\n")));
                var given = copy.copyIn("COPY " + T + " FROM STDIN");
                given.writeToCopy("1\tx\n".getBytes(), 0, 4);
                given.cancelCopy();
                show("copy_in", one(c, "SELECT count(*), sum(id), md5(string_agg(v, '' ORDER BY id)) FROM " + T));
            }
        });
        check("copy_out", () -> {
            try (Connection c = connect()) {
                for (String how : new String[] {"text", "csv", "binary"}) {
                    ByteArrayOutputStream out = new ByteArrayOutputStream();
                    c.unwrap(PGConnection.class).getCopyAPI().copyOut("COPY (SELECT * FROM " + T + " ORDER BY id) TO STDOUT (FORMAT " + how + ")", out);
                    show("copy_out " + how, hex(MessageDigest.getInstance("MD5").digest(out.toByteArray())));
                }
            }
        });
        check("types", () -> show("types", roundTrip("binaryTransfer", "false")));
        check("binary", () -> show("binary", roundTrip("prepareThreshold", "-1")));
        check("injection", () -> {
            try (Connection c = connect()) {
                run(c, "DROP TABLE IF EXISTS " + T + "; CREATE TABLE " + T + " (v text)");
                try (PreparedStatement s = c.prepareStatement("INSERT INTO " + T + " VALUES (?)"); PreparedStatement q = c.prepareStatement("SELECT v FROM " + T + " WHERE v = ?")) {
                    s.setString(1, EVIL);
                    s.execute();
                    q.setString(1, EVIL);
                    try (ResultSet r = q.executeQuery()) { must(r.next() && r.getString(1).equals(EVIL), "round trip"); }
                }
                show("injection", one(c, "SELECT md5(v) FROM " + T));
            }
        });
        check("metadata", () -> { // DatabaseMetaData, what tools build their trees from
            try (Connection c = connect()) {
                run(c, "DROP TABLE IF EXISTS " + T + "; CREATE TABLE " + T + " (id serial PRIMARY KEY, v text UNIQUE DEFAULT 'x', o int REFERENCES " + T + ")");
                DatabaseMetaData m = c.getMetaData();
                String schema = T.split("\\.")[0], table = T.split("\\.")[1];
                ResultSet[] all = {m.getTables(null, schema, table, null), m.getColumns(null, schema, table, null), m.getPrimaryKeys(null, schema, table),
                    m.getIndexInfo(null, schema, table, false, true), m.getImportedKeys(null, schema, table), m.getExportedKeys(null, schema, table),
                    m.getCrossReference(null, schema, table, null, schema, table), m.getColumnPrivileges(null, "public", "orders", "id"),
                    m.getTablePrivileges(null, "public", "orders"), m.getBestRowIdentifier(null, schema, table, 0, true), m.getVersionColumns(null, schema, table),
                    m.getTables(null, "public", "%", new String[] {"TABLE", "VIEW"}), m.getUDTs(null, "public", "%", null), m.getTypeInfo(), m.getTableTypes(),
                    m.getProcedures(null, "public", "%"), m.getFunctions(null, "pg_catalog", "abs"), m.getFunctionColumns(null, "pg_catalog", "abs", "%"),
                    m.getProcedureColumns(null, "public", "%", "%"), m.getCatalogs(), m.getClientInfoProperties()};
                for (int i = 0; i < all.length; i++) {
                    MessageDigest md = MessageDigest.getInstance("MD5");
                    int rows = 0;
                    if (i == 13) continue; // getTypeInfo() has the row types of the others' tables
                    for (; all[i].next(); rows++)
                        for (int k = 1; k <= all[i].getMetaData().getColumnCount(); k++) md.update(String.valueOf(all[i].getString(k)).getBytes(StandardCharsets.UTF_8));
                    show("metadata " + i, rows + (all[i].getMetaData().getColumnCount() > 30 ? "" : " " + hex(md.digest())));
                }
                List<String> schemas = new ArrayList<>();
                for (ResultSet r = m.getSchemas(); r.next();) schemas.add(r.getString(1));
                show("metadata schemas", schemas);
                show("metadata limits", m.getMaxConnections() + " " + m.getMaxColumnNameLength() + " " + m.getSQLKeywords().length() + " " + m.getDatabaseProductVersion());
                try (PreparedStatement s = c.prepareStatement("SELECT * FROM orders WHERE id = ?")) {
                    show("metadata of a result", s.getMetaData().getColumnTypeName(3) + " " + s.getParameterMetaData().getParameterTypeName(1) + " " + s.getMetaData().isNullable(1)
                        + " " + s.getMetaData().isAutoIncrement(1));
                }
                try (PreparedStatement s = c.prepareStatement("INSERT INTO " + T + " (v) VALUES ('k')", Statement.RETURN_GENERATED_KEYS)) {
                    s.execute();
                    ResultSet r = s.getGeneratedKeys();
                    must(r.next() && r.getInt(1) == 1, "key");
                }
                try (Statement s = c.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE); ResultSet r = s.executeQuery("SELECT id, v FROM " + T)) {
                    must(r.next(), "row");
                    r.updateString(2, EVIL);
                    r.updateRow();
                    show("metadata updatable", one(c, "SELECT v FROM " + T));
                }
            }
        });
    }

    static String roundTrip(String... how) throws Exception {
        try (Connection c = connect(how)) {
            run(c, "DROP TABLE IF EXISTS " + T + "; CREATE TABLE " + T + " (i int, b bigint, n numeric, f float8, t bool, s text, y bytea, d date, ts timestamptz,"
                + " a int[], ta text[], j jsonb, u uuid, z text)");
            OffsetDateTime at = OffsetDateTime.of(2026, 1, 2, 3, 4, 5, 678901000, ZoneOffset.UTC);
            byte[] bytes = {0, (byte) 0xff, '\\', '\''};
            UUID uuid = new UUID(0, 7);
            try (PreparedStatement s = c.prepareStatement("INSERT INTO " + T + " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?::jsonb, ?, ?)")) {
                s.setInt(1, -42);
                s.setLong(2, (1L << 53) + 1);
                s.setBigDecimal(3, new BigDecimal("12345678901234567890.123456789"));
                s.setDouble(4, 0.1);
                s.setBoolean(5, true);
                s.setString(6, "t\u00ebxt \ud83d\udc18");
                s.setBytes(7, bytes);
                s.setObject(8, LocalDate.of(2026, 2, 28));
                s.setObject(9, at);
                s.setArray(10, c.createArrayOf("int4", new Integer[] {1, null, 3}));
                s.setArray(11, c.createArrayOf("text", new String[] {"a", "b\"c", null}));
                s.setString(12, "{\"a\": [1, null, \"x\"]}");
                s.setObject(13, uuid);
                s.setNull(14, Types.VARCHAR);
                must(s.executeUpdate() == 1, "insert");
            }
            try (PreparedStatement s = c.prepareStatement("SELECT * FROM " + T)) {
                for (int round = 0; round < 7; round++)
                    try (ResultSet r = s.executeQuery()) {
                        must(r.next() && r.getInt(1) == -42 && r.getLong(2) == (1L << 53) + 1 && r.getBigDecimal(3).toString().equals("12345678901234567890.123456789"), "numbers");
                        must(r.getDouble(4) == 0.1 && r.getBoolean(5) && r.getString(6).equals("t\u00ebxt \ud83d\udc18") && Arrays.equals(r.getBytes(7), bytes), "text");
                        must(r.getObject(8, LocalDate.class).equals(LocalDate.of(2026, 2, 28)) && r.getObject(9, OffsetDateTime.class).isEqual(at), "time");
                        must(Arrays.equals((Integer[]) r.getArray(10).getArray(), new Integer[] {1, null, 3}), "int[]");
                        must(Arrays.equals((String[]) r.getArray(11).getArray(), new String[] {"a", "b\"c", null}), "text[]");
                        must(r.getString(12).equals("{\"a\": [1, null, \"x\"]}") && r.getObject(13).equals(uuid) && r.getString(14) == null && r.wasNull(), "others");
                    }
            }
            run(c, "SET timezone = 'UTC'");
            return one(c, "SELECT r::text FROM " + T + " AS r");
        }
    }

    static void refusals() {
        gateOnly("refused", () -> {
            try (Connection c = connect(); PreparedStatement p = c.prepareStatement("SELECT * FROM staff WHERE id = ?")) {
                for (int n = 0; n < 7; n++) {
                    p.setInt(1, 1);
                    saysWhy(fails("42501", p::executeQuery));
                    saysWhy(fails("42501", () -> run(c, "SELECT * FROM staff")));
                    must(one(c, "SELECT 1").equals("1"), "after");
                }
            }
        });
        gateOnly("refused_in_transaction", () -> {
            try (Connection c = connect()) {
                run(c, "DROP TABLE IF EXISTS " + T + "; CREATE TABLE " + T + " (id int)");
                c.setAutoCommit(false);
                run(c, "INSERT INTO " + T + " VALUES (1)");
                fails("42501", () -> run(c, "DELETE FROM orders"));
                fails("25P02", () -> run(c, "SELECT 1"));
                c.rollback();
                must(one(c, "SELECT count(*) FROM " + T).equals("0"), "count");
            }
        });
        gateOnly("large_object", () -> {
            try (Connection c = connect()) {
                c.setAutoCommit(false);
                LargeObjectManager lo = c.unwrap(PGConnection.class).getLargeObjectAPI();
                PSQLException e = fails(null, () -> lo.createLO());
                must(e.getSQLState().equals("0A000") || e.getSQLState().equals("42501"), e);
                c.rollback();
                must(one(c, "SELECT 1").equals("1"), "after");
            }
        });
    }

    static void sessions() {
        check("reconnect", () -> {
            Connection c = connect();
            endBackend(c);
            fails(null, () -> one(c, "SELECT 1"));
            must(!c.isValid(5), "closed");
            try (Connection d = connect()) { must(one(d, "SELECT 1").equals("1"), "again"); }
        });
        check("notify", () -> {
            try (Connection a = connect(); Connection b = connect()) {
                run(a, "LISTEN drivers_pgjdbc");
                run(b, "NOTIFY drivers_pgjdbc, 'hello'");
                PGNotification[] got = a.unwrap(PGConnection.class).getNotifications(20000);
                must(got != null && got.length == 1 && got[0].getParameter().equals("hello"), "notification");
            }
        });
        check("settings_pass", () -> {
            try (Connection c = connect("prepareThreshold", "0")) {
                for (String sql : Files.readAllLines(Paths.get(ENV.get("GH_T_SETTINGS")))) run(c, sql);
                c.setClientInfo("ApplicationName", "driver");
                c.setNetworkTimeout(Runnable::run, 60000);
                must(c.getCatalog().equals("shop") && "public".equals(c.getSchema()), c.getSchema());
                c.setSchema("public");
                must(one(c, "SELECT 1").equals("1"), "after");
            }
        });
        check("pool", () -> { // HikariCP: isValid, setReadOnly, setNetworkTimeout, its reset between borrowers
            HikariConfig config = new HikariConfig();
            config.setJdbcUrl(url());
            config.setDataSourceProperties(properties());
            config.setMaximumPoolSize(4);
            config.setTransactionIsolation("TRANSACTION_REPEATABLE_READ");
            config.setSchema("public");
            config.setConnectionInitSql("SET application_name = 'hikari'");
            try (HikariDataSource pool = new HikariDataSource(config)) {
                ExecutorService threads = Executors.newFixedThreadPool(8);
                List<Future<String>> got = new ArrayList<>();
                for (int n = 0; n < 50; n++) {
                    int i = n;
                    got.add(threads.submit(() -> {
                        try (Connection c = pool.getConnection()) {
                            c.setReadOnly(i % 2 == 0);
                            return one(c, "SELECT " + i);
                        }
                    }));
                }
                for (int n = 0; n < 50; n++) must(got.get(n).get().equals(String.valueOf(n)), n);
                threads.shutdown();
                try (Connection c = pool.getConnection()) {
                    endBackend(c);
                    fails(null, () -> one(c, "SELECT 1"));
                }
                try (Connection c = pool.getConnection()) { must(one(c, "SELECT 1").equals("1"), "another connection"); }
            }
        });
    }
}
