import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import org.postgresql.util.PSQLException;

public class Jdbc {
    record Order(long id, long paymentAmount) {}

    /** commerce says no: the code is the SQLSTATE of docs/errors.md, the details are JSON. */
    static class Refusal extends Exception {
        final String code, details;

        Refusal(String code, String details) {
            super(code + " " + details);
            this.code = code;
            this.details = details;
        }
    }

    static final String URL = System.getenv("JDBC_URL");    // jdbc:postgresql://HOST:PORT/DATABASE?user=…&password=…
    static Connection db;

    static Order placeOrder(long userId, String items, String key) throws Exception {
        for (int tries = 1; ; tries++) {
            try {
                if (db == null || db.isClosed()) db = DriverManager.getConnection(URL);
                try (PreparedStatement call = db.prepareStatement(      // setString() alone would not do for jsonb
                        "SELECT id, payment_amount FROM commerce.place_order(?, ?::jsonb, idempotency_key => ?)")) {
                    call.setLong(1, userId);
                    call.setString(2, items);
                    call.setString(3, key);
                    ResultSet row = call.executeQuery();
                    row.next();
                    return new Order(row.getLong(1), row.getLong(2));
                }
            } catch (SQLException error) {
                String code = error.getSQLState();
                String detail = error instanceof PSQLException e && e.getServerErrorMessage() != null
                    ? e.getServerErrorMessage().getDetail() : null;
                if (detail != null && detail.startsWith("{") && !code.equals("SH429")) throw new Refusal(code, detail);
                if (tries == 5 || !code.matches("40001|40P01|SH429|57P0[1-3]|08...")) throw error;
                Thread.sleep(50);
            }
        }
    }

    // What it is run with: java Jdbc.java USER PRODUCT. test/clients/drivers.pl compares what it prints.
    static long backend() throws Exception {
        try (var statement = db.createStatement()) {
            ResultSet row = statement.executeQuery("SELECT pg_backend_pid()");
            row.next();
            return row.getLong(1);
        }
    }

    public static void main(String[] args) throws Exception {
        long user = Long.parseLong(args[0]);
        String items = "[{\"product_id\": " + args[1] + ", \"quantity\": %d}]";
        String key = user + "-" + ProcessHandle.current().pid();

        Order order = placeOrder(user, items.formatted(1), key + "-1");
        System.out.printf("order %d of %d%n", order.id, order.paymentAmount);
        order = placeOrder(user, items.formatted(1), key + "-1");
        System.out.printf("order %d again%n", order.id);

        long before = backend();
        try {
            placeOrder(user, items.formatted(1000), key + "-2");
        } catch (Refusal no) {
            System.out.printf("%s: product %s, asked %s, available %s%n", no.code,
                value(no.details, "product_id"), value(no.details, "asked"), value(no.details, "available"));
        }
        System.out.println("connection " + (backend() == before ? "kept" : "closed"));

        order = placeOrder(user, items.formatted(2), key + "-3");
        System.out.printf("order %d of %d%n", order.id, order.paymentAmount);
    }

    // Java has no JSON of its own; an application has Jackson or Gson
    static String value(String json, String key) {
        return json.replaceAll(".*\"" + key + "\": (\\d+).*", "$1");
    }
}
