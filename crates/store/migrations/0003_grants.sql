-- Authorization codes, by hash.
CREATE TABLE code_grant (
    code_hash {blob} NOT NULL PRIMARY KEY,
    realm TEXT NOT NULL,
    client_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    detail TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    redeemed_at BIGINT,
    family_id TEXT
);
CREATE INDEX code_grant_expires ON code_grant (expires_at);

-- What came of a code. `secret` makes tokens only together with a server secret.
CREATE TABLE family (
    id TEXT NOT NULL PRIMARY KEY,
    realm TEXT NOT NULL,
    client_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    session_id TEXT,
    detail TEXT NOT NULL,
    generation BIGINT NOT NULL,
    branch BIGINT NOT NULL,
    previous_generation BIGINT,
    previous_branch BIGINT,
    rotated_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    idle_expires_at BIGINT NOT NULL,
    absolute_expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    secret {blob} NOT NULL
);
CREATE INDEX family_idle_expires ON family (idle_expires_at);
CREATE INDEX family_session ON family (session_id);
CREATE INDEX family_account ON family (account_id, client_id);
