-- The numbered log of revocations. Numbers are drawn from `revocation_head`, whose row lock makes them
-- become visible in their order, so that no reader of the log can miss one.
CREATE TABLE revocation (
    seq BIGINT NOT NULL PRIMARY KEY,
    subject TEXT NOT NULL,
    until BIGINT NOT NULL
);
CREATE INDEX revocation_until ON revocation (until);
CREATE TABLE revocation_head (
    id BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL
);
INSERT INTO revocation_head (id, seq) VALUES (1, 0);
