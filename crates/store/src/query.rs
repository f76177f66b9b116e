//! Every statement, once, for both databases: `$1` placeholders, `TEXT`, `BIGINT` and bytes only. A test prepares each
//! of them on the database at hand.

/// Declares the statements and the list of all of them.
macro_rules! queries {
    ($($name:ident = $sql:literal;)*) => {
        $(pub(crate) const $name: &str = $sql;)*
        /// All statements, by name.
        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

queries! {
    USER_INSERT = "INSERT INTO account (id, realm, username, password, name, email, email_verified, disabled, created_at, traits)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    USER_DECLARE = "INSERT INTO account (id, realm, username, password, name, email, email_verified, disabled, created_at, traits)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (realm, username) DO UPDATE SET
            password = COALESCE(excluded.password, account.password), name = excluded.name, email = excluded.email,
            email_verified = excluded.email_verified, disabled = excluded.disabled, traits = excluded.traits
        RETURNING *";
    USER_BY_NAME = "SELECT * FROM account WHERE realm = $1 AND username = $2";
    USER_BY_ID = "SELECT * FROM account WHERE id = $1";
    USER_SET_PASSWORD = "UPDATE account SET password = $2 WHERE id = $1";
    USER_RENEW_PASSWORD = "UPDATE account SET password = $3 WHERE id = $1 AND password = $2";
    USER_HOLD = "UPDATE account SET disabled = 0 WHERE id = $1 AND disabled = 0 AND password = $2";
    USER_SET_DECLARED_PROOF = "UPDATE account SET declared_proof = $2 WHERE id = $1";
    USER_LIST = "SELECT * FROM account WHERE realm = $1 AND username > $2 ORDER BY username LIMIT $3";
    USER_DECLARED = "SELECT * FROM account WHERE realm = $1 AND declared = 1 ORDER BY username";
    USER_SET_DECLARED = "UPDATE account SET declared = $3 WHERE realm = $1 AND username = $2";
    USER_DELETE = "DELETE FROM account WHERE id = $1";
    USER_SET_TRAITS = "UPDATE account SET traits = $3 WHERE id = $1 AND traits = $2";
    USER_SET_DISABLED = "UPDATE account SET disabled = $2 WHERE id = $1";

    KEY_INSERT = "INSERT INTO signing_key (kid, realm, algorithm, state, since, private)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    KEY_LIST = "SELECT * FROM signing_key WHERE realm = $1 ORDER BY since, kid";
    KEY_SET_STATE = "UPDATE signing_key SET state = $3, since = $4 WHERE kid = $1 AND state = $2";
    KEY_DELETE = "DELETE FROM signing_key WHERE kid = $1";
    SECRET_INSERT = "INSERT INTO server_secret (name, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    SECRET_ANY = "SELECT name FROM server_secret LIMIT 1";
    SECRET_LOAD = "SELECT * FROM server_secret WHERE name = $1";

    CODE_INSERT = "INSERT INTO code_grant (code_hash, realm, client_id, account_id, detail, issued_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    CODE_LOAD = "SELECT * FROM code_grant WHERE code_hash = $1";
    CODE_DELETE_BY_USER = "DELETE FROM code_grant WHERE account_id = $1 AND redeemed_at IS NULL";
    CODE_DELETE_BY_CLIENT = "DELETE FROM code_grant WHERE account_id = $1 AND client_id = $2 AND redeemed_at IS NULL";
    CODE_DELETE_BY_SESSION = "DELETE FROM code_grant WHERE account_id = $1 AND redeemed_at IS NULL AND detail LIKE $2";
    CODE_DELETE_OF_CLIENT = "DELETE FROM code_grant WHERE client_id = $1 AND redeemed_at IS NULL";
    CODE_TAKE = "UPDATE code_grant SET redeemed_at = $2, family_id = $3
        WHERE code_hash = $1 AND redeemed_at IS NULL AND expires_at > $2";

    FAMILY_INSERT = "INSERT INTO family (id, realm, client_id, account_id, session_id, detail, generation, branch,
            previous_generation, previous_branch, rotated_at, created_at, idle_expires_at, absolute_expires_at, revoked_at, secret)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
    FAMILY_LOAD = "SELECT * FROM family WHERE id = $1";
    FAMILY_ADVANCE = "UPDATE family SET generation = $4, branch = $5, previous_generation = $6, previous_branch = $7,
            rotated_at = $8, idle_expires_at = $9
        WHERE id = $1 AND generation = $2 AND branch = $3 AND revoked_at IS NULL";
    FAMILY_REVOKE = "UPDATE family SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    FAMILY_REVOKE_SESSION = "UPDATE family SET revoked_at = $2 WHERE session_id = $1 AND revoked_at IS NULL RETURNING id";
    FAMILY_REVOKE_CLIENT = "UPDATE family SET revoked_at = $3
        WHERE account_id = $1 AND client_id = $2 AND revoked_at IS NULL RETURNING id";
    FAMILY_REVOKE_OF_CLIENT = "UPDATE family SET revoked_at = $2 WHERE client_id = $1 AND revoked_at IS NULL RETURNING id";
    FAMILY_REVOKE_USER = "UPDATE family SET revoked_at = $2 WHERE account_id = $1 AND revoked_at IS NULL RETURNING id";

    SESSION_INSERT = "INSERT INTO login_session (token_hash, id, realm, account_id, auth_time, created_at, last_seen_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    SESSION_HOLD = "UPDATE login_session SET last_seen_at = last_seen_at WHERE id = $1";
    SESSION_LOAD = "SELECT * FROM login_session WHERE token_hash = $1";
    SESSION_TOUCH = "UPDATE login_session SET last_seen_at = $2, expires_at = $3 WHERE id = $1 AND last_seen_at < $2";
    SESSION_DELETE = "DELETE FROM login_session WHERE token_hash = $1";
    SESSION_END = "DELETE FROM login_session WHERE id = $1 AND realm = $2 RETURNING *";
    SESSION_LIST = "SELECT login_session.*, account.username FROM login_session
        JOIN account ON account.id = login_session.account_id
        WHERE login_session.realm = $1 AND ($2 = '' OR login_session.account_id = $2) AND login_session.expires_at > $3
        ORDER BY account.username, login_session.created_at, login_session.id";
    SESSION_DELETE_USER = "DELETE FROM login_session WHERE account_id = $1";

    CONSENT_SAVE = "INSERT INTO consent (account_id, client_id, redirect_origin, resource, scope, document_hash, granted_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (account_id, client_id, redirect_origin, resource) DO UPDATE SET
            scope = excluded.scope, document_hash = excluded.document_hash, granted_at = excluded.granted_at";
    CONSENT_LIST = "SELECT * FROM consent WHERE account_id = $1 AND client_id = $2";
    CONSENT_LIST_REALM = "SELECT consent.*, account.username FROM consent JOIN account ON account.id = consent.account_id
        WHERE account.realm = $1 AND ($2 = '' OR consent.account_id = $2)
        ORDER BY account.username, consent.client_id, consent.redirect_origin, consent.resource";
    CONSENT_HOLD = "UPDATE consent SET granted_at = granted_at WHERE account_id = $1 AND client_id = $2 RETURNING *";
    CONSENT_ONE = "SELECT * FROM consent WHERE account_id = $1 AND client_id = $2 AND redirect_origin = $3 AND resource = $4";
    CONSENT_DELETE = "DELETE FROM consent WHERE account_id = $1 AND client_id = $2";
    CONSENT_DELETE_USER = "DELETE FROM consent WHERE account_id = $1";
    CONSENT_DELETE_CLIENT = "DELETE FROM consent WHERE client_id = $1";
    CONSENT_KNOWS_CLIENT = "SELECT * FROM consent WHERE client_id = $1 LIMIT 1";

    REVOCATION_NUMBER = "UPDATE revocation_head SET seq = seq + 1 WHERE id = 1 RETURNING seq";
    REVOCATION_INSERT = "INSERT INTO revocation (seq, subject, until) VALUES ($1, $2, $3)";
    REVOCATION_AFTER = "SELECT * FROM revocation WHERE seq > $1 ORDER BY seq LIMIT $2";

    COUNTER_ADD = "INSERT INTO counter (name, n, started_at, last_at, expires_at) VALUES ($1, $2, $3, $3, $4)
        ON CONFLICT (name) DO UPDATE SET
            n = CASE WHEN counter.expires_at <= excluded.started_at THEN excluded.n ELSE counter.n + excluded.n END,
            started_at = CASE WHEN counter.expires_at <= excluded.started_at OR counter.started_at > excluded.started_at
                THEN excluded.started_at ELSE counter.started_at END,
            last_at = excluded.last_at,
            expires_at = CASE WHEN counter.expires_at <= excluded.started_at OR counter.started_at > excluded.started_at
                THEN excluded.expires_at ELSE counter.expires_at END
        RETURNING *";
    COUNTER_READ = "SELECT * FROM counter WHERE name = $1 AND expires_at > $2";
    COUNTER_TAKE_BACK = "UPDATE counter SET n = n - 1, last_at = CASE WHEN last_at = $2 THEN $3 ELSE last_at END
        WHERE name = $1 AND n > 0 AND expires_at > $2";
    COUNTER_CLEAR = "DELETE FROM counter WHERE name = $1";

    PROBE_WRITE = "INSERT INTO counter (name, n, started_at, last_at, expires_at) VALUES ('store-probe', 1, $1, $1, $1)
        ON CONFLICT (name) DO UPDATE SET last_at = excluded.last_at, expires_at = excluded.expires_at";

    ASSERTION_USE = "INSERT INTO used_assertion (hash, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";

    APPROVAL_REQUEST = "INSERT INTO host_approval (realm, host, verdict, requested_at)
        SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), 'pending', CAST($3 AS BIGINT)
        WHERE (SELECT COUNT(*) FROM host_approval WHERE realm = $1 AND verdict = 'pending') < $4
        ON CONFLICT (realm, host) DO NOTHING";
    APPROVAL_LOAD = "SELECT * FROM host_approval WHERE realm = $1 AND host = $2";
    APPROVAL_DECIDE = "INSERT INTO host_approval (realm, host, verdict, requested_at, decided_at) VALUES ($1, $2, $3, $4, $4)
        ON CONFLICT (realm, host) DO UPDATE SET verdict = excluded.verdict, decided_at = excluded.decided_at";
    APPROVAL_LIST = "SELECT * FROM host_approval WHERE realm = $1 ORDER BY requested_at DESC, host";

    REGISTRATION_COUNT = "SELECT COUNT(*) AS of_site, COALESCE(MIN(expires_at), 0) AS first_of_site,
            COUNT(*) FILTER (WHERE source = $2) AS of_source,
            COALESCE(MIN(expires_at) FILTER (WHERE source = $2), 0) AS first_of_source
        FROM registered_client WHERE realm = $1 AND (source = $2 OR site = $3) AND used_at IS NULL AND expires_at > $4";
    REGISTRATION_MAKE_ROOM = "DELETE FROM registered_client WHERE used_at IS NULL AND client_id IN
        (SELECT client_id FROM
            (SELECT client_id, created_at, COUNT(*) OVER (PARTITION BY COALESCE(site, source)) AS of_site,
                    COUNT(*) OVER (PARTITION BY source) AS of_source
                FROM registered_client WHERE realm = $1 AND used_at IS NULL) AS waiting
            ORDER BY of_site, of_source, created_at DESC, client_id LIMIT 1000000 OFFSET $2)";
    REGISTRATION_INSERT = "INSERT INTO registered_client
            (client_id, realm, metadata, secret_hash, token_hash, source, site, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    REGISTRATION_LOAD = "SELECT * FROM registered_client WHERE realm = $1 AND client_id = $2 AND expires_at > $3";
    REGISTRATION_REPLACE = "UPDATE registered_client SET metadata = $2, secret_hash = $3 WHERE client_id = $1";
    REGISTRATION_USED = "UPDATE registered_client SET used_at = $2, expires_at = $3 WHERE client_id = $1";
    REGISTRATION_TOUCH = "UPDATE registered_client SET used_at = $2, expires_at = $3
        WHERE client_id = $1 AND used_at IS NOT NULL";
    REGISTRATION_DELETE = "DELETE FROM registered_client WHERE client_id = $1 RETURNING *";

    CLEAN_CODES = "DELETE FROM code_grant WHERE code_hash IN (SELECT code_hash FROM code_grant WHERE expires_at < $1 LIMIT $2)";
    CLEAN_FAMILIES = "DELETE FROM family WHERE id IN
        (SELECT id FROM family WHERE idle_expires_at < $1 OR absolute_expires_at < $1 LIMIT $2)";
    CLEAN_SESSIONS = "DELETE FROM login_session WHERE token_hash IN
        (SELECT token_hash FROM login_session WHERE expires_at < $1 LIMIT $2)";
    CLEAN_REVOCATIONS = "DELETE FROM revocation WHERE seq IN (SELECT seq FROM revocation WHERE until < $1 LIMIT $2)";
    CLEAN_COUNTERS = "DELETE FROM counter WHERE name IN (SELECT name FROM counter WHERE expires_at < $1 LIMIT $2)";
    CLEAN_APPROVALS = "DELETE FROM host_approval WHERE verdict = 'pending' AND (realm, host) IN
        (SELECT realm, host FROM host_approval WHERE verdict = 'pending' AND requested_at < $1 LIMIT $2)";
    CLEAN_REGISTERED_CONSENTS = "DELETE FROM consent WHERE client_id IN
        (SELECT agreed.client_id FROM consent AS agreed JOIN registered_client ON registered_client.client_id = agreed.client_id
            WHERE registered_client.expires_at < $1 LIMIT $2)";
    CLEAN_REGISTRATIONS = "DELETE FROM registered_client WHERE expires_at < $1 AND client_id IN
        (SELECT client_id FROM registered_client WHERE expires_at < $1 LIMIT $2)";
    CLEAN_ASSERTIONS = "DELETE FROM used_assertion WHERE hash IN (SELECT hash FROM used_assertion WHERE expires_at < $1 LIMIT $2)";
}

#[cfg(test)]
mod tests {
    use sqlx::{Executor as _, SqlSafeStr as _};

    use super::*;

    #[tokio::test]
    async fn every_statement_can_be_prepared() {
        let store = crate::testing::open().await;
        let failures = store
            .backend()
            .read(&(), |(), connection| {
                Box::pin(async move {
                    let mut failures = Vec::new();
                    for (name, sql) in ALL {
                        if let Err(error) = (&mut *connection).prepare((*sql).into_sql_str()).await
                        {
                            failures.push(format!("{name}: {error}"));
                        }
                    }
                    Ok(failures)
                })
            })
            .await
            .unwrap();
        assert!(failures.is_empty(), "{failures:#?}");
    }
}
