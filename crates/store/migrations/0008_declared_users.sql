-- Whether the configuration declares a user, so that it can be seen when it no longer does.
ALTER TABLE account ADD COLUMN declared BIGINT NOT NULL DEFAULT 0;
