-- People who can log in.
CREATE TABLE account (
    id TEXT NOT NULL PRIMARY KEY,
    realm TEXT NOT NULL,
    username TEXT NOT NULL,
    password TEXT,
    name TEXT,
    email TEXT,
    email_verified BIGINT NOT NULL,
    disabled BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (realm, username)
);
