-- Shared counters against guessing and amplification.
CREATE TABLE counter (
    name TEXT NOT NULL PRIMARY KEY,
    n BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX counter_expires ON counter (expires_at);

-- Client assertions that were used, by hash of client and `jti`.
CREATE TABLE used_assertion (
    hash {blob} NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX used_assertion_expires ON used_assertion (expires_at);

-- Hosts of client metadata documents that an administrator decides about.
CREATE TABLE host_approval (
    realm TEXT NOT NULL,
    host TEXT NOT NULL,
    verdict TEXT NOT NULL,
    requested_at BIGINT NOT NULL,
    decided_at BIGINT,
    PRIMARY KEY (realm, host)
);
