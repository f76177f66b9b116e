-- Groups and attributes of people, as JSON.
ALTER TABLE account ADD COLUMN traits TEXT NOT NULL DEFAULT '{}';
