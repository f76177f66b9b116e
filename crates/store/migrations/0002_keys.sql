-- Signing keys of realms; `private` is sealed. At most one key of a realm and algorithm signs.
CREATE TABLE signing_key (
    kid TEXT NOT NULL PRIMARY KEY,
    realm TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    state TEXT NOT NULL,
    since BIGINT NOT NULL,
    private {blob} NOT NULL
);
CREATE UNIQUE INDEX signing_key_active ON signing_key (realm, algorithm) WHERE state = 'active';

-- The server's own secrets, sealed.
CREATE TABLE server_secret (
    name TEXT NOT NULL PRIMARY KEY,
    sealed {blob} NOT NULL
);
