//! The stored form of [`Granted`], for every table of what came of a grant: whose it is in columns, the rest as JSON.

use model::granted::Granted;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::row::{self, Record};

/// What stands in columns of its own: the members of the form, and the columns.
const COLUMNS: [(&str, &str); 3] = [
    ("realm", "realm"),
    ("client_id", "client_id"),
    ("user", "account_id"),
];

/// The column `detail`: everything that no query looks into, with what the table says besides.
pub(crate) fn detail(granted: &Granted, besides: Map<String, Value>) -> String {
    let mut detail = row::members(granted);
    detail.retain(|name, _| COLUMNS.iter().all(|(member, _)| name != member));
    detail.extend(besides);
    Value::Object(detail).to_string()
}

/// What was granted, and the form in which it and what else the table says stood there.
pub(crate) fn read(row: &Record<'_>) -> Result<(Granted, Value), Error> {
    let mut detail: Map<String, Value> = row.json("detail")?;
    for (member, column) in COLUMNS {
        detail.insert(member.to_owned(), row.text(column)?.into());
    }
    if !detail.contains_key("session") {
        let session = row.optional_text("session_id")?;
        detail.insert("session".to_owned(), session.into());
    }
    let detail = Value::Object(detail);
    let granted = Granted::deserialize(&detail).map_err(|_| row.inconsistent("detail"))?;
    Ok((granted, detail))
}

#[cfg(test)]
mod tests {
    use model::secret::TokenHash;
    use serde_json::json;
    use sqlx::AssertSqlSafe;

    use crate::testing::{self, sample};
    use crate::{family, grant};

    /// What stood in `detail` before everything that is granted was one value.
    #[tokio::test]
    async fn what_earlier_versions_stored_is_read() {
        let store = testing::open().await;
        let (code, stored) = (TokenHash::of("code"), sample::grant());
        grant::insert(&store, code, &stored).await.unwrap();
        let came_of_it = sample::family(1);
        grant::redeem(&store, code, &came_of_it, sample::NOW)
            .await
            .unwrap();
        let terms = json!({
            "scope": "openid mcp:tools", "id_token": true, "resources": ["https://gw.example/mcp"],
            "auth_time": sample::NOW.millis(), "may_refresh": true,
        });
        let mut of_code = json!({
            "session": stored.granted.session.unwrap(), "redirect_uri": "http://127.0.0.1:5000/cb",
            "challenge": stored.challenge.unwrap().to_string(), "nonce": "nonce",
        });
        of_code
            .as_object_mut()
            .unwrap()
            .extend(terms.as_object().unwrap().clone());
        for (table, detail) in [("code_grant", &of_code), ("family", &terms)] {
            let change = format!("UPDATE {table} SET detail = '{detail}'");
            let done = store.backend().write(change, |change, connection| {
                Box::pin(async move {
                    let query = sqlx::query(AssertSqlSafe(change.clone()));
                    query.execute(connection).await?;
                    Ok(())
                })
            });
            done.await.unwrap();
        }
        let read = grant::load(&store, code).await.unwrap().unwrap();
        assert_eq!(read.granted, stored.granted);
        assert_eq!(read.challenge, stored.challenge);
        let read = family::load(&store, came_of_it.id).await.unwrap().unwrap();
        let mut expected = came_of_it.granted;
        // Only the first ID token has it.
        expected.terms.nonce = None;
        assert_eq!(read.granted, expected);
    }
}
