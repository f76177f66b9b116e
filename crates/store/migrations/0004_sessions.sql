-- Login sessions, by the hash of the cookie's token.
CREATE TABLE login_session (
    token_hash {blob} NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    realm TEXT NOT NULL,
    account_id TEXT NOT NULL,
    auth_time BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX login_session_expires ON login_session (expires_at);

-- What users agreed to; an empty resource stands for none.
CREATE TABLE consent (
    account_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    redirect_origin TEXT NOT NULL,
    resource TEXT NOT NULL,
    scope TEXT NOT NULL,
    document_hash {blob},
    granted_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, client_id, redirect_origin, resource)
);
