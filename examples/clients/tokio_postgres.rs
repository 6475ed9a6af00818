use serde_json::{json, Value};
use std::{env, error::Error, time::Duration};
use tokio_postgres::{Client, NoTls, Row};

/// commerce says no: code is the SQLSTATE of docs/errors.md
#[derive(Debug)]
struct Refusal {
    code: String,
    details: Value,
}

async fn connect() -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(&env::var("DATABASE_URL").unwrap(), NoTls).await?;
    tokio::spawn(connection); // without it nothing moves
    Ok(client)
}

async fn place_order(db: &mut Client, user_id: i64, items: &Value, key: &str) -> Result<Result<Row, Refusal>, tokio_postgres::Error> {
    let mut tries = 0;
    loop {
        let call = "SELECT id, payment_amount FROM commerce.place_order($1, $2::text::jsonb, idempotency_key => $3)";
        let error = match db.query_one(call, &[&user_id, &items.to_string(), &key]).await {
            Ok(order) => return Ok(Ok(order)),
            Err(error) => error,
        };
        if let Some(said) = error.as_db_error() {
            let code = said.code().code();
            let details = said.detail().filter(|_| code != "SH429").and_then(|detail| serde_json::from_str(detail).ok());
            if let Some(details) = details {
                return Ok(Err(Refusal { code: code.to_string(), details }));
            }
            if !matches!(code, "40001" | "40P01" | "SH429" | "57P01" | "57P02" | "57P03") && !code.starts_with("08") {
                return Err(error);
            }
        }
        tries += 1;
        if tries == 5 {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        if db.is_closed() {
            *db = connect().await?;
        }
    }
}

// What it is run with: tokio_postgres USER PRODUCT. test/clients/drivers.pl compares what it prints.
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<i64> = env::args().skip(1).map(|arg| arg.parse().unwrap()).collect();
    let (user, product) = (args[0], args[1]);
    let items = |quantity: i32| json!([{ "product_id": product, "quantity": quantity }]);
    let key = |step: i32| format!("{}-{}-{}", user, std::process::id(), step);
    let mut db = connect().await?;

    let order = place_order(&mut db, user, &items(1), &key(1)).await?.unwrap();
    println!("order {} of {}", order.get::<_, i64>(0), order.get::<_, i64>(1));
    let order = place_order(&mut db, user, &items(1), &key(1)).await?.unwrap();
    println!("order {} again", order.get::<_, i64>(0));

    let pid = "SELECT pg_backend_pid()";
    let before: i32 = db.query_one(pid, &[]).await?.get(0);
    if let Err(no) = place_order(&mut db, user, &items(1000), &key(2)).await? {
        println!("{}: product {}, asked {}, available {}", no.code, no.details["product_id"], no.details["asked"], no.details["available"]);
    }
    let after: i32 = db.query_one(pid, &[]).await?.get(0);
    println!("connection {}", if after == before { "kept" } else { "closed" });

    let order = place_order(&mut db, user, &items(2), &key(3)).await?.unwrap();
    println!("order {} of {}", order.get::<_, i64>(0), order.get::<_, i64>(1));
    Ok(())
}
