// MariaDB's and MySQL's JDBC drivers, by the URL's prefix in the first argument. One line for each check, as checks.py says it.
import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.security.MessageDigest;
import java.sql.*;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

public class MyJdbc {
    static final Map<String, String> ENV = System.getenv();
    static final boolean GATE = ENV.get("GH_T_WAY").equals("gate");
    static final String T = ENV.get("GH_T_PREFIX") + "t";
    static final String LARGE = "SELECT n, h FROM drv_numbers ORDER BY n";
    static final String EVIL = "'); DROP TABLE " + T + "; -- \\' $1 %s ? :x \"\u2019";
    static final String TYPES = "i int, b bigint, n decimal(30, 9), f double, t boolean, s text, y varbinary(40), d date, ts datetime(6), tm time(3), j longtext, e enum('a', 'b'),"
        + " bt bit(8), u bigint unsigned, z text";
    static String prefix;
    static boolean connectorJ;

    interface Body { void run() throws Exception; }

    static void check(String name, Body f) {
        try {
            f.run();
            System.out.println("ok " + name);
        } catch (Throwable e) {
            e.printStackTrace();
            System.out.println("FAIL " + name + ": " + String.valueOf(e).replaceAll("\\s+", " "));
        }
    }

    static void gateOnly(String name, Body f) {
        if (GATE) check(name, f);
    }

    static void show(String name, Object value) { System.out.println("= " + name + " " + value); }

    static void must(boolean ok, Object what) {
        if (!ok) throw new AssertionError("not so: " + what);
    }

    static String hex(byte[] b) {
        StringBuilder s = new StringBuilder();
        for (byte x : b) s.append(String.format("%02x", x));
        return s.toString();
    }

    static String url() { return prefix + "://" + ENV.get("GH_T_HOST") + ":" + ENV.get("GH_T_PORT") + "/" + ENV.get("GH_T_DATABASE"); }

    static Properties properties(String... more) {
        Properties p = new Properties();
        p.setProperty("user", ENV.get("GH_T_USER"));
        p.setProperty("password", ENV.get("GH_T_PASSWORD"));
        p.setProperty("connectTimeout", "20000");
        p.setProperty("allowMultiQueries", "true");
        p.setProperty(connectorJ ? "allowLoadLocalInfile" : "allowLocalInfile", "true");
        tls(p, ENV.get("GH_T_CA"));
        for (int i = 0; i < more.length; i += 2) p.setProperty(more[i], more[i + 1]);
        return p;
    }

    static void tls(Properties p, String ca) {
        if (connectorJ) {
            p.setProperty("sslMode", GATE ? "VERIFY_IDENTITY" : "DISABLED");
            p.setProperty("allowPublicKeyRetrieval", "true");
            if (GATE) {
                p.setProperty("trustCertificateKeyStoreUrl", "file:" + store(ca));
                p.setProperty("trustCertificateKeyStoreType", "PKCS12");
                p.setProperty("trustCertificateKeyStorePassword", "nothing");
            }
        } else if (GATE) {
            p.setProperty("useSSL", "true");
            p.setProperty("serverSslCert", ca);
        }
    }

    /** The CA as a key store, which is all that Connector/J takes. */
    static String store(String ca) {
        try {
            Path path = Paths.get(ENV.get("GH_T_FOLDER"), Integer.toHexString(ca.hashCode()) + ".p12");
            if (Files.exists(path)) return path.toString();
            java.security.KeyStore k = java.security.KeyStore.getInstance("PKCS12");
            k.load(null, null);
            k.setCertificateEntry("ca", java.security.cert.CertificateFactory.getInstance("X.509").generateCertificate(Files.newInputStream(Paths.get(ca))));
            k.store(Files.newOutputStream(path), "nothing".toCharArray());
            return path.toString();
        } catch (Exception e) {
            throw new RuntimeException(e);
        }
    }

    static Connection connect(String... more) throws SQLException { return DriverManager.getConnection(url(), properties(more)); }

    static void run(Connection c, String sql) throws SQLException {
        try (Statement s = c.createStatement()) { s.execute(sql); }
    }

    static String one(Connection c, String sql) throws SQLException {
        try (Statement s = c.createStatement(); ResultSet r = s.executeQuery(sql)) {
            must(r.next(), "a row");
            return r.getString(1);
        }
    }

    static SQLException fails(int code, Body f) throws Exception {
        try {
            f.run();
        } catch (SQLException e) {
            must(code == 0 || e.getErrorCode() == code, e);
            return e;
        }
        throw new AssertionError("no error");
    }

    static void table(Connection c, String columns) throws SQLException {
        run(c, "DROP TABLE IF EXISTS " + T);
        run(c, "CREATE TABLE " + T + " (" + columns + ")");
    }

    static void saysWhy(SQLException e) {
        must(e.getMessage().contains("select on shop.staff is denied by the policy: A driver's test has no business with salaries.") && e.getMessage().contains("Read shop.orders."), e);
        must(e.getErrorCode() == 1142 && e.getSQLState().equals("42000"), e.getSQLState());
    }

    static void showLarge(ResultSet r) throws Exception {
        MessageDigest md = MessageDigest.getInstance("MD5");
        int count = 0;
        for (; r.next(); md.update(r.getString(2).getBytes())) must(r.getInt(1) == ++count, count);
        show("large", count + " " + hex(md.digest()));
    }

    static final String[] SERVER = {"useServerPrepStmts", "true", "cachePrepStmts", "true"};

    public static void main(String[] args) {
        prefix = args[0];
        connectorJ = prefix.equals("jdbc:mysql");
        basics();
        statements();
        results();
        values();
        refusals();
        sessions();
        System.exit(0);
    }

    static void basics() {
        check("connects", () -> {
            try (Connection c = connect()) {
                must(one(c, "SELECT DATABASE()").equals("shop") && c.isValid(5) && c.getCatalog().equals("shop"), c.getCatalog());
                c.setCatalog("shop");
                c.setReadOnly(true);
                c.setReadOnly(false);
            }
        });
        gateOnly("verifies_tls", () -> {
            Properties p = properties();
            tls(p, ENV.get("GH_T_WRONG_CA"));
            SQLException e = fails(0, () -> DriverManager.getConnection(url(), p).close());
            String all = "";
            for (Throwable t = e; t != null; t = t.getCause()) all += t;
            must(all.toLowerCase().contains("certif") || all.contains("PKIX"), all);
        });
        gateOnly("bad_token", () -> {
            SQLException e = fails(1045, () -> connect("password", "not.a.token").close());
            must(e.getMessage().contains("must be a valid OIDC access token"), e);
        });
    }

    static void statements() {
        check("prepared", () -> {
            for (String[] how : new String[][] {{}, SERVER})
                try (Connection c = connect(how); PreparedStatement s = c.prepareStatement("SELECT ? + 1, ?")) {
                    for (int n = 0; n < 50; n++) {
                        s.setInt(1, n);
                        s.setString(2, "x");
                        try (ResultSet r = s.executeQuery()) { must(r.next() && r.getInt(1) == n + 1 && r.getString(2).equals("x"), n); }
                    }
                }
        });
        check("prepared_many", () -> {
            try (Connection c = connect(SERVER)) {
                List<PreparedStatement> all = new ArrayList<>();
                for (int n = 0; n < 200; n++) all.add(c.prepareStatement("SELECT " + n + " + ?"));
                for (int round = 0; round < 2; round++)
                    for (int n = 0; n < 200; n++) {
                        all.get(n).setInt(1, 1);
                        try (ResultSet r = all.get(n).executeQuery()) { must(r.next() && r.getInt(1) == n + 1, n); }
                    }
                for (PreparedStatement s : all) s.close();
            }
        });
        check("batch", () -> {
            String[][] ways = {{}, SERVER, connectorJ ? new String[] {"rewriteBatchedStatements", "true"} : SERVER};
            for (String[] how : ways)
                try (Connection c = connect(how)) {
                    table(c, "id int PRIMARY KEY, v text");
                    c.setAutoCommit(false);
                    try (PreparedStatement s = c.prepareStatement("INSERT INTO " + T + " (id, v) VALUES (?, ?)")) {
                        for (int n = 0; n < 500; n++) {
                            s.setInt(1, n);
                            s.setString(2, "v" + n);
                            s.addBatch();
                        }
                        s.executeBatch();
                    }
                    c.commit();
                    try (Statement s = c.createStatement()) {
                        s.addBatch("UPDATE " + T + " SET v = 'w' WHERE id = 1");
                        s.addBatch("INSERT INTO " + T + " VALUES (1, 'x')");
                        fails(1062, s::executeBatch);
                        c.rollback();
                        must(s.execute("SELECT 1; SELECT 2"), "first");
                        must(s.getMoreResults(), "second");
                    }
                    show("batch", one(c, "SELECT concat(count(*), ' ', sum(id), ' ', sum(v = 'w')) FROM " + T));
                }
        });
        check("cancel", () -> {
            try (Connection c = connect(); Statement s = c.createStatement()) {
                s.setQueryTimeout(1);
                boolean asleep;
                try (ResultSet r = s.executeQuery("SELECT SLEEP(60)")) {
                    asleep = r.next() && r.getInt(1) == 1; // interrupted
                } catch (SQLException e) {
                    asleep = true;
                }
                must(asleep, "it slept to its end");
            }
            try (Connection c = connect(); Statement s = c.createStatement()) {
                String id = one(c, "SELECT CONNECTION_ID()");
                Thread killer = new Thread(() -> {
                    try {
                        must(new ProcessBuilder(ENV.get("GH_T_WAIT_ASLEEP"), id).start().waitFor() == 0, "asleep");
                        s.cancel();
                    } catch (Exception e) {
                        throw new RuntimeException(e);
                    }
                });
                killer.start();
                try (ResultSet r = s.executeQuery("SELECT SLEEP(60)")) {
                    must(r.next() && r.getInt(1) == 1, "it slept to its end");
                } catch (SQLException e) {
                    must(e.getErrorCode() == 1317 || connectorJ || e.getMessage().contains("interrupted"), e);
                }
                killer.join();
                must(one(c, "SELECT 1").equals("1"), "after");
            }
        });
        check("transaction", () -> {
            try (Connection c = connect()) {
                table(c, "id int PRIMARY KEY");
                c.setAutoCommit(false);
                run(c, "INSERT INTO " + T + " VALUES (1)");
                c.rollback();
                run(c, "INSERT INTO " + T + " VALUES (2)");
                Savepoint s = c.setSavepoint("s");
                run(c, "INSERT INTO " + T + " VALUES (3)");
                c.rollback(s);
                c.commit();
                fails(1062, () -> run(c, "INSERT INTO " + T + " VALUES (2)"));
                run(c, "INSERT INTO " + T + " VALUES (4)");
                c.commit();
                for (int level : new int[] {Connection.TRANSACTION_READ_UNCOMMITTED, Connection.TRANSACTION_READ_COMMITTED, Connection.TRANSACTION_SERIALIZABLE, Connection.TRANSACTION_REPEATABLE_READ}) {
                    c.setTransactionIsolation(level);
                    must(c.getTransactionIsolation() == level, level);
                }
                run(c, "START TRANSACTION READ ONLY");
                fails(1792, () -> run(c, "INSERT INTO " + T + " VALUES (5)"));
                c.rollback();
                c.setAutoCommit(true);
                show("transaction", one(c, "SELECT group_concat(id ORDER BY id) FROM " + T));
            }
        });
    }

    static void results() {
        check("large", () -> {
            try (Connection c = connect(); Statement s = c.createStatement(); ResultSet r = s.executeQuery(LARGE)) { showLarge(r); }
        });
        check("stream", () -> {
            for (String[] how : new String[][] {{}, {"useServerPrepStmts", "true", "useCursorFetch", "true"}})
                try (Connection c = connect(how); PreparedStatement s = c.prepareStatement(LARGE, ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_READ_ONLY)) {
                    s.setFetchSize(how.length == 0 && connectorJ ? Integer.MIN_VALUE : 1000);
                    try (ResultSet r = s.executeQuery()) { showLarge(r); }
                    try (ResultSet r = s.executeQuery()) { must(r.next(), "given up half way"); }
                    must(one(c, "SELECT 5").equals("5"), "after");
                }
        });
        check("load_local", () -> {
            try (Connection c = connect()) {
                table(c, "id int, v text");
                Path path = Paths.get(ENV.get("GH_T_FOLDER"), "lines.txt");
                StringBuilder text = new StringBuilder();
                for (int n = 0; n < 50000; n++) text.append(n).append("\ta\\tb\\\\").append(n).append('\n');
                Files.writeString(path, text.toString());
                try (Statement s = c.createStatement()) {
                    must(s.executeUpdate("LOAD DATA LOCAL INFILE '" + path + "' INTO TABLE " + T + " CHARACTER SET utf8mb4") == 50000, "count");
                }
                show("load_local", one(c, "SELECT concat_ws(' ', count(*), sum(id), min(v), sum(crc32(v))) FROM " + T));
            }
        });
        check("metadata", () -> { // of results; the catalog's own is another matter: information_schema
            try (Connection c = connect(SERVER)) {
                table(c, "id int AUTO_INCREMENT PRIMARY KEY, v varchar(20)");
                try (PreparedStatement s = c.prepareStatement("SELECT id, total AS t, status, placed_at FROM orders WHERE id = ?")) {
                    s.setInt(1, 0);
                    ResultSetMetaData m = s.executeQuery().getMetaData();
                    List<String> all = new ArrayList<>();
                    for (int i = 1; i <= m.getColumnCount(); i++) all.add(m.getColumnLabel(i) + ":" + m.getColumnTypeName(i) + ":" + m.getPrecision(i) + ":" + m.isNullable(i) + ":" + m.getTableName(i));
                    show("metadata", all);
                    must(s.getParameterMetaData().getParameterCount() == 1, "parameters");
                }
                try (PreparedStatement s = c.prepareStatement("INSERT INTO " + T + " (v) VALUES ('k')", Statement.RETURN_GENERATED_KEYS)) {
                    s.execute();
                    ResultSet r = s.getGeneratedKeys();
                    must(r.next() && r.getInt(1) == 1, "key");
                }
                show("metadata product", c.getMetaData().getDatabaseProductName() + " " + c.getMetaData().getDatabaseMajorVersion());
            }
        });
    }

    static String roundTrip(String... how) throws Exception {
        try (Connection c = connect(how)) {
            table(c, TYPES);
            byte[] bytes = {0, (byte) 0xff, '\\', '\''};
            LocalDateTime at = LocalDateTime.of(2026, 1, 2, 3, 4, 5, 678901000);
            try (PreparedStatement s = c.prepareStatement("INSERT INTO " + T + " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")) {
                s.setInt(1, -42);
                s.setLong(2, (1L << 53) + 1);
                s.setBigDecimal(3, new BigDecimal("123456789012345678901.123456789"));
                s.setDouble(4, 0.1);
                s.setBoolean(5, true);
                s.setString(6, "t\u00ebxt \ud83d\udc18");
                s.setBytes(7, bytes);
                s.setObject(8, LocalDate.of(2026, 2, 28));
                if (connectorJ) s.setString(9, at.toString().replace('T', ' ')); // it drops fractions of seconds for servers that call themselves 5.5.5
                else s.setObject(9, at);
                s.setTime(10, Time.valueOf("05:06:07"));
                s.setString(11, "{\"a\": [1, null, \"x\"]}");
                s.setString(12, "b");
                s.setBytes(13, new byte[] {5});
                s.setBigDecimal(14, new BigDecimal("18446744073709551615"));
                s.setNull(15, Types.VARCHAR);
                must(s.executeUpdate() == 1, "insert");
            }
            try (PreparedStatement s = c.prepareStatement("SELECT * FROM " + T)) {
                for (int round = 0; round < 3; round++)
                    try (ResultSet r = s.executeQuery()) {
                        must(r.next() && r.getInt(1) == -42 && r.getLong(2) == (1L << 53) + 1 && r.getBigDecimal(3).toString().equals("123456789012345678901.123456789"), "numbers");
                        must(r.getDouble(4) == 0.1 && r.getBoolean(5) && r.getString(6).equals("t\u00ebxt \ud83d\udc18") && Arrays.equals(r.getBytes(7), bytes), "text");
                        must(r.getObject(8, LocalDate.class).equals(LocalDate.of(2026, 2, 28)) && r.getObject(9, LocalDateTime.class).equals(at), "time");
                        must(r.getString(12).equals("b") && r.getBigDecimal(14).toString().equals("18446744073709551615") && r.getString(15) == null && r.wasNull(), "others");
                    }
            }
            return one(c, "SELECT CONCAT_WS('|', i, b, n, f, t, s, HEX(y), d, ts, tm, j, e, HEX(bt), u, COALESCE(z, 'NULL')) FROM " + T);
        }
    }

    static void values() {
        check("types", () -> show("types", roundTrip()));
        check("binary", () -> show("binary", roundTrip(SERVER)));
        check("injection", () -> {
            for (String[] how : new String[][] {{}, SERVER})
                try (Connection c = connect(how)) {
                    table(c, "v text");
                    try (PreparedStatement s = c.prepareStatement("INSERT INTO " + T + " VALUES (?)"); PreparedStatement q = c.prepareStatement("SELECT v FROM " + T + " WHERE v = ?")) {
                        s.setString(1, EVIL);
                        s.execute();
                        q.setString(1, EVIL);
                        try (ResultSet r = q.executeQuery()) { must(r.next() && r.getString(1).equals(EVIL), "round trip"); }
                    }
                    show("injection", one(c, "SELECT md5(v) FROM " + T));
                }
        });
    }

    static void refusals() {
        gateOnly("refused", () -> {
            for (String[] how : new String[][] {{}, SERVER})
                try (Connection c = connect(how)) {
                    for (int n = 0; n < 3; n++) {
                        saysWhy(fails(1142, () -> run(c, "SELECT * FROM staff")));
                        saysWhy(fails(1142, () -> {
                            try (PreparedStatement p = c.prepareStatement("SELECT * FROM staff WHERE id = ?")) {
                                p.setInt(1, 1);
                                p.executeQuery();
                            }
                        }));
                        must(one(c, "SELECT 1").equals("1"), "after");
                    }
                }
        });
        gateOnly("refused_in_transaction", () -> {
            try (Connection c = connect()) {
                table(c, "id int");
                c.setAutoCommit(false);
                run(c, "INSERT INTO " + T + " VALUES (1)");
                fails(1142, () -> run(c, "DELETE FROM orders"));
                c.rollback();
                must(one(c, "SELECT count(*) FROM " + T).equals("0"), "count");
            }
        });
    }

    static void sessions() {
        check("reconnect", () -> {
            Connection c = connect();
            end(one(c, "SELECT CONNECTION_ID()"));
            fails(0, () -> one(c, "SELECT 1"));
            must(!c.isValid(5), "closed");
            try (Connection d = connect()) { must(one(d, "SELECT 1").equals("1"), "again"); }
        });
        check("settings_pass", () -> {
            try (Connection c = connect("sessionVariables", "wait_timeout=600,group_concat_max_len=10000")) {
                List<String> wrong = new ArrayList<>();
                for (String sql : Files.readAllLines(Paths.get(ENV.get("GH_T_SETTINGS")))) {
                    try { run(c, sql); } catch (SQLException e) { wrong.add(sql + ": " + e.getMessage()); }
                }
                must(wrong.isEmpty(), wrong);
                c.setClientInfo("ApplicationName", "driver");
                c.setNetworkTimeout(Runnable::run, 60000);
                must(one(c, "SELECT 1").equals("1"), "after");
            }
        });
        check("pool", () -> { // HikariCP: isValid, setReadOnly, setNetworkTimeout, its reset between borrowers
            HikariConfig config = new HikariConfig();
            config.setJdbcUrl(url());
            config.setDataSourceProperties(properties());
            config.setMaximumPoolSize(4);
            config.setTransactionIsolation("TRANSACTION_REPEATABLE_READ");
            config.setConnectionInitSql("SET @who = 'hikari'");
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
                    end(one(c, "SELECT CONNECTION_ID()"));
                    fails(0, () -> one(c, "SELECT 1"));
                }
                try (Connection c = pool.getConnection()) { must(one(c, "SELECT 1").equals("1"), "another connection"); }
            }
        });
    }

    static void end(String id) throws Exception { must(new ProcessBuilder(ENV.get("GH_T_END_BACKEND"), id).start().waitFor() == 0, "end"); }
}
