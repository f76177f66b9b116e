-- Proves that a password is that of a secret in the configuration, so that it needs no check at each start.
ALTER TABLE account ADD COLUMN declared_proof {blob};
