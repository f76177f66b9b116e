-- The larger network that a registration came from. Without it, its source stands for it.
ALTER TABLE registered_client ADD COLUMN site TEXT;
