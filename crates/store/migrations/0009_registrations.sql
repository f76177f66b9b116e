-- Clients that registered themselves, with the hashes of their secret and registration access token. One that nobody has
-- used yet has no `used_at`, and expires soon.
CREATE TABLE registered_client (
    client_id TEXT NOT NULL PRIMARY KEY,
    realm TEXT NOT NULL,
    metadata TEXT NOT NULL,
    secret_hash {blob},
    token_hash {blob} NOT NULL,
    source TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT,
    expires_at BIGINT NOT NULL
);
CREATE INDEX registered_client_expires ON registered_client (expires_at);
CREATE INDEX registered_client_unused ON registered_client (realm, created_at) WHERE used_at IS NULL;
